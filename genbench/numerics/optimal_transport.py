"""Optimal transport: the exact assignment of two equal-sized sets, and the potentials of entropic transport.

The entropic plan between distributions mu and nu has the density exp(-c(x, y) / epsilon + phi(x) + psi(y)) with respect
to their product. Given psi, the soft c-transform exp(-phi(x)) = E_nu exp(psi - c(x, .) / epsilon) gives phi at any x.
"""

import math
import sys
import warnings
from functools import cache
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from genbench.errors import RunFailed

Cost = Literal["norm", "sqnorm"]

TEMPERATURES = (0.1, 0.02, 0.005)
"""Temperatures at which `assignment` seeks potentials, in units of the mean cost."""

ROUNDS = 20
"""Scalings of rows and columns at each of these temperatures."""

PAIR, ENTROPIC_PAIR = 28, 20
"""Bytes in memory for each pair of points: in `assignment` (costs, reduced costs, a kernel), and in `sinkhorn`."""

MIN_REDUCED = 100
"""Batch size from which on potentials save `assignment` more time than they cost."""

SCALINGS = 50
"""Scalings by a fixed kernel between two steps in the log domain, which take twenty times as long."""

MAX_SCALINGS = 10_000

TOLERANCE = 1e-3
"""Largest relative error of a marginal: far below the sampling error of any affordable sample."""

SAFE_RANGE = 50.0
"""Largest cost over temperature at which Sinkhorn's algorithm starts: such a kernel has no empty rows."""

CHUNK = 2**17
"""Entries of a kernel in memory at once: allocating pages costs more than the arithmetic on them."""


@cache
def pot(part: str) -> ModuleType:
    """Import a part of POT when it is first needed, without warnings about its docstrings.

    POT as a whole imports pandas and scikit-learn, which takes two seconds. The part belongs to a package of another
    name, whose own module is not executed, so that `import ot` elsewhere still imports all of POT.
    """
    sys.modules.setdefault("parts_of_pot", module_from_spec(find_spec("ot")))  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(f"parts_of_pot.{part}")


def assignment(cost: Float64[Tensor, "n n"]) -> Int[Tensor, " n"]:
    """Return for each column the row it is matched with, such that the total cost is minimal.

    Subtracting potentials of rows and columns changes no optimum. The potentials of entropic transport at falling
    temperatures leave costs near zero along the optimal matching, where SciPy's shortest augmenting paths find it
    sooner than POT's network simplex does (`make bench`).

    Raises:
        RunFailed: if a cost is not finite.

    References: Kosowsky and Yuille, 1994 (cooling); Crouse, 2016 (augmenting paths, SciPy).
    """
    from scipy.optimize import linear_sum_assignment  # imported here, since it takes a fifth of a second

    costs = cost.numpy()
    if not np.isfinite(costs).all():
        raise RunFailed("a batch has no optimal transport plan: not every distance in it is finite")
    reduced = costs if len(costs) < MIN_REDUCED else _reduce(costs)
    return torch.from_numpy(linear_sum_assignment(reduced)[1].argsort())


def _reduce(cost: Float64[np.ndarray, "n n"]) -> Float64[np.ndarray, "n n"]:
    """Subtract approximate potentials; their accuracy affects only the speed of the exact solver.

    NumPy does this, because calls of torch take longer than the arithmetic on vectors as short as a batch.
    """
    reduced = cost - cost.min(1, keepdims=True)
    reduced -= reduced.min(0)
    mean = max(float(reduced.mean()), 1e-300)
    lowest, least = np.float32(-60), np.float32(1e-30)  # keep all numbers within the range of float32
    for temperature in TEMPERATURES:
        epsilon = temperature * mean
        kernel = (reduced / -epsilon).astype(np.float32)
        np.exp(np.maximum(kernel, lowest, out=kernel), out=kernel)
        v = np.ones(len(kernel), np.float32)
        for _ in range(ROUNDS):
            u = 1 / np.maximum(kernel @ v, least)
            v = 1 / np.maximum(u @ kernel, least)
        reduced -= epsilon * np.log(u, dtype=np.float64)[:, None]
        reduced -= epsilon * np.log(v, dtype=np.float64)
    return reduced


