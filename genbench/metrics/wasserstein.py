"""Wasserstein distances: exact optimal transport between samples, and the distance from source to data."""

import json
import math
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from genbench.core import Data
from genbench.errors import RunFailed, Unsupported
from genbench.numerics.optimal_transport import pot
from genbench.seeds import derive, generator
from genbench.storage import cache

ITERATIONS = 10**9
"""Maximum pivots of the network simplex: POT's default of 10^5 stops before the optimum above about 2048 points."""

PAIR = 56
"""Bytes of the network simplex for each pair of points."""

MAX_DIMS = 4
"""Most dimensions in which W2 between distributions is estimated from samples. For Gaussians, the estimate is within
2 % up to here, 28 % too high in 8 dimensions and three times too high in 50."""

DUAL_POINTS, FRESH_POINTS, ROWS = 2048, 32768, 512

VERSION = 1
"""Version in the cache key: raise it when the distance from source to data would be another number."""


class TransportPlan(NamedTuple):
    """Exact optimal transport between two samples of equal size: mean squared distance and dual potentials."""

    cost: float
    f: Float[Tensor, " n"]
    g: Float[Tensor, " n"]


class Distance(NamedTuple):
    """A squared 2-Wasserstein distance, its standard error (0 if exact), and its origin for protocols."""

    squared: float
    error: float
    source: str


def distances(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Return |x_i - y_j| from differences: exactly zero between equal points, unlike by a matrix product."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def squared_distances(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Return |x_i - y_j|^2 from differences."""
    return distances(x, y).square_()


def transport_plan(x: Float[Tensor, "n d"], y: Float[Tensor, "n d"]) -> TransportPlan:
    """Solve the assignment of two samples to optimality by network simplex.

    Raises:
        RunFailed: if a distance is not finite, or the solver stops before the optimum.

    Reference: Bonneel et al., 2011; Flamary et al., 2021 (POT).
    """
    costs = squared_distances(x, y)
    if not math.isfinite(float(costs.max())):  # NaN if a cost is NaN; costs are not negative
        raise RunFailed("two samples have no optimal transport plan: not every distance between them is finite")
    cost, log = pot("lp").emd2([], [], costs.numpy(), numItermax=ITERATIONS, log=True)
    if log["warning"] is not None:
        raise RunFailed(f"exact optimal transport did not finish: {log['warning']}")
    return TransportPlan(float(cost), torch.as_tensor(log["u"]), torch.as_tensor(log["v"]))


def exact_transport_bytes(n: int) -> int:
    """Return the least bytes of memory that `squared_w2` needs for n points in more than one dimension."""
    return PAIR * n**2


def squared_w2(x: Float[Tensor, "n d"], y: Float[Tensor, "n d"]) -> tuple[float, Float[Tensor, " n"]]:
    """Return the exact squared 2-Wasserstein distance of two samples of equal size, and each point's influence on it.

    The influence of a point of x is its dual potential, with mean 0.

    Reference: del Barrio and Loubes, 2019.
    """
    if x.shape[1] == 1:
        line = y.sort(0).values
        return float((x.sort(0).values - line).square().mean()), sliced_influence(x, line.T, x.new_ones(1, 1))
    plan = transport_plan(x, y)
    return plan.cost, plan.f - plan.f.mean()


def random_directions(dims: int, count: int, stream: torch.Generator) -> Float[Tensor, "directions d"]:
    """Draw directions, uniform on the sphere."""
    axes = torch.randn(dims, count, generator=stream, dtype=torch.float64)
    return (axes / axes.norm(dim=0)).T


def sorted_projections(x: Float[Tensor, "n d"], axes: Float[Tensor, "directions d"]) -> Float[Tensor, "directions n"]:
    """Return the sorted coordinates of points along each direction; optimal transport matches equal ranks."""
    # NumPy sorts rows with vector instructions, torch does not.
    return torch.cat([torch.from_numpy(np.sort((some @ x.T).numpy(), axis=1)) for some in axes.split(16)])


def sliced_influence(
    x: Float[Tensor, "n d"], sorted_y: Float[Tensor, "directions n"], axes: Float[Tensor, "directions d"]
) -> Float[Tensor, " n"]:
    """Return the influence of each point of x on the mean over directions of squared W2 of projections.

    It is the mean of the dual potentials, phi'(s) = 2 (s - T(s)) with the monotone map T, each with mean 0.

    Reference: del Barrio and Loubes, 2019.
    """
    total = x.new_zeros(len(x))
    for some, matched in zip(axes.split(16), sorted_y.split(16), strict=True):
        line = some @ x.T
        order = torch.from_numpy(np.argsort(line.numpy(), axis=1))
        line = line.gather(1, order)
        moved = line - matched
        steps = line.diff() * (moved[:, 1:] + moved[:, :-1])
        potential = torch.cat([steps.new_zeros(len(steps), 1), steps.cumsum(1)], 1)
        potential -= potential.mean(1, keepdim=True)
        total.index_add_(0, order.flatten(), potential.flatten())
    return total / len(axes)


@lru_cache(maxsize=64)
def source_to_data(data: Data) -> Distance:
    """Return W2^2 between source and data in model space, the same for every model and every seed.

    Where it is unknown, it is estimated from the dual potentials of the exact plan between 2048 points of each. The
    c-transform f(x) = min_j |x - y_j|^2 - g_j extends the potentials to 32768 fresh points of each, where they are
    averaged. The cost of the plan itself is biased upward, and its standard deviation is three to ten times larger.

    Raises:
        Unsupported: in more than four dimensions, or with fewer test points.
    """
    exact = data.truth.w2_squared() if data.truth.w2_squared is not None else None
    if exact is not None:
        return Distance(exact, 0.0, "exact W2")
    if data.event.dims > MAX_DIMS:
        raise Unsupported(
            f"W2 from source to data is not known, and cannot be estimated in {data.event.dims} dimensions"
        )
    if data.test.size is not None and data.test.size < FRESH_POINTS:
        raise Unsupported(
            f"W2 from source to data is not known, and its estimate takes {FRESH_POINTS:,} test points; there are "
            f"{data.test.size:,}"
        )

    def points(n: int, use: str) -> tuple[Tensor, Tensor]:
        x = data.source.sample(n, generator(0, "source to data", use))
        y = data.test.take(n, derive(0, "source to data", use)).x
        return x.double().flatten(1), y.double().flatten(1)

    plan, fresh = points(DUAL_POINTS, "plan"), points(FRESH_POINTS, "average")
    # Cached: it takes longer than the other metrics of a 2D run, and is the same for all runs of a task.
    content = [sha256(part.numpy().tobytes()).hexdigest() for part in (*plan, *fresh)]
    name = f"{cache.key(points=content, version=VERSION)}.json"
    squared, error = json.loads(cache.text("distances", name, lambda: json.dumps(_dual_estimate(*plan, *fresh))))
    return Distance(squared, error, f"W2 from duals of {DUAL_POINTS} points on {FRESH_POINTS}")


def _dual_estimate(x: Tensor, y: Tensor, fresh_x: Tensor, fresh_y: Tensor) -> tuple[float, float]:
    """Return the mean of the dual potentials at fresh points, and its standard error."""
    _, f, g = transport_plan(x, y)
    values = torch.stack([_c_transform(fresh_x, y, g), _c_transform(fresh_y, x, f)])
    return float(values.mean(1).sum()), float((values.var(1) / len(fresh_x)).sum().sqrt())


def _c_transform(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], g: Float[Tensor, " m"]) -> Float[Tensor, " n"]:
    return torch.cat([(squared_distances(rows, y) - g).min(1).values for rows in x.split(ROWS)])
