"""Spread: what a handful of seeds says of a mean, and what of the difference between two models.

Differences are paired over seeds. Below 10 pairs they are tested by Student's t; from 10 on by flipping their signs,
which asks for symmetry only. (Of 5 pairs no sign flip goes below p = .0625.) An interval holds the differences that the
same test would not reject. Families are corrected by Holm's method.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy import special

from genbench.seeds import derive

Mark = Literal["best", "tie"]
LEVEL = 0.05
"""Of every test, and of what an interval leaves out."""
POWER = 0.8
"""With which a minimum detectable difference would be seen."""
PERMUTED = 10
"""Pairs from which on signs are flipped."""
EXACT = 14
"""Most pairs of which all flips are counted; of more, `DRAWS` random ones are."""
DRAWS = 2**16 - 1


class Paired(NamedTuple):
    """A difference between two models over the seeds that both have.

    Args:
        mean: mean difference.
        error: its standard error; None of a single pair.
        low: lower end of its 95 % interval, by the same test; None of a single pair.
        high: upper end.
        p: two-sided, uncorrected; None of a single pair.
        detectable: the difference that one test at 5 % would see with 80 % power; None of a single pair.
        pairs: number of common seeds.
    """

    mean: float
    error: float | None
    low: float | None
    high: float | None
    p: float | None
    detectable: float | None
    pairs: int

    @property
    def test(self) -> str:
        """The name of the test."""
        return rule(self.pairs)


def rule(pairs: int) -> str:
    """Return which test that many pairs get.

    >>> rule(5), rule(10)
    ('paired t test', 'paired sign-flip permutation test')
    """
    return "paired t test" if pairs < PERMUTED else "paired sign-flip permutation test"


def mean_and_error(values: Iterable[float]) -> tuple[float, float | None]:
    """Return the mean and its standard error, None with a single value; values equal up to rounding have none.

    >>> mean_and_error([1.0, 3.0])
    (2.0, 1.0)
    >>> mean_and_error([0.1, 0.1, 0.1])
    (0.1, 0.0)
    """
    array = np.array(list(values), dtype=np.float64)
    if len(array) == 1:
        return float(array[0]), None
    if np.ptp(array) <= 1e-12 * np.abs(array).max():
        return float(array[0]), 0.0
    return float(array.mean()), float(array.std(ddof=1) / len(array) ** 0.5)


def half_width(error: float | None, n: int) -> float | None:
    """Return half the width of the 95 % t interval of a mean over n values with that standard error."""
    return None if error is None else error * float(special.stdtrit(n - 1, 1 - LEVEL / 2))


def paired(one: Mapping[int, float], other: Mapping[int, float]) -> Paired:
    """Compare two models {seed: value} over their common seeds: the first minus the second.

    Raises:
        ValueError: if they have no seed in common.
    """
    differences = np.array([one[seed] - other[seed] for seed in one if seed in other], dtype=np.float64)
    if not len(differences):
        raise ValueError("no common seeds")
    pairs, (mean, error) = len(differences), mean_and_error(differences)
    half = half_width(error, pairs)
    if error is None or half is None:
        return Paired(mean, None, None, None, None, None, 1)
    low, high = (mean - half, mean + half) if pairs < PERMUTED else unflipped(differences)
    return Paired(mean, error, low, high, _chance(differences, mean, error), detectable(error, pairs), pairs)


def detectable(error: float, pairs: int, family: int = 1) -> float | None:
    """Return the mean difference, of that standard error, which is seen with 80 % power among a family of tests.

    With more power where others of the family are seen too: it is that of the first step of Holm's method. None where
    no difference ever is, since so few signs have no flip as rare as that.

    >>> detectable(1.0, 10, 26) is None, detectable(1.0, 9, 26) is None
    (True, False)
    """
    level = LEVEL / family
    rarest = 0.0 if pairs < PERMUTED else max(2.0 ** (1 - pairs), 1 / (1 + DRAWS))
    return None if rarest > level else error * noncentrality(pairs, level)


def _chance(differences: Float64[np.ndarray, " n"], mean: float, error: float) -> float:
    if len(differences) >= PERMUTED:
        return flipped(differences)
    if error == 0:  # the same difference for every seed, up to rounding
        return float(mean == 0)
    return 2 * float(special.stdtr(len(differences) - 1, -abs(mean) / error))


def flipped(differences: Float64[np.ndarray, " n"]) -> float:
    """Two-sided p of the hypothesis that each difference is as likely as its negative.

    All flips are counted up to 14 pairs. Of more, a seeded sample is, in which the observed one counts too.
    """
    observed = abs(differences.sum()) * (1 - 1e-9)  # equal sums may round differently
    signs, one = _flips(len(differences))
    return float((one + (np.abs(signs @ differences) >= observed).sum()) / (one + len(signs)))


def unflipped(differences: Float64[np.ndarray, " n"]) -> tuple[float, float]:
    """Return the lowest and the highest mean difference that `flipped` would not reject at 5 %.

    A flip of d - m has a sum as large as that of d - m itself if the mean of what is flipped, or of what is not, lies
    on the other side of m: the ends are quantiles of the means of subsets (Hartigan, 1969).
    """
    signs, one = _flips(len(differences))
    kept = signs > 0
    count, total = kept.sum(1), kept @ differences
    parts = [(total, count), (differences.sum() - total, len(differences) - count)]
    rank = int(LEVEL * (one + len(signs))) - one

    def end(side: int) -> float:
        # An empty subset counts on both sides.
        means = [np.where(n > 0, side * sums / np.maximum(n, 1), -np.inf) for sums, n in parts]
        return side * float(np.partition(np.concatenate(means), rank)[rank])

    return end(1), end(-1)


@lru_cache(maxsize=4)
def _flips(n: int) -> tuple[np.ndarray, int]:
    """Return rows of signs, and 1 if the observed ones are to be counted besides."""
    if n <= EXACT:
        # A flip and its opposite have the same absolute sum: the last sign is kept.
        return 1 - 2 * ((np.arange(2 ** (n - 1))[:, None] >> np.arange(n)) & 1), 0
    draws = np.random.default_rng(derive(0, "sign flips", n)).integers(0, 2, (DRAWS, n), dtype=np.int8)
    return 1 - 2 * draws, 1


def noncentrality(n: int, level: float = LEVEL) -> float:
    """Return the mean over standard error that a two-sided t test of n values at that level sees with 80 % power.

    A rejection on the wrong side, of probability 1e-6, does not count.
    """
    return float(special.nctdtrinc(n - 1, 1 - POWER, special.stdtrit(n - 1, 1 - level / 2)))


def holm(chances: Sequence[float]) -> list[float]:
    """Return p values corrected for being a family, by Holm's method.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, highest = [0.0] * len(chances), 0.0
    for rank, index in enumerate(sorted(range(len(chances)), key=chances.__getitem__)):
        highest = max(highest, min(1.0, chances[index] * (len(chances) - rank)))
        corrected[index] = highest
    return corrected


