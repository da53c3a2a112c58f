"""Energies with known normalizing constants: exact samples and densities, for likelihoods and importance weights.

The usual targets of samplers that are trained on an energy. Here models see samples, and the energy judges them: `nll`
has the entropy as its floor, `ess` and `forward_ess` are 1 for the exact density.
"""

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from genbench.core import Batch, Data, Truth
from genbench.data.synthetic.mixture import Mixture
from genbench.data.vectors import unlabeled, vectors
from genbench.registry import datasets
from genbench.settings import Count, Positive
from genbench.storage import memory

BLOCK = 2**20
"""Samples of one well that are computed at once."""

WEIGHTS = ("ess", "forward_ess")
"""Metrics of importance weights, which every energy has by default."""


@datasets.register("double_well", version=1, headline="w2")
def double_well() -> Data:
    """A double well times a Gaussian, log p(x, y) = -x^4 + 6 x^2 + x / 2 - y^2 / 2 - log Z.

    The wells have probabilities .156 and .844.

    Reference: Noe et al., 2019; Midgley et al., 2023.
    """
    maxima = np.roots([-4.0, 0.0, 12.0, 0.5])  # of the derivative; the middle one is the barrier
    return _wells("double_well", 1, torch.tensor([[maxima.min(), 0.0], [maxima.max(), 0.0]]).float())


@datasets.register("many_well", version=1, headline="energy_distance")
def many_well(*, wells: Count = 16) -> Data:
    """Independent double wells in pairs of coordinates (x1, y1, x2, y2, ...), which have 2^wells modes.

    Args:
        wells: number of double wells, half the number of coordinates.

    Reference: Midgley et al., 2023.
    """
    memory.require(24 * wells, f"many_well.wells={wells}")
    return _wells("many_well", wells, None)


@datasets.register("gmm40", version=1, headline="w2")
def gmm40() -> Data:
    """40 equal Gaussians of deviation 1.313 with centers drawn in [-40, 40]^2; the label is the mode.

    Models see coordinates divided by 40; metrics are in the units of the data.

    Reference: Midgley et al., 2023.
    """
    centers = 2 * torch.rand(40, 2, generator=torch.Generator().manual_seed(0)) - 1
    law = Mixture(centers, torch.full((40,), math.log1p(math.e) / 40))  # softplus(1), as the reference has it
    truth = Truth(log_prob=law.log_prob, modes=law.means, velocity=law.velocity)
    return _weighed(vectors("gmm40", law.draw, classes=40, stratified=law.stratified, truth=truth, scale=40.0))


@datasets.register("funnel", version=1, headline="energy_distance")
def funnel(*, dims: Count = 10, std: Positive = 3.0) -> Data:
    """Neal's funnel: v ~ N(0, std^2), and the other coordinates are N(0, e^v) given v.

    Args:
        dims: number of coordinates, v first.
        std: standard deviation of v; torchcfm has 1.

    Reference: Neal, 2003.
    """

    def draw(n: int, generator: torch.Generator) -> Batch:
        noise = torch.randn(n, dims, generator=generator, device=generator.device)
        v = std * noise[:, :1]
        return unlabeled(torch.cat([v, (v / 2).exp() * noise[:, 1:]], 1))

    def log_prob(x: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        v, rest = x[:, 0], x[:, 1:]
        square = (v / std).square() + rest.square().sum(1) * (-v).exp()
        return -(square + (dims - 1) * v + dims * math.log(2 * math.pi)) / 2 - math.log(std)

    return _weighed(vectors("funnel", draw, dims=dims, truth=Truth(log_prob=log_prob)))


def _wells(name: str, wells: int, modes: Float[Tensor, "modes d"] | None) -> Data:
    def draw(n: int, generator: torch.Generator) -> Batch:
        level = torch.rand(n, wells, generator=generator, device=generator.device, dtype=torch.float64)
        x = torch.cat([_quantiles(part) for part in level.flatten().split(BLOCK)]).view(n, wells)
        y = torch.randn(n, wells, generator=generator, device=generator.device)
        return unlabeled(torch.stack([x, y], 2).flatten(1))

    def log_prob(x: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        well, gaussian = x.unflatten(1, (wells, 2)).unbind(2)
        log_z = _tabulated()[2] + math.log(2 * math.pi) / 2
        return (_log_height(well) - gaussian.square() / 2 - log_z).sum(1)

    return _weighed(vectors(name, draw, dims=2 * wells, truth=Truth(log_prob=log_prob, modes=modes)))


def _quantiles(level: Float64[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return the points of the double well below which these shares of it lie."""
    grid, distribution, _ = _tabulated()
    grid, distribution = grid.to(level.device), distribution.to(level.device)
    right = torch.searchsorted(distribution, level, right=True)
    share = (level - distribution[right - 1]) / (distribution[right] - distribution[right - 1])
    return torch.lerp(grid[right - 1], grid[right], share).float()


def _log_height(x: Tensor) -> Tensor:
    return -(x**4) + 6 * x.square() + x / 2


@lru_cache
def _tabulated() -> tuple[Float64[Tensor, " points"], Float64[Tensor, " points"], float]:
    """Return points, the distribution function of the double well at them, and the logarithm of its integral.

    The integrals over the cells are Simpson's, exact in float64. The cells are so narrow (1e-4) that samples drawn
    from them uniformly differ from exact ones by less than the rounding to float32; beyond the last point lies 1e-37.
    """
    grid = torch.linspace(-3.5, 3.5, 2**16 + 1, dtype=torch.float64)
    ends, middle = _log_height(grid).exp(), _log_height((grid[1:] + grid[:-1]) / 2).exp()
    mass = (ends[1:] + 4 * middle + ends[:-1]) * (grid[1:] - grid[:-1]) / 6
    below = torch.cat([mass.new_zeros(1), mass.cumsum(0)])
    return grid, below / below[-1], math.log(below[-1])


def _weighed(data: Data) -> Data:
    return replace(data, metrics=(*data.metrics, *WEIGHTS))
