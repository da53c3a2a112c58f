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
from collections.abc import Hashable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np
from scipy import special

from genbench.analysis.labels import counted
from genbench.analysis.significance import holm
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
    """

    models: tuple[str, ...]
    cells: int
    values: int
    failed: frozenset[Place]
    p: float
    what: str

    def rejects(self, place: Place) -> bool:
        """Return whether one of the tests of a place rejects."""
        return not self.failed.isdisjoint((place, _method(place)))

    def sentence(self) -> str:
        """State the result."""
        return (
            f"{', '.join(self.models)} amplify rounding, so their values are compared over seeds, as "
            f"{counted(self.cells, 'cell')}: smallest corrected p = {self.p:.2g} ({self.what}), where {LEVEL:g} fails"
        )


def over_seeds(samples: Mapping[Place, Sample]) -> OverSeeds | None:
    """Return the comparison; None without a sample."""
    scores: dict[Place, float] = {}
    for places in group_by(samples, _task).values():
        values = [value for place in places for value in (*samples[place].published, *samples[place].again)]
        in_logs = min(values) > 0
        scale = np.log if in_logs else np.array
        # Up to the tolerance, values agree even if they never vary.
        least = TOLERANCE if in_logs else TOLERANCE * fmean(map(abs, values))
        for place in places:
            others = [scale(samples[other].published) for other in places if other != place]
            again, published = samples[place]
            scores[place] = _score(scale(again), scale(published), others, least)
    if not scores:
        return None
    for method, places in group_by(samples, _method).items():
        if len(places) > 1:
            scores[method] = sum(scores[place] for place in places) / len(places) ** 0.5
    corrected = dict(
        zip(scores, holm([2 * float(special.ndtr(-abs(score))) for score in scores.values()]), strict=True)
    )
    first = min(corrected, key=lambda test: corrected[test])
    return OverSeeds(
        tuple(dict.fromkeys(str(model) for model, *_ in samples)),
        len(samples),
        sum(len(sample.again) for sample in samples.values()),
        frozenset(test for test, p in corrected.items() if p <= LEVEL),
        corrected[first],
        f"{first[0]} on {first[1]}, {first[3]}" if first in samples else ", ".join(map(str, first)),
    )


def _task(place: Place) -> Hashable:
    """Return what methods share that are pooled; their recipes may differ."""
    _, data, settings, *row = place
    return data, json.loads(str(settings))["steps"], *row


def _method(place: Place) -> Place:
    return place[0], place[3]


def _score(again: np.ndarray, published: np.ndarray, others: Sequence[np.ndarray], least: float) -> float:
    """Return t of two samples of a cell as a normal score; `others` are the other models on the same task."""
    pool = (published, *others)
    freedom = sum(len(values) - 1 for values in pool)
    pooled = (sum(float(((values - values.mean()) ** 2).sum()) for values in pool) / freedom) ** 0.5
    spread = max(float(published.std(ddof=1)), pooled, least)
    t = float(again.mean() - published.mean()) / (spread * (1 / len(again) + 1 / len(published)) ** 0.5)
    return math.copysign(float(special.ndtri(special.stdtr(freedom, -abs(t)))), t)
