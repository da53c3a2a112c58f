"""The verdict on a reproduction: do cells that were trained again agree with the published ones?

For a single seed, a value may differ by its standard deviation over seeds, since training amplifies rounding. A
fault in a formula shifts all values of a metric alike. Therefore the mean difference over the n runs of a method has a
much smaller limit, proportional to 1 / sqrt(n).

Models with the trait `amplifies_rounding` give a different value for the same seed on another machine. For these
models, the k seeds trained again and the n published seeds are two samples of one distribution. The statistic

    t = (mean again - mean published) / (sd published sqrt(1/k + 1/n))

has n - 1 degrees of freedom. A further test of each method sums the t of all its cells as normal scores. Holm's method
corrects all these tests. Positive values are compared by their logarithms, which are nearly normal.
"""

import json
import math
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from genbench.analysis.labels import counted
from genbench.analysis.significance import POWER, holm
from genbench.registry import models
from genbench.results.comparing import OF_ROW, TOLERANCE, Deviation, compare, row_name
from genbench.runs.record import identity
from genbench.runs.record_types import Record, cell, metric_of

SHARE = 1.0
"""Standard deviations over seeds by which a value may differ after training again.

Three times the largest difference seen between processors of two makers: 0.34 (VP with one evaluation), where 99 % of
226 values of `plane-v1` differed by less than 0.16.
"""

MEAN = 0.3
"""The same for the mean difference of n runs, times sqrt(n): twice the largest seen."""

LEVEL = 0.01
"""Probability with which a sound reproduction of models that amplify rounding fails."""

Place = tuple[Hashable, ...]
"""The key that the values of several seeds share."""


class Shift(NamedTuple):
    """The mean signed difference of a metric over the runs of a method, in standard deviations over seeds."""

    what: str
    size: float
    runs: int

    @property
    def share(self) -> float:
        """The size divided by its limit."""
        return abs(self.size) * self.runs**0.5 / MEAN


class OverSeeds(NamedTuple):
    """The comparison of the models that amplify rounding, over seeds.

    Args:
        models: their names.
        cells: number of values over seeds; each is one test, and so is each metric of a method over several cells.
        alone: number of values of a single seed trained again, which could be far off unseen and are not judged.
        p: the smallest p value, corrected over all tests; `what` names its test.
        detectable: shift of all cells of a method that is detected with 80 % power, in standard deviations over seeds.
    """

    models: tuple[str, ...]
    cells: int
    alone: int
    p: float
    what: str
    detectable: float


class Reproduction(NamedTuple):
    """How far the records of a folder agree with published records of the same runs.

    Args:
        published: number of published values.
        compared: number of published values that were measured again.
        agreeing: number of these that agree seed by seed, or whose models are compared over seeds.
        missing: metrics of published values that were not measured again.
        absent: published runs that have no new record, or whose new record lacks a value.
        worst: the largest deviation divided by the allowed deviation, the value that deviates, and its run.
        shifts: the mean differences, sorted by their size relative to the limit, the largest first.
        over_seeds: None without a model that amplifies rounding.
    """

    published: int
    compared: int
    agreeing: int
    missing: tuple[str, ...]
    absent: tuple[str, ...]
    worst: tuple[float, Deviation | None, str] | None
    shifts: tuple[Shift, ...]
    over_seeds: OverSeeds | None

    @property
    def problems(self) -> list[str]:
        """What does not agree."""
        found = []
        if self.agreeing < self.compared:
            found.append(f"{counted(self.compared - self.agreeing, 'value')} of single seeds")
        found += [f"the mean of {shift.what}" for shift in self.shifts if shift.share > 1]
        if self.over_seeds is not None and self.over_seeds.p <= LEVEL:
            found.append(f"{self.over_seeds.what} over seeds")
        return found

    def sentences(self) -> list[str]:
        """State the verdict, with the power of its tests."""
        text = (
            f"{self.compared:,} of {self.published:,} published values measured again, {self.agreeing:,} agree "
            f"(within {SHARE:g} standard deviation over seeds, or {TOLERANCE:g} of the value)"
        )
        if self.worst is not None and self.worst[1] is not None:
            text += f"; largest deviation, {self.worst[0]:.2g} of the limit: {self.worst[2]}, {self.worst[1]}"
        text += f"; not measured again: {', '.join(self.missing)}" if self.missing else ""
        said = [text]
        if self.shifts:
            first, fewest = self.shifts[0], min(shift.runs for shift in self.shifts)
            said.append(
                f"Mean difference of each metric of each method over its runs: largest {first.size:+.2g} standard "
                f"deviations ({first.what}, {counted(first.runs, 'run')}); a systematic shift of "
                f"{2 * MEAN / fewest**0.5:.2g} is always seen"
            )
        if (law := self.over_seeds) is not None:
            said.append(
                f"{', '.join(law.models)} amplify rounding, so their {law.cells} values are compared over seeds: "
                f"smallest corrected p = {law.p:.2g} ({law.what}), where {LEVEL:g} fails; a shift of all cells of a "
                f"method by {law.detectable:.2g} standard deviations is seen with at least {100 * POWER:g} % power"
                + (f"; not judged: {counted(law.alone, 'value')} of a single seed trained again" if law.alone else "")
            )
        return said


