"""Encoders: frozen maps between data and latents, and the fine-tuning of their decoders on noised latents."""

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from genbench.core import Batch, Data, Event, Model, Normal, Samples, Split, Stage, Trainable
from genbench.errors import ConfigError, Unsupported
from genbench.settings import Count, NonNegative, Positive, Size
from genbench.space import Space

CHUNK = 2**21
"""Numbers encoded or decoded at once, so that memory does not grow with the batch."""


class Encoder(Trainable):
    """A frozen map between data and latents.

    A builder is a function `(event, *, keyword-only settings) -> Encoder`. Its trait `shape=(event, bound settings) ->
    shape of the latents` tells the shape without building it. Latents are continuous, with the data's classes and
    captions.
    """

    samples_posterior = False
    """Whether models learn samples of the posterior instead of its means."""

    def __init__(self, event: Event, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.event = event
        self.latent = replace(event, shape=shape, bin=0.0)

    @abstractmethod
    def encode(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b *latent"]:
        """Return the posterior mean, shifted and scaled to about unit variance in every channel."""

    def moments(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b channels *side"]:
        """Return mean and standard deviation of the posterior, concatenated along the channels."""
        raise Unsupported(f"{type(self).__name__} has no posterior to sample from")

    @abstractmethod
    def decode(self, z: Float[Tensor, "b *latent"]) -> Float[Tensor, "b *event"]:
        """Return points in the model space of the data."""

    @property
    def decoder(self) -> nn.Module:
        """The part that fine-tuning trains."""
        raise Unsupported(f"{type(self).__name__} has no decoder to fine-tune")

    def stages(self) -> Iterator[Stage]:
        """Load pretrained weights, if any, and yield the stages of training; each unfreezes its own parameters."""
        yield from ()

    def calibrate(self, data: Data) -> None:
        """Measure constants of the latents on training data, kept as buffers."""

    def digest(self) -> str:
        """Return the sha256 of the weights and constants, which identifies latents in the cache."""
        digest = hashlib.sha256()
        for name, value in sorted(self.state_dict().items()):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def in_parts(function: Callable[[Tensor], Tensor], x: Float[Tensor, "b *event"], dims: int) -> Tensor:
    """Apply a function to parts of a batch; a part has about CHUNK / `dims` samples, to bound memory."""
    return torch.cat([function(part) for part in x.split(max(1, CHUNK // dims))])


def in_blocks(split: Split, space: Space, n: int, size: int) -> Iterator[Float[Tensor, "b *event"]]:
    """Yield the samples of `split.take(n, 0)` in blocks, and read stored samples one block at a time."""
    stored = split.raw(n, 0)
    if stored is None:
        yield from split.take(n, 0).x.split(size)
    else:
        yield from (space.encode(stored[rows]) for rows in torch.arange(n).split(size))


def grid(event: Event, channels: int, factor: int, name: str) -> tuple[int, ...]:
    """Return the shape of latents of images that are downscaled by a factor."""
    height, width = image_sides(event, name)
    if height % factor or width % factor:
        raise ConfigError(f"encoder {name} scales down by {factor}, which does not divide {height}x{width} pixels")
    return channels, height // factor, width // factor


def image_sides(event: Event, name: str) -> tuple[int, int]:
    """Return height and width of images."""
    if not event.is_image:
        raise ConfigError(f"encoder {name} needs images (channels, height, width); this data has shape {event.shape}")
    return event.shape[1], event.shape[2]


class Example(NamedTuple):
    """Data, and its noised latents."""

    x: Float[Tensor, "b *event"]
    z: Float[Tensor, "b *latent"]


class DecoderTuning(Model):
    """Train the decoder alone to recover data from noised latents (Gu et al., 2025, STARFlow).

    loss = mean (decode(encode(x) + noise eps) - x)^2

    The paper adds a perceptual (LPIPS) and an adversarial loss, which need further networks. With the squared error
    alone, details that the noise hides are decoded as their mean.
    """

    def __init__(self, encoder: Encoder, noise: float) -> None:
        super().__init__()
        self.event, self.source = encoder.event, Normal(encoder.latent.shape)
        self.encoder, self.noise = encoder.eval(), noise

    def train(self, mode: bool = True) -> "DecoderTuning":
        """Set the mode of the decoder; the rest of the encoder stays in evaluation mode."""
        super().train(mode)
        self.encoder.eval()
        self.encoder.decoder.train(mode)
        return self

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
        batch_size: batch size for fine-tuning the decoder, and for training the encoder if it is trained.
        lr: peak learning rate of both, on a cosine schedule.
        noise: standard deviation of the Gaussian noise on the latents for fine-tuning (0.3 in the paper).
        tune: steps of fine-tuning the decoder, with a squared error; 0 for none.
    """

    batch_size: Count
    lr: Positive
    noise: NonNegative = 0.0
    tune: Size = 0

    def __post_init__(self) -> None:
        if self.tune and not self.noise:
            raise ConfigError(f"model.encoder.tune={self.tune} needs noise: set model.encoder.noise, such as 0.3")
        if self.noise and not self.tune:
            raise ConfigError(f"model.encoder.noise={self.noise:g} needs steps: set model.encoder.tune, such as 1000")

    def plan(self, steps: int) -> dict[str, Any]:
        """Return the plan of a training with this number of steps."""
        schedule = {"schedule": "cosine", "weight_decay": 0.0}
        return {"steps": steps, "batch_size": self.batch_size, "lr": self.lr, **schedule}

    def stages(self, encoder: Encoder) -> Iterator[Stage]:
        """Yield the stage that fine-tunes the decoder of a frozen encoder, if it has any steps."""
        if self.tune:
            encoder.decoder.requires_grad_(True)
            yield Stage(DecoderTuning(encoder, self.noise), "decoder", self.plan(self.tune))
            encoder.requires_grad_(False)
