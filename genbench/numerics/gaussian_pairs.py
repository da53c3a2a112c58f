"""Exact flow matching on pairs of N(0, I) and a Gaussian mixture, weighted by a function of their distance.

The function exp(-|x1 - x0| / epsilon) is a sum of Gaussians. Each term maps a pair of Gaussians to another pair of
Gaussians, so the minimizer of the weighted loss is known in any dimension.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

SPACING = 0.3
"""Spacing of log rates: the relative error is below 1e-6 up to r = 10 epsilon, and below 1e-3 up to 30 epsilon."""

SHORTEST = 1e-2
"""Share of the value at r = 0 lost by omitting larger rates; it matters only for r below this share of epsilon."""


class GaussianSum(NamedTuple):
    """A function of a distance r, sum_j exp(log_weight_j - rate_j r^2)."""

    log_weight: Float64[Tensor, " terms"]
    rate: Float64[Tensor, " terms"]


ONE = GaussianSum(torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
"""The function 1."""


def gaussian(epsilon: float) -> GaussianSum:
    """Return exp(-r^2 / epsilon)."""
    return GaussianSum(ONE.log_weight, ONE.rate + 1 / epsilon)


def exponential(epsilon: float) -> GaussianSum:
    """Return exp(-r / epsilon), from its integral over rates s = e^y by the trapezoidal rule in y.

    exp(-r / epsilon) = integral exp(-s r^2 - 1 / (4 epsilon^2 s)) s^(-3/2) ds / (2 epsilon sqrt(pi))

    >>> kernel, r = exponential(0.5), torch.tensor([0.1, 1.0, 5.0])
    >>> (kernel.log_weight - kernel.rate * r[:, None].square()).exp().sum(1).mul((2 * r).exp())
    tensor([1.0000, 1.0000, 1.0000], dtype=torch.float64)
    """
    low, high = -math.log(160 * epsilon**2), -2 * math.log(SHORTEST * epsilon * math.sqrt(math.pi))
    y = torch.arange(low, high, SPACING, dtype=torch.float64)
    scale = math.log(SPACING / (2 * epsilon * math.sqrt(math.pi)))
    return GaussianSum(scale - y / 2 - torch.exp(-y) / (4 * epsilon**2), y.exp())


def weighted_velocity(
    t: Float[Tensor, ""],
    x: Float[Tensor, "b d"],
    weights: Float[Tensor, " modes"],
    means: Float[Tensor, "modes d"],
    stds: Float[Tensor, "modes d"],
    kernel: GaussianSum = ONE,
) -> Float[Tensor, "b d"]:
    """Return E[w (x1 - x0) | x_t = x] / E[w | x_t = x] for x_t = (1-t) x0 + t x1 and w = kernel(|x1 - x0|).

    Noise x0 ~ N(0, I) and data x1 ~ sum_k weights_k N(means_k, diag stds_k^2) are independent. Given the mode and the
    term of the kernel, x1 - x0 and x_t are jointly Gaussian, so the conditional mean is linear in x. Modes and terms
    are weighted by their posterior probability at x. With stds of 0, the data is a finite set of points. Bertrand et
    al., 2025, "On the closed-form of flow matching", https://arxiv.org/abs/2506.03719, derive this field, which exists
    only for t < 1.
    """
    y = x.double()  # squared distances are differences of large numbers
    t, mean, variance = t.to(y), means.to(y)[:, None], stds.to(y)[:, None].square()
    rate = kernel.rate.to(y)[:, None]
    spread = 1 + 2 * rate * (1 + variance)
    scale = (1 - t) ** 2 + t**2 * variance + 2 * rate * variance  # spread times the variance of x_t
    center = (t + 2 * rate) * mean / spread
    half = spread / (2 * scale)
    mass = weights.to(y).log()[:, None] + kernel.log_weight.to(y)
    mass = mass - (scale.log() / 2 + rate * mean.square() / spread + half * center.square()).sum(-1)
    terms = mass.flatten() + y @ (2 * half * center).flatten(0, 1).T - y.square() @ half.flatten(0, 1).T
    posterior = terms.softmax(-1)
    slope = (t * variance - (1 - t)) / scale
    offset = mean / spread - slope * center
    return (posterior @ offset.flatten(0, 1) + posterior @ slope.flatten(0, 1) * y).to(x)
