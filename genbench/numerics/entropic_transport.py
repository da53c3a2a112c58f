"""Potentials of entropic optimal transport, in the log domain: on samples by Sinkhorn, elsewhere by the c-transform.

Between laws mu and nu the entropic plan has the density exp(-c(x, y) / epsilon + phi(x) + psi(y)) with respect to
their product, and exp(-phi(x)) = E_nu exp(psi - c(x, .) / epsilon): the mean over nu of the density at any x is 1.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genbench.errors import RunFailed

Cost = Literal["norm", "sqnorm"]

SCALINGS = 50
"""Products with a fixed kernel, some twenty times as fast as a step in the log domain, between two such steps."""

TOLERANCE = 1e-3
"""Largest deviation of a marginal's mass from 1: far below what a sample of any affordable size leaves elsewhere."""

LIMIT = 10_000

RANGE = 50.0
"""Largest cost over temperature at which to begin: a kernel of this range has no empty rows."""


PART = 2**17
"""Entries of a kernel in memory at once: fresh pages cost more than the arithmetic on them."""


def log_kernel(
    x: Float[Tensor, "n *event"],
    y: Float[Tensor, "m *event"],
    *,
    epsilon: float,
    cost: Cost,
    groups: tuple[Int[Tensor, " n"], Int[Tensor, " m"]] | None = None,
) -> Float[Tensor, "n m"]:
    """Return -c(x, y) / epsilon of all pairs, and minus infinity between different groups."""
    kernel = torch.cdist(x.flatten(1), y.flatten(1))
    if cost == "sqnorm":
        kernel.square_()
    kernel.mul_(-1 / epsilon)
    return kernel if groups is None else kernel.masked_fill_(groups[0][:, None] != groups[1], -torch.inf)


def extend(
    x: Float[Tensor, "n *event"],
    y: Float[Tensor, "m *event"],
    potential: Float[Tensor, " m"],
    log_mass: Float[Tensor, " m"],
    *,
    epsilon: float,
    cost: Cost,
    groups: tuple[Int[Tensor, " n"], Int[Tensor, " m"]] | None = None,
) -> Float[Tensor, " n"]:
    """Return the potential at points of one side from that at points of the other: the soft c-transform.

    Args:
        x: where it is wanted.
        y: where the other one is known.
        potential: the other one.
        log_mass: log-probability of each of y (within its group).
        epsilon: temperature.
        cost: of which a pair's kernel is exp(-cost / epsilon).
        groups: of x and of y, where mass stays within groups.
    """
    known, parts = potential + log_mass, []
    for rows in torch.arange(len(x), device=x.device).split(max(1, PART // len(y))):
        within = None if groups is None else (groups[0][rows], groups[1])
        kernel = log_kernel(x[rows], y, epsilon=epsilon, cost=cost, groups=within)
        parts.append(-torch.logsumexp(kernel.add_(known), 1))
    return torch.cat(parts)


def sinkhorn(
    kernel: Float[Tensor, "n m"], log_a: Float[Tensor, " n"], log_b: Float[Tensor, " m"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " m"]]:
    """Return the potentials of the entropic plan between two weighted samples (Sinkhorn's algorithm).

    Scalings of a fixed kernel are absorbed into the potentials before they can overflow, and a temperature that is
    small against the costs is approached from above (Schmitzer, 2019).

    Args:
        kernel: the log kernel.
        log_a: log-probability of each row (within its group).
        log_b: log-probability of each column (within its group).

    Raises:
        RunFailed: if the marginals are not met after ten thousand scalings.
    """
    lowest = -float(kernel[torch.isfinite(kernel)].min())
    halvings = max(0, math.ceil(math.log2(max(lowest, 1.0) / RANGE)))
    psi, deviation = torch.zeros_like(log_b), torch.inf
    for warmth in (2.0**k for k in range(halvings, -1, -1)):
        phi, psi, deviation = _solved(kernel / warmth, psi, log_a, log_b, TOLERANCE if warmth == 1 else 0.1)
        if warmth > 1:
            psi = 2 * psi
    if deviation < TOLERANCE:
        return phi, psi
    raise RunFailed(
        f"entropic potentials did not converge: a marginal is off by {deviation:.1%} after {LIMIT} scalings; "
        "a larger epsilon (kappa) converges faster"
    )


def _solved(
    kernel: Tensor, psi: Tensor, log_a: Tensor, log_b: Tensor, tolerance: float
) -> tuple[Tensor, Tensor, float]:
    """Return potentials, and the largest relative deviation of a row's mass."""
    a, b = log_a.exp(), log_b.exp()
    for left in range(LIMIT // SCALINGS - 1, -1, -1):
        phi = -torch.logsumexp(kernel + (psi + log_b), 1)
        psi = -torch.logsumexp(kernel + (phi + log_a)[:, None], 0)
        plan = torch.exp(kernel + (phi + log_a)[:, None] + (psi + log_b))
        deviation = float((plan.sum(1) / a - 1).abs().max())
        if deviation < tolerance or not left:
            break
        v = torch.ones_like(b)
        for _ in range(SCALINGS):
            v = b / (plan.T @ (a / (plan @ v)))
        # Where a row of the plan is still empty, the step in the log domain was one in its own right.
        psi = psi + v.log() if bool((torch.isfinite(v) & (v > 0)).all()) else psi
    return phi, psi, deviation
