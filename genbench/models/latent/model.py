"""Models of latents: any model of the suite behind a frozen encoder."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genbench.core import CPU, Batch, Data, Encode, Event, Example, Model, Normal, Samples, Split, Trainable, Truth
from genbench.models.latent.encoder import Encoder
from genbench.space import Real


class Latent(Model):
    """A model of the latents of data (Rombach et al., 2022; Gu et al., 2025).

    z = encode(x);  loss = model.loss(z);  samples = decode(model.sample(noise))

    Its density is of latents: no number of nats of the data. Its paths, if it has any, are among latents too, so it
    is no Transport. One evaluation (nfe) is the model's: the decoder, run once a sample, is not counted.

    Args:
        model: built on `encoder.latent`, from N(0, I) of that shape.
        encoder: is frozen; its weights are part of this model's state.
    """

    density = "latents"

    def __init__(self, event: Event, model: Model, encoder: Encoder) -> None:
        super().__init__()
        self.event, self.source = event, model.source
        self.conditional, self.nfe_curve = model.conditional, model.nfe_curve
        self.model = model
        self.encoder = encoder.requires_grad_(False)

    @property
    def sampler(self) -> Callable[..., Samples]:
        """The model's sampling, whose options are the options."""
        return self.model.sampler

    def learn_from(self, trained: Mapping[str, Trainable], data: Data, seed: int) -> dict[str, float]:
        """Use the weights of the trained encoder; the model learns from the models of latents among the others."""
        self.encoder.load_state_dict(trained["encoder"].state_dict())
        others = {name: other.model for name, other in trained.items() if isinstance(other, Latent)}
        return self.model.learn_from(others, data, seed)

    def prepare(self, data: Data, seed: int) -> None:
        """Calibrate the encoder, then let the model look at latents."""
        self.encoder.calibrate(data)
        self.model.prepare(self._encoded(data), seed)

    def batch_source(self, data: Data, device: torch.device = CPU) -> Split:
        """Return the latents of the training split, from the cache if the split stores them."""
        return self.model.batch_source(self._encoded(data), device)

    def draw(self, batch: Batch, generator: torch.Generator) -> Example:
        """Draw one step of the model on a batch of latents."""
        return self.model.draw(batch, generator)

    def loss(self, example: Example) -> dict[str, Tensor]:
        """Return the model's loss."""
        return self.model.loss(example)

    def sample(
        self, x0: Float[Tensor, "b *source"], *, label: Int[Tensor, " b"] | None = None, **options: Any
    ) -> Samples:
        """Decode the model's samples; the options are the model's."""
        z, nfe = self.model.sample(x0, label=label, **options)
        with torch.no_grad():
            return Samples(self.encoder.decode(z.to(x0.dtype)), nfe)

    def log_prob(self, x: Float[Tensor, "b *event"], *, label: Int[Tensor, " b"] | None = None) -> Float[Tensor, " b"]:
        """Return the log-density of the latents of x in nats, under the model of latents (not one of x)."""
        return self.model.log_prob(self.encoder.encode(x), label=label)

    def within(self, data: Data) -> tuple[Model, Data]:
        """Return the model of latents, and the task among latents."""
        return self.model, self._encoded(data)

    def at_budget(self, options: Mapping[str, Any], method: str, nfe: int) -> dict[str, Any]:
        """Return the model's options for that many evaluations."""
        return self.model.at_budget(options, method, nfe)

    def _encoded(self, data: Data) -> Data:
        """Return the task among latents."""
        device = next(self.encoder.parameters()).device

        @torch.no_grad()
        def encode(x: Tensor) -> Tensor:
            return self.encoder.encode(x.to(device)).to(x.device)

        digest = self.encoder.digest()
        key = f"{data.provenance.get('sha256')}-{digest}"
        train = data.train.encoded(encode, self.encoder.latent.shape, key) or Encoding(data.train, encode)
        return replace(
            data,
            event=self.encoder.latent,
            space=Real(),
            source=Normal(self.encoder.latent.shape),
            train=train,
            valid=Encoding(data.valid, encode),
            test=Encoding(data.test, encode),
            truth=Truth(),
            provenance={**data.provenance, "encoder": digest},
        )


class Encoding(Split):
    """A split whose samples are encoded as they are served."""

    def __init__(self, split: Split, encode: Encode) -> None:
        self.size = split.size
        self._split, self._encode = split, encode

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """Return the latents of a training batch."""
        x, label = self._split.batch(step, size, seed)
        return Batch(self._encode(x), label)

    def take(self, n: int, seed: int) -> Batch:
        """Return the latents of samples for evaluation."""
        x, label = self._split.take(n, seed)
        return Batch(self._encode(x), label)
