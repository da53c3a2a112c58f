"""Toys for quick checks of any component: Gaussian blobs as tasks, and a model known in closed form."""

from dataclasses import dataclass

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
    """Fresh draws from three Gaussian blobs, one per class; draws of image shape are quantized to gray levels."""

    part: str
    shape: tuple[int, ...]
    classes: int
    size: int | None = None

    def batch(self, step: int, size: int, seed: int) -> Batch:
        return self._draw(size, generator(seed, self.part, "batch", step))

    def take(self, n: int, seed: int) -> Batch:
        return self._draw(n, generator(seed, self.part, "take"))

    def _draw(self, n: int, draws: torch.Generator) -> Batch:
        blob = torch.randint(CLASSES, (n,), generator=draws)
        x = centers(self.shape)[blob] + 0.2 * torch.randn(n, *self.shape, generator=draws)
        if len(self.shape) == 3:
            x = Pixels(LEVELS).encode(Pixels(LEVELS).decode(x))
        return Batch(x, blob if self.classes else torch.zeros_like(blob))


def centers(shape: tuple[int, ...]) -> Float[Tensor, "blobs *event"]:
    """Return the centers of the blobs, none of them at 0."""
    signs = torch.tensor([[0.8, 0.8], [-0.8, 0.4], [0.4, -0.8]])
    dims = torch.Size(shape).numel()
    return signs.repeat(1, (dims + 1) // 2)[:, :dims].reshape(-1, *shape)


def toy_tasks() -> dict[str, Data]:
    """Return vectors, vectors with classes, and images with classes."""
    return {
        "vectors": _task(Event((2,))),
        "labeled vectors": _task(Event((2,), CLASSES)),
        "labeled images": _task(Event((1, 4, 4), CLASSES, Pixels(LEVELS).bin)),
    }


def _task(event: Event) -> Data:
    train, valid, test = (Blobs(part, event.shape, event.classes) for part in ("train", "valid", "test"))
    image = event.is_image
    truth = Truth() if image else Truth(modes=centers(event.shape), log_prob=_log_prob)
    return Data(event, Pixels(LEVELS) if image else Real(), Normal(event.shape), train, valid, test, truth=truth)


def _log_prob(x: Float[Tensor, "b 2"]) -> Float[Tensor, " b"]:
    means = centers((2,)).to(x)
    per_blob = torch.distributions.Normal(means, 0.2).log_prob(x[:, None]).sum(-1)
    return per_blob.logsumexp(1) - torch.tensor(float(len(means))).log()


class AffineFlow(Model, Transport, Coupled):
    """x = s x0 + m for each coordinate: straight paths, exact density, independent pairs.

    The path x_t = (1 - t) x0 + t x has the velocity v(t, x) = (s - 1) (x - t m) / (1 - t + t s) + m.
    """

    def __init__(self, event: Event, source: Source) -> None:
        super().__init__()
        self.event, self.source, self.coupling = event, source, Independent()
        self.log_scale = nn.Parameter(torch.full(event.shape, -0.3))
        self.shift = nn.Parameter(torch.full(event.shape, 0.1))

    def draw(self, batch: Batch, generator: torch.Generator) -> Batch:
        return batch

    def loss(self, example: Batch) -> dict[str, Tensor]:
        return {"loss": -self.log_prob(example.x).mean() / self.event.dims}

    def sample(self, x0: Float[Tensor, "b *event"], *, label: Int[Tensor, " b"] | None = None) -> Samples:
        return Samples(x0 * self.log_scale.exp() + self.shift, 1.0)

    def log_prob(self, x: Float[Tensor, "b *event"], *, label: Int[Tensor, " b"] | None = None) -> Float[Tensor, " b"]:
        return self.source.log_prob((x - self.shift) / self.log_scale.exp()) - self.log_scale.sum()

    def velocity(
        self, t: Float[Tensor, ""], x: Float[Tensor, "b *event"], label: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b *event"]:
        scale = self.log_scale.exp()
        return (scale - 1) * (x - t * self.shift) / (1 - t + t * scale) + self.shift