def marks(found: Mapping[str, Mapping[int, float]], better: str) -> dict[str, Mark]:
    """Mark the best mean, if it is told apart from all others; else it and what is not told apart from it, as ties.

    Models are held against the best mean; and, where that has few seeds, against the best of those with most seeds
    too, for few seeds tell little apart. All that are held against others are the family of Holm's correction. Where
    none is told apart, nothing is marked. A model that is better over the seeds it has in common with the one it is
    held against is not told apart from it.

    Args:
        found: {model: {seed: value}}; seeds pair the models.
        better: "lower" or "higher"; anything else marks nothing.

    >>> marks({"a": {0: 1.0, 1: 1.1, 2: 1.2}, "b": {0: 2.0, 1: 2.12, 2: 2.21}, "c": {0: 0.9, 1: 1.3, 2: 1.2}}, "lower")
    {'a': 'tie', 'c': 'tie'}
    >>> marks({"a": {0: 1.0, 1: 1.1, 2: 1.2}, "b": {0: 2.0, 1: 2.12, 2: 2.21}}, "lower")
    {'a': 'best'}
    """
    most = max(map(len, found.values()), default=0)
    full = {model: values for model, values in found.items() if len(values) == most}
    known = [*rivals(found, better).items()]
    if known and leader(found, better) not in full:
        known += rivals(full, better).items()
    tested = [(model, rival) for model, rival in known if rival.p is not None]
    corrected = holm([rival.p for _, rival in tested if rival.p is not None])
    sign = 1 if better == "lower" else -1
    beaten = {m for (m, rival), p in zip(tested, corrected, strict=True) if p <= LEVEL and sign * rival.mean > 0}
    leading = [model for model in found if model not in beaten]
    if len(leading) == len(found):
        return {}
    return dict.fromkeys(leading, "tie" if len(leading) > 1 else "best")


def leader(found: Mapping[str, Mapping[int, float]], better: str) -> str:
    """Return the model with the best mean."""
    sign = 1 if better == "lower" else -1
    return min(found, key=lambda model: sign * mean_and_error(found[model].values())[0])


def rivals(found: Mapping[str, Mapping[int, float]], better: str) -> dict[str, Paired]:
    """Return the differences of other models from the one with the best mean, for those with a seed in common."""
    if better not in ("lower", "higher") or not found:
        return {}
    best = leader(found, better)
    alike = (model for model in found if model != best and any(seed in found[best] for seed in found[model]))
    return {model: paired(found[model], found[best]) for model in alike}
