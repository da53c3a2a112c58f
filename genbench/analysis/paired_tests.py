"""Paired tests: whether two models differ, over the seeds that they have in common.

With fewer than 10 pairs, differences are tested by Student's t; from 10 pairs on by a sign-flip permutation test, which
assumes symmetry only (with 5 pairs its p is never below .0625). A confidence interval holds the differences that the
same test would not reject. Families of tests are corrected by Holm's method (Holm, 1979).
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy import special

from genbench.analysis.means import LEVEL, half_width, mean_and_error
from genbench.seeds import derive

POWER = 0.8
"""Power at which minimum detectable differences are stated."""
MIN_PERMUTATION_PAIRS = 10
MAX_EXACT_PAIRS = 14
"""All sign flips are enumerated up to this many pairs; with more pairs, `RESAMPLES` random ones are drawn."""
RESAMPLES = 2**16 - 1


class Paired(NamedTuple):
    """Paired difference of two models over their common seeds; all but the mean is None for a single pair.

    Args:
        low: lower end of the 95 % interval, by the same test as p.
        p: two-sided p value, uncorrected.
    """

    mean: float
    error: float | None
    low: float | None
    high: float | None
    p: float | None
    pairs: int

    @property
    def test(self) -> str:
        """The name of the test.

        >>> Paired(0.0, 1.0, -3.0, 3.0, 1.0, pairs=5).test
        'paired t test'
        """
        few = self.pairs < MIN_PERMUTATION_PAIRS
        return "paired t test" if few else "paired sign-flip permutation test"


def paired(one: Mapping[int, float], other: Mapping[int, float]) -> Paired:
    """Compare two models {seed: value} over their common seeds: the first minus the second.

    Raises:
        ValueError: if they have no seed in common.
    """
    return paired_from(differences_by_seed(one, other))


def differences_by_seed(one: Mapping[int, float], other: Mapping[int, float]) -> Float64[np.ndarray, " n"]:
    """Return the differences of values at common seeds. Raises ValueError if there are none."""
    differences = np.array([one[seed] - other[seed] for seed in one if seed in other], dtype=np.float64)
    if not len(differences):
        raise ValueError("no common seeds")
    return differences


def paired_from(differences: Float64[np.ndarray, " n"], *, interval: bool = True, p: float | None = None) -> Paired:
    """Describe paired differences; the p of the sign-flip test may be known.

    Args:
        interval: False leaves out the interval, which takes most of the time.
    """
    pairs, (mean, error) = len(differences), mean_and_error(differences)
    half = half_width(error, pairs)
    if error is None or half is None:
        return Paired(mean, None, None, None, None, 1)
    if pairs >= MIN_PERMUTATION_PAIRS:
        low, high = sign_flip_interval(differences) if interval else (None, None)
        p = float(sign_flip_p(differences)) if p is None else p
    else:
        low, high = mean - half, mean + half
        p = 2 * float(special.stdtr(pairs - 1, -abs(mean) / error)) if error else float(mean == 0)
    return Paired(mean, error, low, high, p, pairs)


def detectable(error: float, pairs: int, family: int = 1) -> float | None:
    """Return the mean difference of this standard error that is detected with 80 % power in a family of tests.

    The level is that of the first step of Holm's method, so the power is higher where other tests of the family are
    significant too. None if the smallest possible p of the sign-flip test exceeds that level.

    >>> detectable(1.0, 10, 26) is None, detectable(1.0, 9, 26) is None
    (True, False)
    """
    level = LEVEL / family
    smallest_p = 0.0 if pairs < MIN_PERMUTATION_PAIRS else max(2.0 ** (1 - pairs), 1 / (1 + RESAMPLES))
    return None if smallest_p > level else error * noncentrality(pairs, level)


def sign_flip_p(differences: Float64[np.ndarray, "n *samples"]) -> Float64[np.ndarray, "*samples"] | np.float64:
    """Return the two-sided p of the hypothesis that each difference is as likely as its negative, for each sample.

    Exact up to 14 pairs; with more, estimated from a fixed random sample of sign flips, the observed signs included.
    """
    whole = differences.sum(0)
    flips, observed_extra = _sign_flips(len(differences))
    totals = flips @ differences
    # Equal sums may round differently. A flipped sum is that of the kept differences minus that of the others.
    extreme = observed_extra + (np.abs(2 * totals - whole) >= np.abs(whole) * (1 - 1e-9)).sum(0)
    return extreme / (observed_extra + len(totals))


def sign_flip_interval(differences: Float64[np.ndarray, " n"]) -> tuple[float, float]:
    """Return the lowest and the highest mean difference that `sign_flip_p` would not reject at 5 %.

    A sign flip of d - m has a sum as large as that of d - m itself if the mean of the flipped values, or of the others,
    lies on the other side of m: the ends are quantiles of subset means (Hartigan, 1969).
    """
    flips, observed_extra = _sign_flips(len(differences))
    total, count = flips @ differences, flips.sum(1)
    subsets = [(total, count), (differences.sum() - total, len(differences) - count)]
    rank = int(LEVEL * (observed_extra + len(total))) - observed_extra

    def end(side: int) -> float:
        # An empty subset counts on both sides.
        means = [np.where(n > 0, side * sums / np.maximum(n, 1), -np.inf) for sums, n in subsets]
        return side * float(np.partition(np.concatenate(means), rank)[rank])

    return end(1), end(-1)


@lru_cache(maxsize=4)
def _sign_flips(n: int) -> tuple[Float64[np.ndarray, "flips n"], int]:
    """Return sign flips, 1 where a sign is kept and 0 elsewhere, and 1 if the observed signs count in addition."""
    if n <= MAX_EXACT_PAIRS:
        # A flip and its opposite have the same absolute sum, so the last sign stays positive.
        return 1.0 - ((np.arange(2 ** (n - 1))[:, None] >> np.arange(n)) & 1), 0
    draws = np.random.default_rng(derive(0, "sign flips", n)).integers(0, 2, (RESAMPLES, n), dtype=np.int8)
    return 1.0 - draws, 1


def noncentrality(n: int, level: float = LEVEL) -> float:
    """Return the mean over its standard error that a two-sided t test of n values detects with 80 % power.

    Rejections with the wrong sign, of probability 1e-6, are not counted.
    """
    return float(special.nctdtrinc(n - 1, 1 - POWER, special.stdtrit(n - 1, 1 - level / 2)))


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
