"""Compare models whose training amplifies rounding over seeds.

Such a model gives a different value for the same seed on another machine. The k values trained again and the n
published values of a cell are therefore samples of one distribution. The statistic

    t = (mean again - mean published) / (s sqrt(1/k + 1/n))

also works for k = 1. A few seeds estimate their standard deviation poorly, so s is pooled over all these models on the
same task (or the cell's own, if that is larger), and t has the degrees of freedom of all. A second test of each method
sums the t of all its cells as normal scores. Holm's method corrects all these tests together. Positive values are
compared by their logarithms, which are nearly normal. Single values are not tested, because flows have true
outliers: one training of TARFlow on pinwheel has a sliced W2 of 0.41, and the nine others have 0.10 to 0.16.
"""

import json
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np
from scipy import special

from genbench.analysis.labels import counted
from genbench.analysis.significance import POWER, holm
from genbench.analysis.values import group_by
from genbench.results.comparing import TOLERANCE

LEVEL = 0.003
"""Level of all tests together. A sound reproduction fails about three times as often, because pooled spreads differ: in
1 % of 1,000 simulated cases with the published spreads.
"""

Place = tuple[Hashable, ...]
"""What the values of several seeds share: method, data, settings, metric, and the rest of the cell of a row."""


class Sample(NamedTuple):
    """The values of a place.

    Args:
        again: the values trained again.
        published: the values of all published seeds.
    """

    again: list[float]
    published: list[float]


class OverSeeds(NamedTuple):
    """The comparison of the models that amplify rounding, over seeds.

    Args:
        cells: number of places; `values` counts the values trained again.
        failed: the tests that reject: places, or models with a metric.
        p: the smallest p value, corrected over all tests; `what` names its test.
        factors: the smallest and the largest factor of one cell that is detected with 80 % power, with the cells.
    """

    models: tuple[str, ...]
    cells: int
    values: int
    failed: frozenset[Place]
    p: float
    what: str
    factors: tuple[tuple[float, str], tuple[float, str]]

    def rejects(self, place: Place) -> bool:
        """Return whether one of the tests of a place rejects."""
        return not self.failed.isdisjoint((place, (place[0], place[3])))

    def sentence(self) -> str:
        """State the result, with the power of the tests of cells."""
        least, most = (f"{factor:.3g} ({cell})" for factor, cell in self.factors)
        return (
            f"{', '.join(self.models)} amplify rounding, so their values are compared over seeds, as "
            f"{counted(self.cells, 'cell')}: smallest corrected p = {self.p:.2g} ({self.what}), where {LEVEL:g} fails; "
            f"{100 * POWER:g} % power to see that all seeds of one cell are wrong by a factor of {least} to {most}"
        )


class _Difference(NamedTuple):
    """The difference of two means, its standard error, and the degrees of freedom of this error."""

    size: float
    error: float
    freedom: int

    def score(self) -> float:
        """Return t as a normal score."""
        t = self.size / self.error
        return math.copysign(float(special.ndtri(special.stdtr(self.freedom, -abs(t)))), t)

    def detectable(self, level: float) -> float:
        """Return the difference that a test at this level detects with power `POWER`."""
        limit = -special.stdtrit(self.freedom, level / 2)
        return float(special.nctdtrinc(self.freedom, 1 - POWER, limit)) * self.error


def over_seeds(samples: Mapping[Place, Sample]) -> OverSeeds | None:
    """Return the comparison; None without a sample."""
    tests: dict[Place, tuple[float, str]] = {}
    names = _names(samples)
    cells: dict[Place, tuple[_Difference, bool]] = {}
    for places in group_by(samples, _task).values():
        every = [value for place in places for value in (*samples[place].published, *samples[place].again)]
        in_logs = min(every) > 0
        scale = np.log if in_logs else np.array
        # Up to the tolerance, values agree even if they never vary.
        least = TOLERANCE if in_logs else TOLERANCE * fmean(map(abs, every))
        for place in places:
            own, others = samples[place], [scale(samples[each].published) for each in places if each != place]
            between = _difference(scale(own.again), scale(own.published), others, least)
            cells[place], tests[place] = (between, in_logs), (between.score(), names[place])
    if not cells:
        return None
    for what, own in group_by(cells, lambda place: (place[0], place[3])).items():
        if len(own) > 1:
            tests[what] = sum(tests[place][0] for place in own) / len(own) ** 0.5, ", ".join(map(str, what))
    corrected = holm([2 * float(special.ndtr(-abs(score))) for score, _ in tests.values()])
    p, what = min(zip(corrected, (name for _, name in tests.values()), strict=True))
    factors = []
    for place, (between, in_logs) in cells.items():
        seen, mean = between.detectable(LEVEL / len(tests)), fmean(samples[place].published)
        factors.append((math.exp(seen) if in_logs else 1 + seen / abs(mean), tests[place][1]))
    return OverSeeds(
        tuple(dict.fromkeys(str(model) for model, *_ in samples)),
        len(samples),
        sum(len(each.again) for each in samples.values()),
        frozenset(test for test, p in zip(tests, corrected, strict=True) if p <= LEVEL),
        p,
        what,
        (min(factors), max(factors)),
    )


def _names(places: Iterable[Place]) -> dict[Place, str]:
    """Return a name for each place. Places of equal names also state the settings in which they differ."""
    names: dict[Place, str] = {}
    for name, same in group_by(places, lambda place: f"{place[0]} on {place[1]}, {place[3]}").items():
        settings = [json.loads(str(place[2])) for place in same]
        # A setting that some records lack was added later, and has its default.
        keys = [key for key in settings[0] if all(key in each for each in settings)]
        differing = [key for key in keys if any(each[key] != settings[0][key] for each in settings)]
        for place, own in zip(same, settings, strict=True):
            stated = ", ".join(f"{key}={own[key]}" for key in differing)
            names[place] = f"{name} ({stated})" if stated else name
    return names


def _task(place: Place) -> Hashable:
    """Return what methods share that are pooled; their recipes may differ."""
    _, data, settings, *row = place
    return data, json.loads(str(settings))["steps"], *row


def _difference(one: np.ndarray, rest: np.ndarray, others: Sequence[np.ndarray], least: float) -> _Difference:
    """Return how far a sample is from the rest of its cell; `others` are the other models on the same task."""
    pool = (rest, *others)
    freedom = sum(len(each) - 1 for each in pool)
    pooled = (sum(float(((each - each.mean()) ** 2).sum()) for each in pool) / freedom) ** 0.5
    spread = max(float(rest.std(ddof=1)), pooled, least)
    return _Difference(float(one.mean() - rest.mean()), spread * (1 / len(one) + 1 / len(rest)) ** 0.5, freedom)
