"""Faults of graded size: samplers that are wrong in a known way, each a pool from which samples are drawn.

The true sampler draws real samples, with replacement, from a pool. A fault changes the samples
in the pool, their odds of being drawn, or their labels. Its size says by how much.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.nn import functional as F

from genbench.core import Batch


class Pool(NamedTuple):
    """Raw samples, their labels, and the odds of drawing each; images have uint8 levels."""

    x: Shaped[Tensor, "n *event"]
    label: Int[Tensor, " n"]
    odds: Float[Tensor, " n"]

    @classmethod
    def of(cls, x: Tensor, label: Tensor) -> "Pool":
        """Return a pool of equal odds."""
        return cls(x, label, torch.ones(len(x), dtype=torch.float64))

    def draw(self, n: int, stream: torch.Generator) -> Batch:
        """Draw n samples with replacement."""
        rows = torch.multinomial(self.odds, n, replacement=True, generator=stream)
        return Batch(self.x[rows], self.label[rows])


class Real(NamedTuple):
    """Real samples that faults start from.

    Args:
        pool: what the true sampler draws from.
        training: other real samples, from which copies are made.
        levels: number of gray levels; 0 for points.
    """

    pool: Pool
    training: Pool
    levels: int


class Fault(NamedTuple):
    """A kind of fault.

    Args:
        label: with a place for the size.
        sizes: from small to large.
        apply: returns the pool of a size; the generator is for its randomness.
    """

    label: str
    sizes: Sequence[float]
    apply: Callable[[Real, float, torch.Generator], Pool]


def shift(real: Real, size: float, stream: torch.Generator) -> Pool:
    """Move points along the first axis; make images brighter by a share of the range of levels."""
    if real.levels:
        return _levels(real, lambda x: x + size, stream)
    return real.pool._replace(x=real.pool.x + size * torch.eye(real.pool.x.shape[1])[0])


def scale(real: Real, size: float, stream: torch.Generator) -> Pool:
    """Stretch points from their mean, or levels of images from the mean level (contrast), by a factor 1 + size."""
    if real.levels:
        return _levels(real, lambda x: x.mean() + (1 + size) * (x - x.mean()), stream)
    mean = real.pool.x.mean(0)
    return real.pool._replace(x=mean + (1 + size) * (real.pool.x - mean))


def noise(real: Real, size: float, stream: torch.Generator) -> Pool:
    """Add Gaussian noise of this standard deviation, on images as a share of the range of levels."""

    def noisy(x: Tensor) -> Tensor:
        return x + size * torch.randn(x.shape, generator=stream)

    return _levels(real, noisy, stream) if real.levels else real.pool._replace(x=noisy(real.pool.x))


def blur(real: Real, size: float, stream: torch.Generator) -> Pool:
    """Blur images by a Gaussian of this standard deviation in pixels."""
    taps = torch.exp(-(torch.arange(-3.0, 4.0) ** 2) / (2 * size**2))
    kernel = torch.outer(taps, taps) / taps.sum() ** 2

    def blurred(x: Tensor) -> Tensor:
        channels = x.shape[1]
        padded = F.pad(x, (3, 3, 3, 3), mode="replicate")
        return F.conv2d(padded, kernel.expand(channels, 1, 7, 7), groups=channels)

    return _levels(real, blurred, stream)


def drop(real: Real, size: float, stream: torch.Generator) -> Pool:
    """Leave out this number of classes; a fraction leaves out that part of one more class."""
    return real.pool._replace(odds=(1 + real.pool.label - size).clamp(0, 1).double())


def imbalance(real: Real, size: float, stream: torch.Generator) -> Pool:
    """Draw even classes by a factor 1 + size more often, odd ones by 1 - size."""
    return real.pool._replace(odds=1 + size * (1 - 2 * (real.pool.label % 2)).double())


def repeat(real: Real, size: float, stream: torch.Generator) -> Pool:
    """Draw from this number of different samples only."""
    return Pool(*(each[: int(size)] for each in real.pool))


def copy(real: Real, size: float, stream: torch.Generator) -> Pool:
    """Replace this share of samples by training samples."""
    parts = ((real.pool, 1 - size), (real.training, size))
    odds = [torch.full_like(part.odds, share / len(part.odds)) for part, share in parts]
    x, label = (torch.cat([part[i] for part, _ in parts]) for i in (0, 1))
    return Pool(x, label, torch.cat(odds))


def mislabel(real: Real, size: float, stream: torch.Generator) -> Pool:
    """Give this share of samples the label of the next class."""
    label = real.pool.label
    wrong = torch.rand(len(label), generator=stream) < size
    return real.pool._replace(label=torch.where(wrong, (label + 1) % (int(label.max()) + 1), label))


def mispair(real: Real, size: float, stream: torch.Generator) -> Pool:
    """Shuffle the labels of this share of samples; the distributions of samples and of labels stay the same."""
    label = real.pool.label.clone()
    chosen = torch.nonzero(torch.rand(len(label), generator=stream) < size).squeeze(1)
    label[chosen] = label[chosen[torch.randperm(len(chosen), generator=stream)]]
    return real.pool._replace(label=label)


POINTS = (
    Fault("shifted by {:g}", (0.2, 0.4, 0.8), shift),
    Fault("scaled by {:+.0%}", (0.02, 0.05, 0.1), scale),
    Fault("noise of {:g}", (0.2, 0.4, 0.8), noise),
    Fault("{:g} of 8 modes dropped", (0.25, 0.5, 1), drop),
    Fault("modes uneven by {:.0%}", (0.1, 0.2, 0.4), imbalance),
    Fault("only {:g} different points", (500, 100, 50), repeat),
)
DIGITS = (
    Fault("brighter by {:.0%}", (0.03, 0.06, 0.1), shift),
    Fault("contrast {:+.0%}", (-0.05, -0.1, -0.2), scale),
    Fault("noise of {:.0%}", (0.05, 0.07, 0.1), noise),
    Fault("blur of {:g} pixels", (0.3, 0.4, 0.5), blur),
    Fault("{:g} of 10 classes dropped", (0.5, 1, 2), drop),
    Fault("classes uneven by {:.0%}", (0.2, 0.4, 0.8), imbalance),
    Fault("only {:g} different images", (400, 200, 50), repeat),
    Fault("{:.0%} copies of training images", (0.1, 0.3, 1), copy),
    Fault("{:.0%} wrong labels", (0.02, 0.05, 0.1), mislabel),
)
CAPTIONS = (
    Fault("{:.0%} of captions exchanged", (0.02, 0.05, 0.1), mispair),
    Fault("blur of {:g} pixels", (0.5,), blur),
)
CIFAR10 = (
    Fault("brighter by {:.0%}", (0.1,), shift),
    Fault("contrast {:+.0%}", (-0.2,), scale),
    Fault("noise of {:.0%}", (0.02,), noise),
    Fault("blur of {:g} pixels", (0.4,), blur),
    Fault("{:g} of 10 classes dropped", (1, 2), drop),
    Fault("classes uneven by {:.0%}", (0.4, 0.8), imbalance),
    Fault("only {:g} different images", (500,), repeat),
    Fault("{:.0%} copies of training images", (0.3, 1), copy),
)


def _levels(real: Real, change: Callable[[Tensor], Tensor], stream: torch.Generator) -> Pool:
    """Change images in [0, 1]; values between two levels are randomly rounded up or down, so small changes count."""
    top = real.levels - 1
    changed = change(real.pool.x.float() / top).clamp(0, 1) * top
    dithered = (changed + torch.rand(changed.shape, generator=stream)).floor()
    return real.pool._replace(x=dithered.clamp(0, top).to(torch.uint8))
