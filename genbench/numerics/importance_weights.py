"""The tilt: how far weights on independent pairs move the marginals that a model is trained between.

A weight w(x0, x1) trains on the source times f(x0) = E[w | x0] and the data times g(x1) = E[w | x1], both over E[w].
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import log2
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

ENOUGH = 1000
"""Effective pairs below which no tilt is stated: a few of them would decide it."""


class Tilt(NamedTuple):
    """What weights do to the law of independent pairs.

    Args:
        source: relative variance of f, Var f / (E f)^2; 0 leaves the source as it is.
        data: relative variance of g.
        share: effective share of the pairs, (E w)^2 / E w^2; 1 where all weigh the same.
        pairs: number of pairs that were weighed.
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
        """Whether enough pairs carry weight to state it."""
        return self.share * self.pairs >= ENOUGH


def shifts(x0: Float[Tensor, "n *event"], number: int) -> Iterator[Float[Tensor, "n *event"]]:
    """Yield the noise in the orders in which it meets the data: the k-th time it is shifted by k."""
    for k in range(number):
        yield x0.roll(-k, 0)


def tilt(log_weights: Iterable[Float[Tensor, " n"]]) -> Tilt:
    """Estimate the tilt from n noise and n data points, each paired with the same number of the other.

    Given a point, the weights of two partners are independent: the mean of their product estimates the square of f or
    g without the variance that a mean over a few partners adds.

    Args:
        log_weights: the k-th are of the data with noise shifted by k, as `shifts` has it.
    """
    logs = torch.stack(list(log_weights), 1).double()
    w = (logs - logs.max()).exp()  # a common factor changes nothing
    n, k = w.shape
    mean = w.mean()

    def variance(of_point: Tensor) -> float:
        total, square = of_point.sum(1), of_point.square().sum(1)
        return float(((total.square() - square) / (k * (k - 1))).mean() / mean.square() - 1)

    column = torch.arange(k, device=w.device)
    by_noise = w[(torch.arange(n, device=w.device)[:, None] - column) % n, column]
    return Tilt(variance(by_noise), variance(w), float(mean.square() / w.square().mean()), n * k)


def flattening(curve: Sequence[tuple[float, float]], flat: float) -> float | None:
    """Return where a falling curve starts to be flat: the smallest x above which nothing falls faster than `flat`.

    Args:
        curve: (x, y) with increasing x.
        flat: largest fall, a doubling of x, that counts as flat.

    Returns:
        The x; None if the curve falls faster up to its end.

    >>> flattening([(1, 5.0), (2, 1.0), (4, 0.2), (8, 0.15)], flat=0.1)
    4
    >>> flattening([(1, 5.0), (2, 3.0), (4, 2.0), (8, 1.0)], flat=0.1) is None
    True
    """
    chosen = None
    for (low, before), (high, after) in reversed(list(pairwise(curve))):
        if before - after > flat * log2(high / low):
            break
        chosen = low
    return chosen
