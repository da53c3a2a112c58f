"""Entropic transport between large samples, balanced or unbalanced; memory grows linearly with their size.

The plan has the density exp(-c(x, y) / epsilon + phi(x) + psi(y)) with respect to the product of both samples. Each
step of Sinkhorn's algorithm is a soft c-transform, computed in blocks of rows of the kernel.

References: Cuturi, 2013; Chizat et al., 2018 (unbalanced); Sejourne et al., 2022 (the constant between potentials);
Klein et al., 2025, "On fitting flow models with large Sinkhorn couplings", https://arxiv.org/abs/2506.05526
(temperatures in units of the cost's spread).
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genbench.errors import RunFailed
from genbench.numerics.optimal_transport import CHUNK, Kernel

TOLERANCE = 1e-3
"""Largest accepted share of misplaced mass in a marginal."""

STEPS = 5000
"""Maximum number of steps at the final temperature."""

WARM_STEPS = 20
"""Maximum number of steps at each warmer temperature before it."""


class StreamedPlan(NamedTuple):
    """The potential of x, and the mass that the plan gives each x and y, relative to the mass in the sample."""

    phi: Float[Tensor, " n"]
    mass0: Float[Tensor, " n"]
    mass1: Float[Tensor, " m"]


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
    """Solve for the entropic plan between two samples with equal weights.

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
    return StreamedPlan(phi, (phi - full).exp(), (psi - column).exp())


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
