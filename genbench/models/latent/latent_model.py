"""Models of latents: any model, trained on the latents of a frozen encoder."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genbench.core import CPU, Batch, Data, Encode, Event, Example, Model, Normal, Samples, Split, Trainable, Truth
from genbench.errors import ConfigError
from genbench.models.flow_matching.couplings.base import Coupled
from genbench.models.latent.encoder import Encoder
from genbench.seeds import generator
from genbench.space import Real


class Latent(Model):
    """A model of the latents of data (Rombach et al., 2022; Gu et al., 2025).

    z = encode(x);  loss = model.loss(z);  samples = decode(model.sample(noise))

    The density and the paths exist for latents and not for data, so this class does not inherit Transport. The NFE
    does not count the decoder.

    Args:
        model: built on `encoder.latent`, from N(0, I) of that shape.
        encoder: frozen here; its weights are part of this model's state.
    """

    density = "latents"

    def __init__(self, event: Event, model: Model, encoder: Encoder) -> None:
        super().__init__()
        if encoder.samples_posterior and isinstance(model, Coupled) and model.coupling.fixed_points:
            raise ConfigError(
                "a coupling with fixed data points cannot use latents that are drawn anew at each step: set "
                "model.encoder.posterior=mean"
            )
        self.event, self.source = event, model.source
        self.conditional, self.nfe_curve = model.conditional, model.nfe_curve
        self.model, self.full_precision = model, model.full_precision
        self.draws, self.not_compiled = model.draws, model.not_compiled
        self.encoder = encoder.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "Latent":
        """Set the mode of the model; the encoder stays in evaluation mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    @property
    def chosen(self) -> dict[str, float]:
        return self.model.chosen

    @property
    def sampler(self) -> Callable[..., Samples]:
        return self.model.sampler

    def learn_from(self, trained: Mapping[str, Trainable], data: Data, seed: int) -> dict[str, float]:
        """Take the weights of the trained encoder, and hand the other trained models (a teacher's) to the model."""
        self.encoder.load_state_dict(trained["encoder"].state_dict())
        others = {name: other.model for name, other in trained.items() if isinstance(other, Latent)}
        return self.model.learn_from(others, data, seed)

    def prepare(self, data: Data, seed: int) -> None:
        self.encoder.calibrate(data)
        self.model.prepare(self._encoded(data), seed)

    def batch_source(self, data: Data, device: torch.device = CPU) -> Split:
        return self.model.batch_source(self._encoded(data), device)

    def example(self, batch_source: Split, step: int, size: int, seed: int, generator: torch.Generator) -> Example:
        return self.model.example(batch_source, step, size, seed, generator)

    def draw(self, batch: Batch, generator: torch.Generator) -> Example:
        return self.model.draw(batch, generator)

    def loss(self, example: Example) -> dict[str, Tensor]:
        return self.model.loss(example)

    def sample(
        self, x0: Float[Tensor, "b *source"], *, label: Int[Tensor, " b"] | None = None, **options: Any
    ) -> Samples:
        z, nfe = self.model.sample(x0, label=label, **options)
        return Samples(self.encoder.decode(z.to(x0.dtype)), nfe)

    def log_prob(self, x: Float[Tensor, "b *event"], *, label: Int[Tensor, " b"] | None = None) -> Float[Tensor, " b"]:
        """Return the log-density in nats of the latents of x, not of x."""
        return self.model.log_prob(self.encoder.encode(x), label=label)

    def within(self, data: Data) -> tuple[Model, Data]:
        return self.model, self._encoded(data)

    def at_budget(self, options: Mapping[str, Any], method: str, nfe: int) -> dict[str, Any]:
        return self.model.at_budget(options, method, nfe)

    def _encoded(self, data: Data) -> Data:
        """Return the task in latent space."""
        device = next(chain(self.encoder.parameters(), self.encoder.buffers())).device
        posterior, (channels, *side) = self.encoder.samples_posterior, self.encoder.latent.shape
        encoder = self.encoder.moments if posterior else self.encoder.encode

        @torch.no_grad()
        def encode(x: Tensor) -> Tensor:
            return encoder(x.to(device))

        def encoding(split: Split) -> Split:
            encoded = Encoding(split, encode)
            return PosteriorSamples(encoded) if posterior else encoded

        digest = self.encoder.digest() + ("-posterior" if posterior else "")
        stored = data.train.encoded(encode, (channels * (1 + posterior), *side), digest)
        train = encoding(data.train) if stored is None else PosteriorSamples(stored) if posterior else stored
        return replace(
            data,
            event=self.encoder.latent,
            space=Real(),
            source=Normal(self.encoder.latent.shape),
            train=train,
            valid=encoding(data.valid),
            test=encoding(data.test),
            truth=Truth(),
            provenance={**data.provenance, "encoder": digest},
        )


class Encoding(Split):
    """A split that encodes its samples as it serves them; `on` sets the device of its batches (by default the CPU)."""

    def __init__(self, split: Split, encode: Encode, device: torch.device = CPU) -> None:
        self.size, self.augmented = split.size, split.augmented
        self._split, self._encode, self._device = split, encode, device

    def batch(self, step: int, size: int, seed: int) -> Batch:
        x, label = self._split.batch(step, size, seed)
        return Batch(self._encode(x).to(self._device), label)

    def take(self, n: int, seed: int) -> Batch:
        x, label = self._split.take(n, seed)
        return Batch(self._encode(x).cpu(), label)

    def views(self, seed: int) -> Batch:
        x, label = self._split.views(seed)
        return Batch(self._encode(x).cpu(), label)

    def on(self, device: torch.device) -> "Encoding":
        return Encoding(self._split.on(device), self._encode, device)


class PosteriorSamples(Split):
    """Latents drawn from their posteriors anew at each step; the given split holds means and standard deviations."""

    def __init__(self, moments: Split) -> None:
        self.size, self.augmented = moments.size, moments.augmented
        self._moments = moments

    def batch(self, step: int, size: int, seed: int) -> Batch:
        return self._drawn(self._moments.batch(step, size, seed), generator(seed, "posterior", step))

    def take(self, n: int, seed: int) -> Batch:
        return self._drawn(self._moments.take(n, seed), generator(seed, "posterior"))

    def on(self, device: torch.device) -> Split:
        return PosteriorSamples(self._moments.on(device))

    def _drawn(self, batch: Batch, stream: torch.Generator) -> Batch:
        mean, deviation = batch.x.chunk(2, 1)
        noise = torch.randn(mean.shape, generator=stream, dtype=mean.dtype)  # the same on every device
        return Batch(mean + deviation * noise.to(mean.device), batch.label)
