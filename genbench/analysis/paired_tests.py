"""Paired tests: whether two models differ, over the seeds that they have in common.

Differences are tested by Student's t, for any number of seeds. A confidence interval holds the differences that the
test would not reject. Families of tests are corrected by Holm's method (Holm, 1979).

Counts, and shares of a few hundred samples, may differ by the same amount at all seeds. The t statistic is then
infinite, although the difference may be chance; `p_without_spread` gives the p value in this case.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from genbench.analysis.means import LEVEL, half_width, mean_and_error

POWER = 0.8
"""Power at which minimum detectable differences are stated."""

MOST_PAIRS = 100_000
"""No study is planned with more seeds than this."""


class Paired(NamedTuple):
    """Paired difference of two models over their common seeds; all but the mean is None for a single pair.

    Args:
        low: lower end of the 95 % interval, not corrected for other comparisons; None if all differences are equal.
        p: two-sided p value of the paired t test, uncorrected.
    """

    mean: float
    error: float | None
    low: float | None
    high: float | None
    p: float | None
    pairs: int


def paired(one: Mapping[int, float], other: Mapping[int, float]) -> Paired:
    """Compare two models {seed: value} over their common seeds: the first minus the second.

    Raises:
        ValueError: if they have no seed in common.
    """
    differences = np.array([one[seed] - other[seed] for seed in one if seed in other], dtype=np.float64)
    pairs = len(differences)
    if not pairs:
        raise ValueError("no common seeds")
    mean, error = mean_and_error(differences)
    half = half_width(error, pairs)
    if error is None or half is None:
        return Paired(mean, None, None, None, None, 1)
    if not error:
        return Paired(mean, error, None, None, p_without_spread(pairs) if mean else 1.0, pairs)
    p = 2 * float(special.stdtr(pairs - 1, -abs(mean) / error))
    return Paired(mean, error, mean - half, mean + half, p, pairs)


def p_without_spread(pairs: int) -> float:
    """Return a bound on the probability that equal models differ by one d != 0 at all of n seeds: 4^(1 - n).

    Given what the models of a seed share, their values are independent draws from one law of the seed, q. With every
    second point of x, x + d, x + 2d, ... in a set A,

    P(difference = d) = sum_x q(x) q(x + d) <= q(A) (1 - q(A)) <= 1/4,   sum over d of prod over seeds <= 4^(1 - n).

    Continuous values never get here. Two or three seeds then separate nothing; ten do, in a family of 13,000 tests.
    """
    return 4.0 ** (1 - pairs)


def detectable(error: float, pairs: int, family: int = 1) -> float:
    """Return the smallest mean difference that is detected with 80 % power in a family of tests.

    The level is LEVEL / family, as in the first step of Holm's method. If other tests of the family are significant,
    the power is higher.

    Args:
        error: standard error of the mean difference.
    """
    return error * noncentrality(pairs, LEVEL / family)


def noncentrality(n: int, level: float = LEVEL) -> float:
    """Return the ratio of mean to standard error that a two-sided t test of n values detects with 80 % power.

    Rejections with the wrong sign, of probability 1e-6, are not counted.
    """
    return float(special.nctdtrinc(n - 1, 1 - POWER, special.stdtrit(n - 1, 1 - level / 2)))


def seeds_needed(difference: float, sd: float) -> int | None:
    """Return the number of pairs that detect a mean difference with 80 % power; None if MOST_PAIRS are too few.

    Args:
        sd: standard deviation of the difference of a single pair.

    >>> seeds_needed(1.0, 1.0), seeds_needed(0.1, 1.0), seeds_needed(0.0, 1.0)
    (10, 787, None)
    """
    ratio, sizes = difference / sd if sd else math.inf, range(2, MOST_PAIRS + 1)
    found = bisect_left(sizes, -ratio, key=lambda n: -noncentrality(n) / n**0.5)
    return sizes[found] if found < len(sizes) else None


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p values of a family of tests, corrected by Holm's method.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, p_values[index] * (len(p_values) - rank)))
        corrected[index] = highest
    return corrected
