"""Two branches along a real condition: a conditional law that is known exactly."""

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from genbench.core import Batch, Data, Source, Truth
from genbench.data.synthetic.mixture import Mixture
from genbench.data.vectors import unlabeled, vectors
from genbench.registry import datasets

STD = 0.3

GRID = 64
"""Conditions over which the distance from the source is averaged."""


class NoiseWithCondition(Source):
    """x ~ N(0, I) in the plane, and the condition c ~ U(-1, 1) as the third coordinate."""

    shape = (3,)

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n 3"]:
        """Draw n independent samples, on the generator's device."""
        x = torch.randn(n, 2, generator=generator, device=generator.device)
        return torch.cat([x, _conditions(n, generator)], 1)

    def log_prob(self, x: Float[Tensor, "b 3"]) -> Float[Tensor, " b"]:
        """Return the log-density in nats."""
        return _log_uniform(x[:, 2]) - x[:, :2].square().sum(1) / 2 - math.log(2 * math.pi)


@datasets.register("branches", version=1, headline="conditional_w2")
def branches() -> Data:
    """Two branches in the plane along a real condition c ~ U(-1, 1), the third coordinate, with exact density.

    x | c ~ (N((3c, 1.5 + c), .09 I) + N((3c, -1.5 - c), .09 I)) / 2

    Noise that is optimally transported regardless of c has a first coordinate that depends on c: a model of x given c
    that starts from N(0, I) then has never seen most of its noise.
    """
    truth = Truth(log_prob=_log_prob, w2_squared=_w2_squared())
    return vectors("branches", _draw, dims=3, conditions=1, source=NoiseWithCondition(), truth=truth)


def _conditions(n: int, generator: torch.Generator) -> Float[Tensor, "n 1"]:
    return 2 * torch.rand(n, 1, generator=generator, device=generator.device) - 1


def _center(c: Float[Tensor, "*b 1"]) -> Float[Tensor, "*b 2"]:
    """Return the center of the upper branch."""
    return torch.cat([3 * c, 1.5 + c], -1)


def _draw(n: int, generator: torch.Generator) -> Batch:
    c = _conditions(n, generator)
    x = _center(c)
    x[:, 1] *= 2.0 * torch.randint(2, (n,), generator=generator, device=generator.device) - 1
    noise = torch.randn(n, 2, generator=generator, device=generator.device)
    return unlabeled(torch.cat([x + STD * noise, c], 1))


def _log_prob(x: Float[Tensor, "b 3"]) -> Float[Tensor, " b"]:
    upper = _center(x[:, 2:])
    squares = [(x[:, :2] - upper * upper.new_tensor([1.0, side])).square().sum(1) for side in (1, -1)]
    each = torch.stack(squares) / (-2 * STD**2) - math.log(2 * math.pi * STD**2)
    return each.logsumexp(0) - math.log(2) + _log_uniform(x[:, 2])


def _log_uniform(c: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    return torch.where(c.abs() <= 1, -math.log(2), -torch.inf).to(c)


@lru_cache
def _w2_squared() -> float:
    """Return the mean over conditions of the squared distance from N(0, I) to the branches there."""
    centers = [_center(c) for c in (2 * (torch.arange(GRID) + 0.5) / GRID - 1)[:, None, None]]
    laws = [Mixture(torch.cat([up, up * up.new_tensor([1.0, -1.0])]), torch.full((2,), STD)) for up in centers]
    squared = [law.w2_squared for law in laws]
    return sum(value for value in squared if value is not None) / GRID