class _Sample(NamedTuple):
    """The values of a place: trained again, and published."""

    again: list[float]
    published: list[float]

    def t(self) -> float:
        one, other = np.array(self.again), np.array(self.published)
        if min(one.min(), other.min()) > 0:
            one, other = np.log(one), np.log(other)
        return float((one.mean() - other.mean()) / (other.std(ddof=1) * (1 / len(one) + 1 / len(other)) ** 0.5))

    def score(self) -> float:
        """Return t as a normal score."""
        t = self.t()
        return math.copysign(float(special.ndtri(special.stdtr(len(self.published) - 1, -abs(t)))), t)


def reproduction(again: Iterable[Record], published: Sequence[Record], seeds: Iterable[Record] = ()) -> Reproduction:
    """Compare records with the published records of the same cells, which may have been trained in other ensembles.

    A value agrees if it and its floor differ by at most `SHARE` of their standard deviation over the published seeds,
    or by the relative `TOLERANCE`, whichever is larger, and if all else that its row states is the same. Details such
    as standard errors follow from the samples and are not compared.

    Args:
        seeds: records of all published seeds, if `published` are only some of them.
    """
    numbers, again = _numbers(seeds or published), list(again)
    known, cells = {identity(record): record for record in again}, Cells(again)
    values, missing, absent = 0, set(), set()
    found: list[tuple[float, Deviation | None, str]] = []
    shifts: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    samples: dict[Place, _Sample] = {}
    for record in published:
        own = known.get(identity(record)) or cells.get(record["spec"])
        measured = {cell(row): row for row in own["results"]} if own is not None else {}
        deviations = compare(record, own).deviations if own is not None else ()
        run, model = record["labels"]["run"], record["labels"]["model"]
        chaotic = models[record["spec"]["model"]["name"]].traits.get("amplifies_rounding", False)
        for row in record["results"]:
            if (former := row["value"]) is None:
                continue
            values += 1
            if cell(row) not in measured:
                missing.add(row["metric"])
                if own is None or metric_of(row) in own["spec"]["metrics"]:
                    absent.add(run)
                continue
            place, value = _place(record, row), measured[cell(row)]["value"]
            differing = [each for each in deviations if each.row == row_name(row) and each.field in OF_ROW]
            spread, moved = _spread(numbers[*place, "value"]), [each for each in differing if each.field == "value"]
            if value is not None and spread and chaotic:
                samples.setdefault(place, _Sample([], numbers[*place, "value"])).again.append(value)
                differing = [each for each in differing if each.field != "value"]
            elif value is not None and spread:
                unit = max(spread, TOLERANCE * abs(former) / MEAN)
                shifts[model, row["metric"]][run].append((value - former) / unit if moved else 0.0)
            shares = [(_share_of_allowed(each, _spread(numbers[*place, each.field])), each) for each in differing]
            share, worst = max(shares, key=lambda each: each[0], default=(0.0, None))
            found.append((share, worst, run))
    agreeing = sum(share <= 1 for share, _, _ in found)
    worst = max(found, key=lambda each: each[0], default=None)
    several = {what: runs for what, runs in shifts.items() if len(runs) > 1}
    means = [Shift(", ".join(what), fmean(map(fmean, runs.values())), len(runs)) for what, runs in several.items()]
    means.sort(key=lambda shift: -shift.share)
    parts = tuple(sorted(missing)), tuple(sorted(absent)), worst, tuple(means), _over_seeds(samples)
    return Reproduction(values, len(found), agreeing, *parts)


