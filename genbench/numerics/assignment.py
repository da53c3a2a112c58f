"""The cheapest matching of two sets of equal size, exactly."""

import torch
from jaxtyping import Float64, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from genbench.errors import RunFailed

TEMPERATURES = (0.1, 0.03, 0.01)
"""At which potentials are sought, in units of the mean cost."""

ROUNDS = 10
"""Scalings of rows and columns at each temperature."""

COLD = 100
"""Size below which the search is over before potentials would be found."""


def assignment(cost: Float64[Tensor, "n n"]) -> Int[Tensor, " n"]:
    """Return the row that each column is matched with, so that the sum of costs is least.

    Potentials of rows and columns change no matching's rank. Those of entropic transport, cooled down, leave costs
    near zero along the best one, from where shortest augmenting paths find it sooner than POT's network simplex does:
    at sizes from 256 to 1024 about twice in the plane, three to seven times among images.

    Raises:
        RunFailed: if a cost is not finite.

    References: Kosowsky and Yuille, 1994 (cooling); Crouse, 2016 (augmenting paths, SciPy).
    """
    if not bool(cost.isfinite().all()):
        raise RunFailed("a batch has no optimal transport plan: not every distance in it is finite")
    rest = cost if len(cost) < COLD else _reduced(cost)
    return torch.from_numpy(linear_sum_assignment(rest.numpy())[1].argsort())


def _reduced(cost: Float64[Tensor, "n n"]) -> Float64[Tensor, "n n"]:
    """Return the costs less potentials; how good these are is a matter of speed only."""
    rest = cost - cost.min(1, keepdim=True).values
    rest -= rest.min(0).values
    mean = float(rest.mean().clamp(min=1e-300))
    for temperature in TEMPERATURES:
        unit = temperature * mean
        # The bounds keep all numbers within the range of float32.
        kernel = rest.div(-unit).float().clamp_(min=-60.0).exp_()
        v = kernel.new_ones(len(kernel))
        for _ in range(ROUNDS):
            u = (kernel @ v).clamp_(min=1e-30).reciprocal_()
            v = (u @ kernel).clamp_(min=1e-30).reciprocal_()
        rest -= u.double().log_().mul_(unit)[:, None]
        rest -= v.double().log_().mul_(unit)
    return rest
