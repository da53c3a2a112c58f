"""The verdict on a reproduction: do cells that were trained again agree with the published ones?

Models with the trait `amplifies_rounding` give a different value for the same seed on another machine, so they are
compared over seeds (`over_seeds`).

In other models, rounding changes most runs a little, but in the worst case a run as much as another seed would. So a
single value has a wide limit. A fault in a formula shifts all values of a metric alike, and with them their median,
which a few runs hardly move. Therefore the median difference over the n runs of a method, and over the runs of all
these methods on a data set, has a much smaller limit, proportional to 1 / sqrt(n).

A value counts as agreeing if it is within its own limit or, over seeds, if no test of its cell rejects. A median that
exceeds its limit is a problem of its own.
"""

import json
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import fmean, median, stdev
from typing import Any, NamedTuple

from benchmarks.reproduction.over_seeds import OverSeeds, Place, Sample, over_seeds
from genbench.analysis.labels import counted
from genbench.registry import models
from genbench.results.comparing import OF_ROW, TOLERANCE, Deviation, compare, row_name
from genbench.runs.record import identity
from genbench.runs.record_types import Record, SpecJson, cell, metric_of
from genbench.runs.versions import with_defaults

SHARE = 4.0
"""Standard deviations over seeds by which a value may differ after training again.

In the worst case, rounding changes a run as much as another seed would. Then the difference exceeds 4 standard
deviations in 1 % of cases if they are estimated from 10 seeds, and in 3 % if from 5. We compared 549 values of
`plane-v1` and `digits-v1` between an AMD EPYC and an Intel Xeon: 97 % differ by at most 0.25, and four by more than
0.5. The largest difference is 1.01 (a likelihood of `sdcfm`).
"""

MEDIAN = 0.3
"""The same for the median difference of n runs, times sqrt(n): three times the largest seen."""

FEWEST = 3
"""Smallest number of runs of a median: the median of two is their mean, which one run can move."""


class Shift(NamedTuple):
    """The median signed difference of a metric over runs, in standard deviations over seeds."""

    what: str
    size: float
    runs: int

    @property
    def share(self) -> float:
        """The size divided by its limit."""
        return abs(self.size) * self.runs**0.5 / MEDIAN


