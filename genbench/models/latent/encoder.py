"""Encoders: frozen maps between data and latents, in which a model may work instead of in the data's own space."""

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genbench.core import Data, Event, Split, Stage, Trainable
from genbench.errors import ConfigError, Unsupported
from genbench.space import Space

CHUNK = 2**21
"""Numbers encoded or decoded at once: memory must not grow with the batch, and small images go in one piece."""


class Encoder(Trainable):
    """A frozen map between data and latents.

    A builder is a function `(event, *, keyword-only settings) -> Encoder`. Registered with the trait `shape`, a
    function (event, bound settings) -> shape of the latents, it is known without being built.

    Args:
        shape: shape of the latents. They are continuous, and have the data's classes and captions.
        samples_posterior: whether models learn samples of the posterior instead of its means.
    """

    samples_posterior = False

    def __init__(self, event: Event, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.event = event
        self.latent = replace(event, shape=shape, bin=0.0)

    @abstractmethod
    def encode(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b *latent"]:
        """Return the posterior mean, shifted and scaled to about unit variance in every channel."""

    def moments(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b channels *side"]:
        """Return mean and standard deviation of the posterior, one after the other along the channels.

        Raises:
            Unsupported: if the encoder has no posterior.
        """
        raise Unsupported(f"{type(self).__name__} has no posterior to sample from")

    @abstractmethod
    def decode(self, z: Float[Tensor, "b *latent"]) -> Float[Tensor, "b *event"]:
        """Return points in the model space of the data."""

    @property
    def decoder(self) -> nn.Module:
        """The part that fine-tuning trains.

        Raises:
            Unsupported: if the encoder has no decoder to fine-tune.
        """
        raise Unsupported(f"{type(self).__name__} has no decoder to fine-tune")

    def stages(self) -> Iterator[Stage]:
        """Load pretrained weights if there are any, and yield what is trained, in order.

        The parameters of a stage require gradients while it is trained, and are frozen when the next is requested.
        """
        yield from ()

    def calibrate(self, data: Data) -> None:
        """Measure constants of the latents on training data, kept as buffers. The same data gives the same ones."""

    def digest(self) -> str:
        """Return the sha256 of the weights and constants, which is what latents in a cache are known by."""
        digest = hashlib.sha256()
        for name, value in sorted(self.state_dict().items()):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def in_parts(function: Callable[[Tensor], Tensor], x: Float[Tensor, "b *event"], dims: int) -> Tensor:
    """Apply a function to parts of a batch, so that memory does not grow with its size.

    Args:
        dims: numbers in a sample of data.
    """
    return torch.cat([function(part) for part in x.split(max(1, CHUNK // dims))])


def in_blocks(split: Split, space: Space, n: int, size: int) -> Iterator[Float[Tensor, "b *event"]]:
    """Yield the samples of `split.take(n, 0)` in blocks; stored ones are read one block at a time."""
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
