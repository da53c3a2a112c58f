"""A data set in one page: independent Laplace variables, with their exact density."""

from dataclasses import dataclass

import torch

from genbench.core import Batch, Data, Event, Normal, Split, Truth
from genbench.registry import datasets
from genbench.seeds import generator
from genbench.settings import Count, Positive
from genbench.space import Real


@dataclass(frozen=True)
class Laplace(Split):
    """Fresh draws without end, a stream of its own for each part."""

    part: str
    dims: int
    scale: float
    size: None = None

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """Return the step-th training batch."""
        return self._draw(size, generator(seed, "example-laplace", self.part, "batch", step))

    def take(self, n: int, seed: int) -> Batch:
        """Return n samples."""
        return self._draw(n, generator(seed, "example-laplace", self.part, "take"))

    def _draw(self, n: int, draws: torch.Generator) -> Batch:
        u = torch.rand(n, self.dims, generator=draws, dtype=torch.float64) - 0.5
        x = -self.scale * u.sign() * torch.log1p(-2 * u.abs())
        return Batch(x.float(), torch.zeros(n, dtype=torch.int64))


@datasets.register("example-laplace", version=1)
def laplace(*, dims: Count = 2, scale: Positive = 1.0) -> Data:
    """Independent Laplace variables with exact density.

    Args:
        dims: number of dimensions.
        scale: mean absolute value of each.
    """
    density = torch.distributions.Laplace(0.0, scale)
    return Data(
        event=Event((dims,)),
        space=Real(),
        source=Normal((dims,)),
        train=Laplace("train", dims, scale),
        valid=Laplace("valid", dims, scale),
        test=Laplace("test", dims, scale),
        plan={"steps": 200, "batch_size": 256, "lr": 1e-2},
        metrics=("example-mean",),
        truth=Truth(log_prob=lambda x: density.log_prob(x).sum(1)),
        provenance={"source": "drawn by genbench-plugin-example"},
    )