class Reproduction(NamedTuple):
    """How far the records of a folder agree with published records of the same runs.

    Args:
        published: number of published values.
        compared: number of published values that were measured again.
        agreeing: number of these that agree, seed by seed or, for models that amplify rounding, over seeds.
        missing: metrics of published values that were not measured again.
        absent: published runs that have no new record, or whose new record lacks a value.
        worst: the largest deviation divided by the allowed deviation, the value that deviates, and its run.
        shifts: the median differences, sorted by their size relative to the limit, the largest first.
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
            found.append(counted(self.compared - self.agreeing, "value"))
        found += [f"the median of {shift.what}" for shift in self.shifts if shift.share > 1]
        if self.over_seeds is not None and self.over_seeds.failed:
            found.append(f"{self.over_seeds.what} over seeds")
        return found

    def sentences(self) -> list[str]:
        """State the verdict."""
        over_seeds = self.over_seeds.values if self.over_seeds is not None else 0
        text = (
            f"{self.compared:,} of {self.published:,} published values measured again, {self.agreeing:,} agree; "
            f"judged one by one: {self.compared - over_seeds:,} (within {SHARE:g} standard deviations over seeds, or "
            f"{TOLERANCE:g} of the value), over seeds: {over_seeds:,}"
        )
        if self.worst is not None and self.worst[1] is not None:
            text += f"; largest deviation, {self.worst[0]:.2g} of the limit: {self.worst[2]}, {self.worst[1]}"
        text += f"; not measured again: {', '.join(self.missing)}" if self.missing else ""
        sentences = [text]
        if self.shifts:
            first = self.shifts[0]
            sentences.append(
                "Median difference of each metric over the runs of each method that is judged one by one, and of all "
                f"of them on a data set: the largest relative to its limit is {first.size:+.2g} standard deviations "
                f"({first.what}, {counted(first.runs, 'run')}; limit {MEDIAN / first.runs**0.5:.2g})"
            )
        if self.over_seeds is not None:
            sentences.append(self.over_seeds.sentence())
        return sentences


def reproduction(again: Iterable[Record], published: Sequence[Record], seeds: Iterable[Record] = ()) -> Reproduction:
    """Compare records with the published records of the same cells, which may have been trained in other ensembles.

    A value agrees if it differs by at most `SHARE` standard deviations over the published seeds, or by the relative
    `TOLERANCE`, whichever is larger, and if its floor and all else that its row states agree up to rounding.
    Details such as standard errors follow from the samples and are not compared.

    Args:
        seeds: records of all published seeds, if `published` are only some of them.
    """
    numbers, again = _numbers(seeds or published), list(again)
    known, cells = {identity(record): record for record in again}, Cells(again)
    values, missing, absent = 0, set(), set()
    found: list[tuple[float, Deviation | None, str]] = []
    places: list[Place] = []
    shifts: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    samples: dict[Place, Sample] = {}
    for record in published:
        own = known.get(identity(record)) or cells.get(record["spec"])
        measured = {cell(row): row for row in own["results"]} if own is not None else {}
        deviations = compare(record, own).deviations if own is not None else ()
        run, method = record["labels"]["run"], _method(record)
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
            spread, moved = _spread(numbers[place]), [each for each in differing if each.field == "value"]
            if value is not None and spread and chaotic:
                sample = samples.setdefault(place, Sample([], numbers[place]))
                sample.again.append(value)
                differing = [each for each in differing if each.field != "value"]
            elif value is not None and spread:
                unit = max(spread, TOLERANCE * abs(former) / MEDIAN)
                for methods in (method, f"all methods judged one by one on {record['labels']['data']}"):
                    shifts[methods, row["metric"]][run].append((value - former) / unit if moved else 0.0)
            shares = [(_share_of_allowed(each, spread if each.field == "value" else 0.0), each) for each in differing]
            share, worst = max(shares, key=lambda each: each[0], default=(0.0, None))
            found.append((share, worst, run))
            places.append(place)
    law = over_seeds(samples)
    agreeing = sum(
        share <= 1 and (law is None or not law.rejects(place)) for (share, *_), place in zip(found, places, strict=True)
    )
    worst = max(found, key=lambda each: each[0], default=None)
    several = {what: runs for what, runs in shifts.items() if len(runs) >= FEWEST}
    medians = [Shift(", ".join(what), median(map(fmean, runs.values())), len(runs)) for what, runs in several.items()]
    medians.sort(key=lambda shift: -shift.share)
    parts = tuple(sorted(missing)), tuple(sorted(absent)), worst, tuple(medians), law
    return Reproduction(values, len(found), agreeing, *parts)


class Cells:
    """Records, to find the one whose spec would give the same values up to rounding.

    A member of an ensemble takes the steps that it would take alone, so the ensemble does not count; nor do metrics. A
    setting of a component that only one of two specs has was added after the other spec, and has its default.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._records: defaultdict[tuple[Any, ...], list[Record]] = defaultdict(list)
        for record in records:
            self._records[self._names(record["spec"])].append(record)

    def get(self, spec: SpecJson) -> Record | None:
        """Return the record of a cell, if there is one."""
        whole = with_defaults(spec)
        found = self._records[self._names(spec)]
        return next((r for r in found if _alike(with_defaults(r["spec"]), whole, ("stack", "metrics"))), None)

    @staticmethod
    def _names(spec: SpecJson) -> tuple[Any, ...]:
        return spec["model"]["name"], (spec.get("encoder") or {}).get("name"), spec["seed"]


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
    """Return the values of all seeds, by their places."""
    numbers = defaultdict(list)
    for record in records:
        for row in record["results"]:
            if row["value"] is not None:
                numbers[_place(record, row)].append(row["value"])
    return numbers


def _spread(numbers: Sequence[float]) -> float:
    """Return the standard deviation over seeds; 0 if that is not known."""
    return stdev(numbers) if len(numbers) > 1 else 0.0


def _method(record: Record) -> str:
    """Return the row of a record in its track: the tests of a method also cover its runs with tuned settings."""
    places = record.get("track")
    return places[0]["row"] if places else record["labels"]["model"]


def _place(record: Record, row: Mapping[str, Any]) -> Place:
    labels = record["labels"]
    settings = json.dumps({**with_defaults(record["spec"])["plan"], "model": labels["model"]}, sort_keys=True)
    return _method(record), labels["data"], settings, *cell(row)
