"""Toys: tasks small enough to check any component on in moments, and a model of which everything is known."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from genbench.core import Batch, Data, Event, Model, Normal, Samples, Source, Split, Transport, Truth
from genbench.models.flow_matching.couplings.base import Coupled, Independent
from genbench.seeds import generator
from genbench.space import Pixels, Real

LEVELS = 16
CLASSES = 3


@dataclass(frozen=True)
class Blobs(Split):
    """Three Gaussian blobs without end, one a class; quantised to grey levels where they are images."""

    part: str
    shape: tuple[int, ...]
    classes: int
    size: int | None = None

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """Return the step-th training batch."""
        return self._draw(size, generator(seed, self.part, "batch", step))

    def take(self, n: int, seed: int) -> Batch:
        """Return n samples."""
        return self._draw(n, generator(seed, self.part, "take"))

    def _draw(self, n: int, draws: torch.Generator) -> Batch:
        blob = torch.randint(CLASSES, (n,), generator=draws)
        x = centres(self.shape)[blob] + 0.2 * torch.randn(n, *self.shape, generator=draws)
        if len(self.shape) == 3:
            x = Pixels(LEVELS).encode(Pixels(LEVELS).decode(x))
        return Batch(x, blob if self.classes else torch.zeros_like(blob))


def centres(shape: tuple[int, ...]) -> Float[Tensor, "blobs *event"]:
    """Return the centres of the blobs, none of them at 0."""
    signs = torch.tensor([[0.8, 0.8], [-0.8, 0.4], [0.4, -0.8]])
    dims = torch.Size(shape).numel()
    return signs.repeat(1, (dims + 1) // 2)[:, :dims].reshape(-1, *shape)


def tasks() -> dict[str, Data]:
    """Return the tasks that components are tried on: vectors, vectors with classes, images with classes."""
    return {
        "vectors": _task(Event((2,))),
        "labelled vectors": _task(Event((2,), CLASSES)),
        "labelled images": _task(Event((1, 4, 4), CLASSES, Pixels(LEVELS).bin)),
    }


def _task(event: Event) -> Data:
    train, valid, test = (Blobs(part, event.shape, event.classes) for part in ("train", "valid", "test"))
    image = len(event.shape) == 3
    truth = Truth() if image else Truth(modes=centres(event.shape), log_prob=_log_prob)
    space = Pixels(LEVELS) if image else Real()
    return Data(event, space, Normal(event.shape), train, valid, test, truth=truth)


def _log_prob(x: Float[Tensor, "b 2"]) -> Float[Tensor, " b"]:
    means = centres((2,)).to(x)
    each = torch.distributions.Normal(means, 0.2).log_prob(x[:, None]).sum(-1)
    return each.logsumexp(1) - torch.tensor(float(len(means))).log()


class Given(NamedTuple):
    """One step of `Affine`: the data as it came."""

    x: Float[Tensor, "b *event"]


class Affine(Model, Transport, Coupled):
    """x = s x0 + m, each coordinate for itself: straight paths, exact density, independent pairs, in closed form.

    The path x_t = (1 - t) x0 + t x gives the field v(t, x) = (s - 1) (x - t m) / (1 - t + t s) + m.
    """

    def __init__(self, event: Event, source: Source) -> None:
        super().__init__()
        self.event, self.source, self.coupling = event, source, Independent()
        self.log_scale = nn.Parameter(torch.full(event.shape, -0.3))
        self.shift = nn.Parameter(torch.full(event.shape, 0.1))

    def draw(self, batch: Batch, generator: torch.Generator) -> Given:
        """Draw nothing."""
        return Given(batch.x)

    def loss(self, example: Given) -> dict[str, Tensor]:
        """Return the negative log-likelihood per dimension."""
        return {"loss": -self.log_prob(example.x).mean() / self.event.dims}

    def sample(self, x0: Float[Tensor, "b *event"], *, label: Int[Tensor, " b"] | None = None) -> Samples:
        """Scale and shift the noise."""
        return Samples(x0 * self.log_scale.exp() + self.shift, 1.0)

    def log_prob(self, x: Float[Tensor, "b *event"], *, label: Int[Tensor, " b"] | None = None) -> Float[Tensor, " b"]:
        """Return the density of the source at the inverse, corrected for the scale."""
        return self.source.log_prob((x - self.shift) / self.log_scale.exp()) - self.log_scale.sum()

    def velocity(
        self, t: Float[Tensor, ""], x: Float[Tensor, "b *event"], label: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b *event"]:
        """Return the field of the straight paths."""
        scale = self.log_scale.exp()
        return (scale - 1) * (x - t * self.shift) / (1 - t + t * scale) + self.shift


def tensors(example: Any) -> Mapping[str, Tensor]:
    """Return the tensors of an example by name. Raises AssertionError if it is no NamedTuple of tensors."""
    fields = getattr(example, "_fields", None)
    assert fields, f"draw must return a NamedTuple of tensors, not {type(example)}"
    named = dict(zip(fields, example, strict=True))
    for name, value in named.items():
        assert value is None or isinstance(value, Tensor), f"draw must return tensors, '{name}' is {type(value)}"
    return {name: value for name, value in named.items() if value is not None}
