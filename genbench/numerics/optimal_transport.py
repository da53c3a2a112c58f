"""Optimal transport: the exact assignment of two equal-sized sets, and entropic transport, balanced or unbalanced.

The entropic plan between distributions mu and nu has the density exp(-c(x, y) / epsilon + phi(x) + psi(y)) with respect
to their product. Given psi, the soft c-transform exp(-phi(x)) = E_nu exp(psi - c(x, .) / epsilon) gives phi at any x.

References: Cuturi, 2013; Chizat et al., 2018 (unbalanced); Sejourne et al., 2022 (the constant between potentials);
Klein et al., 2025, "On fitting flow models with large Sinkhorn couplings", https://arxiv.org/abs/2506.05526
(temperatures in units of the cost's spread).
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
"""Largest relative error of a marginal: for each row in `sinkhorn`, for the mean row in `streamed_sinkhorn`. The
sampling error of any affordable sample is far larger."""

STEPS, WARM_STEPS = 5000, 20
"""Maximum number of steps of `streamed_sinkhorn` at its final temperature, and at each warmer temperature before it."""

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
    sooner than POT's network simplex does.

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


class StreamedPlan(NamedTuple):
    """The potential of x, and the logs of the masses that the plan gives x and y, relative to those in the sample."""

    phi: Float[Tensor, " n"]
    log_mass0: Float[Tensor, " n"]
    log_mass1: Float[Tensor, " m"]


def spread(x: Float[Tensor, "n *event"], y: Float[Tensor, "m *event"]) -> Float[Tensor, ""]:
    """Return the standard deviation of 2 <x, y> over all pairs of two centered samples.

    Potentials cannot absorb this part of the spread of |x - y|^2. Raises RunFailed if the result is not finite.
    """
    x, y = (part.flatten(1) - part.flatten(1).mean(0) for part in (x, y))
    n, d = len(x), x.shape[1]
    square = (x.T @ x * (y.T @ y)).sum() if d <= n else (x @ y.T).square().sum()  # both are |x y'|^2
    found = 2 * (square / (len(x) * len(y))).sqrt()
    if not bool(torch.isfinite(found)):
        raise RunFailed("a batch has no entropic plan: not every distance in it is finite")
    return found


def streamed_sinkhorn(
    kernel: Kernel, x: Float[Tensor, "n *event"], y: Float[Tensor, "m *event"], damping: float = 1.0
) -> StreamedPlan:
    """Solve for the entropic plan between two samples with equal weights, in memory linear in their size.

    Each step of Sinkhorn's algorithm is a soft c-transform, computed in blocks of rows of the kernel.

    The temperature starts at the spread of the cost and is halved until it reaches the target (Schmitzer, 2019).

    Args:
        kernel: cost and temperature of the plan.
        damping: factor on each potential; 1 keeps both marginals. A factor of penalty / (penalty + epsilon) instead
            adds penalty times the KL divergence of each marginal to the cost.

    Raises:
        RunFailed: if the plan has not converged after `STEPS` steps.
    """
    n, m, target = len(x), len(y), float(kernel.epsilon)
    halvings = math.ceil(math.log2(max(1.0, float(spread(x, y)) / target)))
    penalty = damping / (1 - damping) * target if damping < 1 else math.inf
    phi = full = x.new_zeros(n)
    psi = column = y.new_zeros(m)
    error = math.inf
    for epsilon in (target * 2**k for k in range(halvings, -1, -1)):
        at = Kernel(epsilon, kernel.cost)
        share = 1.0 if math.isinf(penalty) else penalty / (penalty + epsilon)
        phi = 2 * phi  # the potential that was phi at twice this temperature
        for _ in range(STEPS if epsilon == target else WARM_STEPS):
            column = at.c_transform(y, x, phi - math.log(n))
            psi = share * column
            if share < 1:  # move the best constant from psi to phi, which steps alone find slowly
                sums = [torch.logsumexp(-each * (1 - share) / share, 0) for each in (phi, psi)]
                shift = share / (1 - share) / 2 * (sums[0] - sums[1] - math.log(n / m))
                phi, psi, column = phi + shift, psi - shift, column - shift
            full = at.c_transform(x, y, psi - math.log(m))
            error = float((share * full - phi).expm1().abs().mean())
            if error < TOLERANCE:
                break
            phi = share * full
    if not error < TOLERANCE:  # also true for NaN
        raise RunFailed(f"the entropic plan of {n} points does not converge: choose a larger epsilon")
    return StreamedPlan(phi, phi - full, psi - column)


def draw_rows(
    kernel: Kernel,
    x: Float[Tensor, "n *event"],
    y: Float[Tensor, "m *event"],
    phi: Float[Tensor, " n"],
    generator: torch.Generator,
) -> Int[Tensor, " m"]:
    """Draw for each y the index of an x from its column of the plan."""
    parts = []
    for rows in torch.arange(len(y), device=y.device).split(max(1, CHUNK // len(x))):
        logits = kernel.log(y[rows], x).add_(phi)
        parts.append(torch.multinomial(torch.softmax(logits, 1), 1, generator=generator)[:, 0])
    return torch.cat(parts)
