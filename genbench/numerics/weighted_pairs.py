"""Weighted pairs of noise and data: how weights tilt both marginals, and the exact flow matching of Gaussian mixtures.

A weight w(x0, x1) on independent pairs trains a model between the source times f(x0) = E[w | x0] and the data times
g(x1) = E[w | x1], both divided by E[w]. The relative variances of f and g measure this tilt; 0 is no tilt.

The weight exp(-|x1 - x0| / epsilon) is a sum of Gaussians. Each term maps a pair of Gaussians to another pair of
Gaussians, so the minimizer of the weighted loss is known in any dimension for N(0, I) and a Gaussian mixture.
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

MIN_EFFECTIVE_PAIRS = 1000
"""Effective number of pairs below which no tilt is reported: a few pairs would decide it."""


class Tilt(NamedTuple):
    """The tilt of both marginals, estimated from independent pairs.

    Args:
        source: relative variance of f, Var f / (E f)^2.
        data: relative variance of g.
        share: effective sample size as a share of the pairs, (E w)^2 / E w^2.
    """

    source: float
    data: float
    share: float
    pairs: int

    @property
    def variance(self) -> float:
        """The larger of both relative variances."""
        return max(self.source, self.data)

    @property
    def known(self) -> bool:
        """Whether the effective sample size suffices for an estimate."""
        return self.share * self.pairs >= MIN_EFFECTIVE_PAIRS


def cyclic_shifts(x0: Float[Tensor, "n *event"], number: int) -> Iterator[Float[Tensor, "n *event"]]:
    """Yield the noise shifted by 0, 1, ..., number - 1, so that each data point meets that many partners."""
    for k in range(number):
        yield x0.roll(-k, 0)


def estimate_tilt(log_weights: Iterable[Float[Tensor, " n"]]) -> Tilt:
    """Estimate the tilt from n noise and n data points, each paired with the same number of partners.

    Given a point, the weights of two partners are independent, so that the mean of their product estimates the square
    of f (or g) without the variance that squaring a mean over few partners would add.

    Args:
        log_weights: the k-th entry pairs the data with the noise shifted by k, in the order of `cyclic_shifts`.
    """
    logs = torch.stack(list(log_weights), 1).double()
    w = (logs - logs.max()).exp()  # relative variances do not depend on a common factor
    n, k = w.shape
    mean = w.mean()

    def relative_variance(w: Tensor) -> float:
        total, square = w.sum(1), w.square().sum(1)
        return float(((total.square() - square) / (k * (k - 1))).mean() / mean.square() - 1)

    column = torch.arange(k, device=w.device)
    by_noise = w[(torch.arange(n, device=w.device)[:, None] - column) % n, column]
    return Tilt(relative_variance(by_noise), relative_variance(w), float(mean.square() / w.square().mean()), n * k)


def tilt_of_batch(weight: Float[Tensor, "n n"], label: Int[Tensor, " n"]) -> Float[Tensor, "n 2"]:
    """Return, per point, contributions whose means are unbiased estimates of E (f(x0) - 1)^2 and E (g(x1) - 1)^2.

    Args:
        weight: weight of each pair of independent noise (rows) and data (columns); 0 between classes.
    """
    partners = (label[:, None] == label).sum(1)
    columns = []
    for w in (weight, weight.T):
        total, square = w.sum(1), w.square().sum(1)
        # As in `estimate_tilt`: the mean product of two partners' weights estimates the square without bias.
        each = (total.square() - square) / (partners * (partners - 1)) - 2 * total / partners + 1
        known = partners > 1
        columns.append(torch.where(known, each, 0.0) * len(w) / known.sum())
    return torch.stack(columns, 1)


def relative_ess(weight: Float[Tensor, " b"]) -> Float[Tensor, ""]:
    """Return the effective sample size as a share of the batch, (sum w)^2 / (b sum w^2)."""
    return weight.sum().square() / (len(weight) * weight.square().sum())


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
