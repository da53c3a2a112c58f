"""Optimal transport between samples, exactly, and the distance between the distributions they came from."""

import warnings
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from genbench.core import Data
from genbench.errors import RunFailed, Unsupported
from genbench.numerics.assignment import assignment
from genbench.seeds import derive, generator

ITERATIONS = 10**9
"""Pivots of the network simplex: POT's own limit of 10^5 ends before the optimum above some 2048 points."""

DIMS = 4
"""Most dimensions in which a distance between distributions is estimated from samples: the estimate is within 2 %
of the exact value of Gaussians up to here, 28 % too high in 8 dimensions and threefold in 50."""

MATCHED = 4096
"""Points up to which shortest augmenting paths find the optimum sooner than the network simplex does."""

POINTS = 2048
FRESH = 32768
ROWS = 512


class Plan(NamedTuple):
    """Exact optimal transport between two samples of equal size: mean squared distance and dual potentials."""

    cost: float
    f: Float[Tensor, " n"]
    g: Float[Tensor, " n"]


class Distance(NamedTuple):
    """A squared 2-Wasserstein distance, its standard error (0 where it is exact) and how it is known."""

    squared: float
    error: float
    source: str


def distances(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Return |x_i - y_j| from differences: exactly zero between equal points, which a matrix product is not."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def squared_distances(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Return |x_i - y_j|^2 from differences."""
    return distances(x, y).square_()


def plan(x: Float[Tensor, "n d"], y: Float[Tensor, "n d"]) -> Plan:
    """Solve the assignment of two samples by network simplex (POT), to optimality.

    Raises:
        RunFailed: if the solver stops before the optimum.
    """
    # POT takes a second to import, which listing metrics should not.
    import ot

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            cost, log = ot.emd2([], [], squared_distances(x, y).numpy(), numItermax=ITERATIONS, log=True)
        except UserWarning as warning:
            raise RunFailed(f"exact optimal transport did not finish: {warning}") from warning
    return Plan(float(cost), torch.as_tensor(log["u"]), torch.as_tensor(log["v"]))


def squared_w2(x: Float[Tensor, "n d"], y: Float[Tensor, "n d"]) -> float:
    """Return the squared 2-Wasserstein distance of two samples of equal size, exactly (by sorting in 1D)."""
    if x.shape[1] == 1:
        return float((x.sort(0).values - y.sort(0).values).square().mean())
    if len(x) > MATCHED:
        return plan(x, y).cost
    cost = squared_distances(x, y)
    return float(cost[assignment(cost), torch.arange(len(x))].mean())


def directions_of(dims: int, count: int, stream: torch.Generator) -> Float[Tensor, "directions d"]:
    """Draw directions, uniform on the sphere."""
    axes = torch.randn(dims, count, generator=stream, dtype=torch.float64)
    return (axes / axes.norm(dim=0)).T


def ranked(points: Float[Tensor, "n d"], axes: Float[Tensor, "directions d"]) -> Float[Tensor, "directions n"]:
    """Return the coordinates of points along each direction, in order: the optimal plan matches equal ranks."""
    # NumPy sorts rows with vector instructions, torch does not.
    return torch.cat([torch.from_numpy(np.sort((some @ points.T).numpy(), axis=1)) for some in axes.split(16)])


@lru_cache(maxsize=64)
def source_to_data(data: Data) -> Distance:
    """Return W2^2 between source and data in model space, the same for every model and every seed.

    Where it is not known exactly: the dual potentials of the exact plan between 2048 points of each are carried
    on to 32768 fresh points of each by the c-transform, f(x) = min_j |x - y_j|^2 - g_j, and averaged there. The
    average of the plan itself is biased upward and has three to ten times the standard deviation.

    Raises:
        Unsupported: in more than four dimensions, where no sample of affordable size gives this number.
    """
    if data.truth.w2_squared is not None:
        return Distance(data.truth.w2_squared, 0.0, "exact W2")
    if data.event.dims > DIMS:
        raise Unsupported(f"W2 from source to data is not known, and no estimate in {data.event.dims} dimensions is")

    def points(n: int, use: str) -> tuple[Tensor, Tensor]:
        x = data.source.sample(n, generator(0, "source to data", use))
        y = data.test.take(n, derive(0, "source to data", use)).x
        return x.double().flatten(1), y.double().flatten(1)

    x, y = points(POINTS, "plan")
    _, f, g = plan(x, y)
    fresh_x, fresh_y = points(FRESH, "average")
    values = torch.stack([_transform(fresh_x, y, g), _transform(fresh_y, x, f)])
    error = float((values.var(1) / FRESH).sum().sqrt())
    return Distance(float(values.mean(1).sum()), error, f"W2 from duals of {POINTS} points on {FRESH}")


def _transform(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], g: Float[Tensor, " m"]) -> Float[Tensor, " n"]:
    return torch.cat([(squared_distances(rows, y) - g).min(1).values for rows in x.split(ROWS)])
