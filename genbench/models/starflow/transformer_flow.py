"""The transformer flow; TARFlow and STARFlow differ only in settings."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from genbench.core import CPU, Batch, Data, Event, Model, Samples, Source, Split, require_normal
from genbench.errors import ConfigError
from genbench.models.starflow.autoregressive import Flow, Latents
from genbench.models.starflow.decoding import RULES, Decoder, Guidance, JacobiDecoding, sequential, weights
from genbench.models.starflow.design import (
    PLAN,
    STARFLOW,
    TARFLOW,
    Design,
    StarflowBlocks,
    TarflowBlocks,
    sizes,
)
from genbench.models.text_encoder import TEXT, TextEncoder
from genbench.registry import models
from genbench.settings import Count, NonNegative, Positive
from genbench.space import dequantize

JACOBI_MAX_SAMPLES, JACOBI_MIN_TOKENS = 2, 256
"""Most samples and fewest tokens with which Jacobi decoding was faster than sequential decoding."""


class ClassEmbedding(nn.Module):
    """Embeds a label as a prefix of one token; -1 (no label) is the mean over the classes, or the learned last row."""

    def __init__(self, classes: int, width: int, init: float, learned_null: bool = False) -> None:
        super().__init__()
        self.learned_null = learned_null
        self.table = nn.Parameter(init * torch.randn(classes + learned_null, width))

    def forward(self, label: Int[Tensor, " b"]) -> Float[Tensor, "b 1 width"]:
        if self.learned_null:
            return self.table[label][:, None]
        known = (label >= 0)[:, None]
        return torch.where(known, self.table[label.clamp(min=0)], self.table.mean(0))[:, None]


class TransformerFlow(Model):
    """A normalizing flow of autoregressive transformer blocks.

    log p(x) = log N(z; 0, I) + log |det dz/dx|,   z = block_1(... block_T(x))
    loss = mean z^2 / 2 + (sum over blocks of mean log sigma) + penalty * (mean square of tokens between blocks)

    Raises:
        ConfigError: if sizes do not fit the event or one another, or the data lacks the labels or captions.
        Unsupported: if the source is not N(0, I), since the density is measured against it.
    """

    steering = ("noise", "label_dropout")

    def __init__(self, event: Event, source: Source, layers: Sequence[int], design: Design) -> None:
        super().__init__()
        require_normal(source, event, "a normalizing flow")
        if design.conditional and not event.classes:
            raise ConfigError("model.conditional=true needs data with classes; the data has none")
        if design.text is not None and design.inject != "prefix":
            raise ConfigError("model.text needs model.inject=prefix: a caption has several tokens")
        self.event, self.source, self.conditional = event, source, design.labeled
        self.flow = Flow(event, layers, design)
        self.classes = self._embedding(design)
        self.uniform = design.noise == "uniform"
        self.sigma = design.noise if isinstance(design.noise, float) else None
        self.label_dropout = design.label_dropout
        self.penalty = design.penalty * (max(len(layers) - 1, 1) if design.penalty_over == "sum" else 1)
        if self.sigma is not None:
            self.density = f"data + N(0, {self.sigma:g}^2)"
        elif self.uniform and event.bin:
            self.density = "dequantized data"

    @classmethod
    def stackable(cls, event: Event, settings: Mapping[str, Any]) -> bool:
        return event.is_vector and settings["text"] is None and not settings["checkpoint"]

    def _embedding(self, design: Design) -> ClassEmbedding | TextEncoder | None:
        """Return the module that embeds labels or captions as prefixes; None for an unconditional model."""
        width = self.flow.blocks[0].net.architecture.width
        if design.text is not None:
            return TEXT.build(design.text, "model.text", self.event, self.event, width)
        if design.conditional:
            return ClassEmbedding(self.event.classes, width, design.init, design.null == "learned")
        return None

    def labels(self, captions: Sequence[str]) -> Int[Tensor, " n"]:
        """Return the labels of captions, also of new ones; the label of "" stands for no condition.

        Raises:
            ConfigError: if the model is not conditional on text, or cannot encode a caption.
        """
        if not isinstance(self.classes, TextEncoder):
            raise ConfigError("captions need a model with a text encoder, such as model.text=words on digits-captions")
        return self.classes.labels(captions)

    def batch_source(self, data: Data, device: torch.device = CPU) -> Split:
        if isinstance(self.classes, TextEncoder):
            self.classes.prepare()
        return super().batch_source(data, device)

    def draw(self, batch: Batch, generator: torch.Generator) -> Batch:
        x, label = batch
        if self.uniform:
            x = dequantize(x, self.event.bin, generator)
        elif self.sigma is not None:
            x = x + self.sigma * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        if self.conditional:
            dropped = torch.rand(len(label), generator=generator, device=label.device) < self.label_dropout
            label = torch.where(dropped, -1, label)
        return Batch(x, label)

    def loss(self, example: Batch) -> dict[str, Tensor]:
        """Return the loss, the negative log-likelihood (nats per dimension) and the mean square between blocks."""
        latents = self._latents(example.x, example.label)
        energy = latents.z.square().mean() / 2 - latents.log_det.mean() / self.event.dims
        return {
            "loss": energy + self.penalty * latents.between,
            "nll_per_dim": (energy + math.log(2 * math.pi) / 2).detach(),
            "latents": latents.between.detach(),
        }

    def log_prob(self, x: Float[Tensor, "b *event"], *, label: Int[Tensor, " b"] | None = None) -> Float[Tensor, " b"]:
        """Return the exact log-density in nats of the variable that `density` names.

        Args:
            label: classes; None or -1 gives the unconditional density that label dropout trained.
        """
        latents = self._latents(x, label)
        return self.source.log_prob(latents.z) + latents.log_det

    def sample(
        self,
        x0: Float[Tensor, "b *event"],
        *,
        label: Int[Tensor, " b"] | None = None,
        guidance: NonNegative = 0.0,
        rule: Literal["starflow", "tarflow"] = "starflow",
        anneal: Literal["constant", "linear"] = "constant",
        decode: Literal["auto", "sequential", "jacobi"] = "auto",
        window: Count = 64,
        tolerance: NonNegative = 8e-3,
        sweeps: Count | None = None,
        denoise: bool | None = None,
        temperature: Positive = 1.0,
    ) -> Samples:
        """Invert the flow at the given noise.

        One evaluation (NFE) is the whole network once over all tokens of a sample: sequential decoding takes 1, spread
        over a network call for each token and block. Jacobi decoding takes the mean number of sweeps over a token.
        Guidance doubles the evaluations of conditioned blocks; denoising adds 1.

        Args:
            label: classes to sample from; None or -1 samples without a class.
            guidance: weight of guidance in every conditioned block (starflow: the deep one, tarflow: all), away from
                the prediction without a condition; 0 is the plain model.
            rule: how guidance combines predictions: starflow by their scores, tarflow linearly.
            anneal: constant guidance, or guidance that grows linearly over the tokens of a block: (t + 1) / T at
                token t of the T that are transformed, as published.
            decode: sequential: token by token. jacobi: many tokens at a time by Jacobi iteration, which is approximate,
                and faster only for one or two samples of many tokens (results/perf.md). auto: jacobi for a
                batch of at most 2 samples of at least 256 tokens, such as the last one of an evaluation.
            window: Jacobi: number of tokens iterated at once.
            tolerance: Jacobi: allowed error relative to max(1, size); by default one of 256 levels in [-1, 1].
            sweeps: Jacobi: maximal number of iterations of a token; none for no limit.
            denoise: whether one step along the score removes the Gaussian noise of training; by default it does if the
                model was trained with such noise.
            temperature: attention temperature of the prediction that guidance leads away from; a value other than 1
                also guides a model without labels.

        Raises:
            ConfigError: on options that do not go with the model or with one another.
        """
        trained = {"noise": self.sigma, "conditional": self.conditional and label is not None, "text": None}
        self.check({"denoise": denoise, "guidance": guidance, "temperature": temperature}, trained)
        tokens = self.flow.patches.count
        few = len(x0) <= JACOBI_MAX_SAMPLES and tokens >= JACOBI_MIN_TOKENS
        jacobi = decode == "jacobi" or (decode == "auto" and few)
        decoder: Decoder = JacobiDecoding(window, tolerance, sweeps) if jacobi else sequential
        with torch.inference_mode():  # no_grad still tracks views: a fifth of the time of sequential decoding
            guide = None
            if guidance:
                weight = weights(guidance, tokens, anneal, self.flow.blocks[0].copied)
                null = None if self.classes is None else self._null(len(x0), x0.device)
                guide = Guidance(null, RULES[rule], weight, temperature)
            x, nfe = self.flow.inverse(x0, self._prefix(label, x0), decoder, guide)
        x = x.clone()  # not an inference tensor: callers may need gradients
        if self.sigma is None or denoise is False:
            return Samples(x, nfe)
        with torch.enable_grad():
            y = x.detach().requires_grad_()
            (score,) = torch.autograd.grad(self.log_prob(y, label=label).sum(), y)
        return Samples(x + self.sigma**2 * score, nfe + 1)

    @classmethod
    def check(cls, options: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        if options.get("denoise") and not isinstance(settings.get("noise"), float):
            raise ConfigError("sample.denoise needs a model trained with Gaussian noise, such as model.noise=0.1")
        tempered = options.get("temperature", 1) != 1
        if tempered and not options.get("guidance"):
            raise ConfigError("sample.temperature has no effect without guidance: set sample.guidance as well")
        if options.get("guidance") and not (
            tempered or settings.get("conditional") or settings.get("text") is not None
        ):
            raise ConfigError(
                "sample.guidance needs labels and a model trained on them (model.conditional=true, or model.text), or "
                "a sample.temperature other than 1"
            )

    def _latents(self, x: Tensor, label: Tensor | None) -> Latents:
        return self.flow(x, self._prefix(label, x))

    def _prefix(self, label: Tensor | None, x: Tensor) -> Tensor | None:
        if self.classes is None:
            return None
        return self._null(len(x), x.device) if label is None else self.classes(label)

    def _null(self, n: int, device: torch.device) -> Tensor:
        assert self.classes is not None
        return self.classes(torch.full((n,), -1, device=device))


@models.register("tarflow", version=2, plan=PLAN, stated="noise", amplifies_rounding=True)
def tarflow(event: Event, source: Source, *, blocks: TarflowBlocks = None, design: Design = TARFLOW) -> TransformerFlow:
    """Autoregressive transformer flow of equal blocks, with an exact likelihood (TARFlow).

    Zhai et al., 2024, "Normalizing flows are capable generative models", https://arxiv.org/abs/2412.06329.
    All blocks share one table of label embeddings.
    """
    return TransformerFlow(event, source, blocks or sizes(event).tarflow, design)


@models.register("starflow", version=2, plan=PLAN, stated="noise", amplifies_rounding=True)
def starflow(
    event: Event, source: Source, *, blocks: StarflowBlocks = None, design: Design = STARFLOW
) -> TransformerFlow:
    """Deep-shallow autoregressive transformer flow, with an exact likelihood (STARFlow).

    Gu et al., 2025, "STARFlow: scaling latent normalizing flows for high-resolution image synthesis",
    https://arxiv.org/abs/2506.06276. Norms, rotary pairs, the null label and the penalty follow the paper's
    code by default.
    """
    return TransformerFlow(event, source, blocks or sizes(event).starflow, design)
