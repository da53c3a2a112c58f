"""Significance: paired tests of two models over their common seeds, Holm's correction, and all pairs as letters.

Differences are tested by Student's t, for any number of seeds. A confidence interval holds the differences that the
test would not reject. Families of tests are corrected by Holm's method (Holm, 1979).

Counts, and shares of a few hundred samples, may differ by the same amount at all seeds. The t statistic is then
infinite, although the difference may be chance; `p_without_spread` gives the p value in this case.
"""

import math
import string
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, product
from statistics import fmean
from typing import NamedTuple

import numpy as np
from scipy import special

from genbench.analysis.means import LEVEL, half_width, mean_and_error

POWER = 0.8
"""Power at which minimum detectable differences are stated."""

MOST_PAIRS = 100_000
"""No study is planned with more seeds than this."""

MOST_FLIPPED = 16
"""With more seeds, `sign_flips` would try too many signs; t tests then hardly depend on the law."""


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

    Differences that are equal up to the rounding of the values count as equal.

    Raises:
        ValueError: if they have no seed in common.
    """
    values = np.array([(one[seed], other[seed]) for seed in one if seed in other], dtype=np.float64)
    pairs = len(values)
    if not pairs:
        raise ValueError("no common seeds")
    differences, rounding = values[:, 0] - values[:, 1], 1e-12 * np.abs(values).max()
    if np.ptp(differences) < rounding:
        differences[:] = differences[0] if abs(differences[0]) > rounding else 0.0
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


def sign_flips(one: Mapping[int, float], other: Mapping[int, float]) -> float | None:
    """Return the two-sided p value among all flips of the signs of paired differences (Fisher, 1935).

    They assume only that differences are symmetric about 0, so they check the t test. None without a common seed, and
    for more than `MOST_FLIPPED`.
    """
    differences = np.array([one[seed] - other[seed] for seed in one if seed in other], dtype=np.float64)
    if not 0 < len(differences) <= MOST_FLIPPED:
        return None
    signs = np.array([(1, *rest) for rest in product((1, -1), repeat=len(differences) - 1)])
    sums = np.abs(signs @ differences)
    return float(np.mean(sums >= sums[0] * (1 - 1e-9)))  # equal sums may differ by rounding


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


SEPARATION = (
    "Models of a column that share a letter are not separated (paired t tests over seeds, Holm's correction over all "
    f"pairs, {100 * LEVEL:g} %)."
)
"""How letters are to be read."""
Values = Mapping[int, float]
"""{seed: value} of a model."""


class Pairwise(NamedTuple):
    """The comparison of all models of a task.

    Args:
        order: models, best mean first; neighbors may not be separated.
        pairs: {(one, other): one minus other} for the pairs that could be tested. The first is better on the common
            seeds; means over all seeds may have the opposite order.
        p: their p values, corrected by Holm's method over all of them.
        letters: models that share a letter are not separated; empty for a model that has no testable pair.
        at_floor: models with the largest number of seeds that are at the floor or better; no test tells them apart.
            Fewer seeds give wider intervals.
    """

    order: tuple[str, ...]
    pairs: Mapping[tuple[str, str], Paired]
    p: Mapping[tuple[str, str], float]
    letters: Mapping[str, str]
    at_floor: frozenset[str]

    def apart(self, one: str, other: str) -> bool:
        """Return whether two models are separated."""
        p = self.p.get((one, other), self.p.get((other, one), 1.0))
        return p <= LEVEL and not {one, other} <= self.at_floor

    def beats(self, one: str, other: str) -> bool:
        """Return whether two models are separated and the first is better."""
        return (one, other) in self.p and self.apart(one, other)


def compare_all(models: Mapping[str, Values], better: str, floor: Values | None = None) -> Pairwise:
    """Compare all pairs of models over their common seeds.

    Args:
        models: values of each model by seed. Pairs with fewer than two common seeds are not tested.
        floor: values of real data by seed.
    """
    sign = -1 if better == "higher" else 1
    order = sorted(models, key=lambda model: sign * mean_and_error(models[model].values())[0])
    pairs = {}
    for pair in combinations(order, 2):
        seeds = models[pair[0]].keys() & models[pair[1]].keys()
        if len(seeds) > 1:
            ahead, behind = sorted(pair, key=lambda m: sign * fmean(models[m][seed] for seed in seeds))
            pairs[ahead, behind] = paired(models[ahead], models[behind])
    corrected = holm([pair.p for pair in pairs.values() if pair.p is not None])
    p = dict(zip(pairs, corrected, strict=True))
    most = max((len(values) for values in models.values()), default=0)
    full = [model for model in order if len(models[model]) == most]
    at_floor = frozenset(model for model in full if floor and reaches(models[model], floor, better))
    found = Pairwise(tuple(order), pairs, p, {}, at_floor)
    tested = [model for model in order if any(model in pair for pair in pairs)]
    named = letters(tested, [pair for pair in p if found.apart(*pair)])
    return found._replace(letters={model: named.get(model, "") for model in order})


def reaches(values: Values, floor: Values, better: str) -> bool:
    """Return whether values are at the floor: the 95 % interval of their excess, paired by seed, does not lie above 0.

    Value and floor of a seed share their real data: likelihood and entropy are means over the same test points. An
    equal excess at all seeds has no interval, but is above 0. A single seed, or one without a floor, decides nothing.
    """
    if not values.keys() <= floor.keys():
        return False
    excess = paired(values, floor)
    worse = excess.mean < 0 if better == "higher" else excess.mean > 0
    return excess.p is not None and not (worse and (excess.low is None or excess.p <= LEVEL))


def letters(order: Sequence[str], apart: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the letters of items by insertion and absorption (Piepho, 2004).

    Args:
        order: the items, in the order in which letters are given.

    >>> letters("xyz", [("x", "z")])
    {'x': 'a', 'y': 'ab', 'z': 'b'}
    """
    groups = [frozenset(order)]
    for a, b in apart:
        split = [part for group in groups for part in ((group - {a}, group - {b}) if {a, b} <= group else (group,))]
        groups = [group for group in dict.fromkeys(split) if not any(group < other for other in split)]
    groups.sort(key=lambda group: sorted(map(order.index, group)))
    names = [*string.ascii_letters, *map(chr, range(0x100, 0x100 + len(groups)))]  # Ā, ā, ... follow Z
    return {item: "".join(name for name, group in zip(names, groups, strict=False) if item in group) for item in order}
