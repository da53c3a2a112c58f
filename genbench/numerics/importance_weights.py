"""Importance weights on pairs of noise and data: their effective sample size, and how they tilt the marginals.

A weight w(x0, x1) on independent pairs trains a model between the source times f(x0) = E[w | x0] and the data times
g(x1) = E[w | x1], both divided by E[w]. The relative variances of f and g measure this tilt; 0 is no tilt.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
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
