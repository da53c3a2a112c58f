"""Fine-tuning of decoders on noised latents, for models of latents that are trained with noise."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genbench.core import Batch, Data, Model, Normal, Samples, Stage
from genbench.errors import ConfigError
from genbench.models.latent.encoder import Encoder
from genbench.settings import Count, NonNegative, Positive, Size


class Example(NamedTuple):
    """Data, and its noised latents."""

    x: Float[Tensor, "b *event"]
    z: Float[Tensor, "b *latent"]


class DecoderTuning(Model):
    """Train the decoder alone to recover data from noised latents (Gu et al., 2025, STARFlow).

    loss = mean (decode(encode(x) + noise eps) - x)^2

    The paper adds a perceptual (LPIPS) and an adversarial loss, which need further networks; with the squared
    error alone, details that the noise hides are decoded as their mean.

    Args:
        noise: standard deviation of the noise on latents of about unit variance.
    """

    def __init__(self, encoder: Encoder, noise: float) -> None:
        super().__init__()
        self.event, self.source = encoder.event, Normal(encoder.latent.shape)
        self.encoder, self.noise = encoder, noise

    def prepare(self, data: Data, seed: int) -> None:
        """Calibrate the latents, since their scale determines the relative size of the noise."""
        self.encoder.calibrate(data)

    @torch.no_grad()
    def draw(self, batch: Batch, generator: torch.Generator) -> Example:
        z = self.encoder.encode(batch.x)
        return Example(batch.x, z + self.noise * torch.randn(z.shape, generator=generator, device=z.device))

    def loss(self, example: Example) -> dict[str, Tensor]:
        return {"loss": (self.encoder.decode(example.z) - example.x).square().mean()}

    def sample(self, x0: Float[Tensor, "b *source"], *, label: Int[Tensor, " b"] | None = None) -> Samples:
        return Samples(self.encoder.decode(x0), 0)


@dataclass(frozen=True, kw_only=True)
class TuningSettings:
    """Settings of the fine-tuning of a decoder.

    Args:
        batch_size: batch of the fine-tuning of the decoder, and of the training of an encoder that has one.
        lr: peak learning rate of both, on a cosine schedule.
        noise: standard deviation of the Gaussian noise on latents that the decoder is fine-tuned on (0.3 in the paper).
        tune: steps of that fine-tuning, with a squared error; 0 for none.
    """

    batch_size: Count
    lr: Positive
    noise: NonNegative = 0.0
    tune: Size = 0

    def __post_init__(self) -> None:
        if self.tune and not self.noise:
            raise ConfigError(
                f"model.encoder.tune={self.tune} steps train the decoder on noised latents; set model.encoder.noise, "
                "such as 0.3"
            )
        if self.noise and not self.tune:
            raise ConfigError(
                f"model.encoder.noise={self.noise:g} is for fine-tuning the decoder; set model.encoder.tune, such as "
                "1000 steps"
            )

    def plan(self, steps: int) -> dict[str, Any]:
        """Return the plan of a training of so many steps."""
        schedule = {"schedule": "cosine", "weight_decay": 0.0}
        return {"steps": steps, "batch_size": self.batch_size, "lr": self.lr, **schedule}

    def stages(self, encoder: Encoder) -> Iterator[Stage]:
        """Yield the stage that fine-tunes the decoder of a frozen encoder, if it has any steps.

        The decoder is free while the stage is the current one.
        """
        if self.tune:
            encoder.decoder.requires_grad_(True)
            yield Stage(DecoderTuning(encoder, self.noise), "decoder", self.plan(self.tune))
            encoder.requires_grad_(False)