class Kernel(NamedTuple):
    """The Gibbs kernel exp(-c / epsilon) of the cost |x - y| ("norm") or its square ("sqnorm")."""

    epsilon: float | Float64[Tensor, ""]
    cost: Cost

    def log(
        self,
        x: Float[Tensor, "n *event"],
        y: Float[Tensor, "m *event"],
        groups: tuple[Int[Tensor, " n"], Int[Tensor, " m"]] | None = None,
    ) -> Float[Tensor, "n m"]:
        """Return -c(x, y) / epsilon for all pairs, and minus infinity between different groups."""
        kernel = torch.cdist(x.flatten(1), y.flatten(1))
        if self.cost == "sqnorm":
            kernel.square_()
        kernel.mul_(-1 / self.epsilon)
        return kernel if groups is None else kernel.masked_fill_(groups[0][:, None] != groups[1], -torch.inf)

    def c_transform(
        self,
        x: Float[Tensor, "n *event"],
        y: Float[Tensor, "m *event"],
        log_weight: Float[Tensor, " m"],
        groups: tuple[Int[Tensor, " n"], Int[Tensor, " m"]] | None = None,
    ) -> Float[Tensor, " n"]:
        """Return the potential at x (soft c-transform).

        Args:
            log_weight: the other potential at y, plus the log-probability of each y (within its group).
            groups: groups of x and of y; mass moves within groups only.
        """
        parts = []
        for rows in torch.arange(len(x), device=x.device).split(max(1, CHUNK // len(y))):
            kernel = self.log(x[rows], y, None if groups is None else (groups[0][rows], groups[1]))
            parts.append(-torch.logsumexp(kernel.add_(log_weight), 1))
        return torch.cat(parts)


def sinkhorn(
    kernel: Float[Tensor, "n m"], log_a: Float[Tensor, " n"], log_b: Float[Tensor, " m"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " m"]]:
    """Return the potentials of the entropic plan between two weighted samples (Sinkhorn's algorithm).

    Scalings of a fixed kernel are absorbed into the potentials before they can overflow. If the temperature is small
    against the costs, it is halved step by step from a larger one (Schmitzer, 2019).

    Args:
        kernel: the log kernel, -cost / epsilon.
        log_a: log-probability of each row (within its group).
        log_b: log-probability of each column (within its group).

    Raises:
        RunFailed: if every cost over epsilon is infinite, or a marginal is still off after ten thousand scalings.
    """
    costs = kernel[torch.isfinite(kernel)]
    if not len(costs):
        raise RunFailed("every pair has weight 0 at this temperature: raise epsilon (or kappa)")
    largest = -float(costs.min())
    halvings = max(0, math.ceil(math.log2(max(largest, 1.0) / SAFE_RANGE)))
    psi, error = torch.zeros_like(log_b), torch.inf
    for factor in (2.0**k for k in range(halvings, -1, -1)):
        phi, psi, error = _sinkhorn_at(kernel / factor, psi, log_a, log_b, TOLERANCE if factor == 1 else 0.1)
        if factor > 1:
            psi = 2 * psi
    if error < TOLERANCE:
        return phi, psi
    raise RunFailed(
        f"entropic potentials did not converge: a marginal is off by {error:.1%} after {MAX_SCALINGS} scalings; "
        "raise epsilon (or kappa)"
    )


def _sinkhorn_at(
    kernel: Tensor, psi: Tensor, log_a: Tensor, log_b: Tensor, tolerance: float
) -> tuple[Tensor, Tensor, float]:
    """Return the potentials at one temperature, and the largest relative error of a row's mass."""
    a, b = log_a.exp(), log_b.exp()
    for remaining in range(MAX_SCALINGS // SCALINGS - 1, -1, -1):
        phi = -torch.logsumexp(kernel + (psi + log_b), 1)
        psi = -torch.logsumexp(kernel + (phi + log_a)[:, None], 0)
        plan = torch.exp(kernel + (phi + log_a)[:, None] + (psi + log_b))
        error = float((plan.sum(1) / a - 1).abs().max())
        if error < tolerance or not remaining:
            break
        v = torch.ones_like(b)
        for _ in range(SCALINGS):
            v = b / (plan.T @ (a / (plan @ v)))
        # An empty row of the plan makes v infinite; then only the step in the log domain makes progress.
        psi = psi + v.log() if bool((torch.isfinite(v) & (v > 0)).all()) else psi
    return phi, psi, error