def _over_seeds(samples: Mapping[Place, _Sample]) -> OverSeeds | None:
    judged = {place: sample for place, sample in samples.items() if len(sample.again) > 1}
    if not judged:
        return None
    tests: dict[Place, float] = {}
    pooled: dict[Place, list[float]] = defaultdict(list)
    for place, sample in judged.items():
        model, _, _, metric, *_ = place
        tests[place] = sample.score()
        pooled[model, metric].append(tests[place])
    tests |= {what: sum(own) / len(own) ** 0.5 for what, own in pooled.items() if len(own) > 1}
    corrected = dict(zip(tests, holm([2 * float(special.ndtr(-abs(score))) for score in tests.values()]), strict=True))
    first = min(corrected, key=corrected.__getitem__)
    model, *rest = first
    what = f"{model}, {rest[0]}" if len(first) == 2 else f"{model} on {rest[0]}, {rest[2]}"
    cells, again = min(map(len, pooled.values())), min(len(each.again) for each in judged.values())
    fewest = min(len(each.published) for each in judged.values())
    score = float(special.ndtri(1 - LEVEL / len(tests) / 2) + special.ndtri(POWER)) / cells**0.5
    seen = float(special.stdtrit(fewest - 1, special.ndtr(score))) * (1 / again + 1 / fewest) ** 0.5
    names = tuple(dict.fromkeys(str(model) for model, *_ in judged))
    return OverSeeds(names, len(judged), len(samples) - len(judged), corrected[first], what, seen)


class Cells:
    """Records, to find the one whose spec would give the same values up to rounding.

    A member of an ensemble takes the steps that it would take alone, so the ensemble does not count; nor do metrics. A
    setting that only one of two specs has was added after the other spec, and has its default.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._records: defaultdict[tuple[Any, ...], list[Record]] = defaultdict(list)
        for record in records:
            self._records[self._names(record["spec"])].append(record)

    def get(self, spec: Mapping[str, Any]) -> Record | None:
        """Return the record of a cell, if there is one."""
        return next(
            (r for r in self._records[self._names(spec)] if _alike(r["spec"], spec, ("stack", "metrics"))), None
        )

    @staticmethod
    def _names(spec: Mapping[str, Any]) -> tuple[Any, ...]:
        return spec["model"]["name"], spec["seed"]


def _alike(one: Any, other: Any, ignored: Collection[str] = ()) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return all(_alike(one[name], other[name]) for name in (one.keys() & other.keys()).difference(ignored))
    return one == other


def _share_of_allowed(each: Deviation, spread: float) -> float:
    if not math.isfinite(each.relative):
        return math.inf
    scale = max(abs(each.one), abs(each.other))
    allowed = max(TOLERANCE * scale, SHARE * spread)
    return each.relative * scale / allowed if allowed else math.inf


def _numbers(records: Iterable[Record]) -> defaultdict[Place, list[float]]:
    """Return the values and the floors of all seeds, by their places and the names of these fields."""
    numbers = defaultdict(list)
    for record in records:
        for row in record["results"]:
            for field in ("value", "floor"):
                if (number := row.get(field)) is not None:
                    numbers[(*_place(record, row), field)].append(number)
    return numbers


def _spread(numbers: Sequence[float]) -> float:
    """Return the standard deviation over seeds; 0 if that is not known."""
    return stdev(numbers) if len(numbers) > 1 else 0.0


def _place(record: Record, row: Mapping[str, Any]) -> Place:
    plan = json.dumps(record["spec"]["plan"], sort_keys=True)
    return record["labels"]["model"], record["labels"]["data"], plan, *cell(row)
