"""Dependences: quality against a setting, where the runs of a data set have a grid of it, as studies do."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from genbench.report.chart import Chart, Charts, Series
from genbench.report.plots import INTERVAL, chart, mean_point
from genbench.report.suites import Kept, digest
from genbench.report.tables import Value, checked, grouped

SECTIONS = ("model", "plan", "sample")
FEWEST = 3
"""Values that make a grid."""


def dependences(name: str, runs: Sequence[Kept], values: pd.DataFrame) -> Iterator[Charts]:
    """Yield charts of every metric against each setting of which a model has at least three values.

    Args:
        name: how names of the charts begin.
        runs: of one data set.
        values: of the same runs, as for `genbench.report.tables.comparisons`.
    """
    settings = {kept.name: _flat(kept.record["spec"]) for kept in runs}
    main = [v for v in checked(values) if v.point == "main" and v.value is not None]
    for key in dict.fromkeys(key for own in settings.values() for key in own):
        families = [
            _Family(tuple(models), tuple(settings[model].get(key) for model in models))
            for models in grouped(settings, lambda model, key=key: digest({**settings[model], key: None})).values()
        ]
        if not any(family.grid for family in families):
            continue
        short = key.partition(".")[2]
        drawn = tuple(
            _chart(short, metric, rows, families)
            for metric, rows in grouped(main, lambda v: v.metric).items()
            if len({v.value for v in rows}) > 1 and len({(v.protocol, v.n) for v in rows}) == 1
        )
        caption = f"Bars: {INTERVAL}; level lines: models without this setting; dashed: the floor, data against data."
        if drawn:
            yield Charts(f"{name}-{short}", f"Quality against {short}", drawn, caption, small=True)


class _Family(NamedTuple):
    """Models that differ in one setting alone, and its value in each; None where they do not have it."""

    models: tuple[str, ...]
    found: tuple[Any, ...]

    @property
    def numbers(self) -> bool:
        """Whether the setting is a number."""
        return all(isinstance(value, (int, float)) for value in self.found)

    @property
    def grid(self) -> bool:
        """Whether there are enough numbers."""
        return self.numbers and len(set(self.found)) >= FEWEST


def _chart(short: str, metric: str, rows: Sequence[Value], families: Sequence[_Family]) -> Chart:
    by = grouped(rows, lambda v: v.model)
    numbers = [family for family in families if family.numbers]
    places = {m: x for family in numbers for m, x in zip(family.models, family.found, strict=True) if m in by}
    ends = (min(places.values()), max(places.values())) if places else (0.0, 1.0)
    lines = []
    for family in families:
        there = [model for model in family.models if model in by]
        if family.numbers and there:
            points = tuple(mean_point(by[model], places[model]) for model in sorted(there, key=places.__getitem__))
            called = _family(family.models, short) if family.grid else there[0]
            lines.append(Series(called, points, joined=family.grid))
        elif set(family.found) == {None}:
            # What has no such setting is as it is for every value of it.
            for model in there:
                at = mean_point(by[model], ends[0])
                lines.append(Series(model, (at, at._replace(x=ends[1]))))
    return chart(metric, short, metric, lines, rows)


def _family(models: Sequence[str], setting: str) -> str:
    """What models are called that differ in one setting alone."""
    return min((re.sub(rf" {re.escape(setting)}=\S+", "", model) for model in models), key=len)


def _flat(spec: Mapping[str, Any]) -> dict[str, float | str]:
    """Return all settings, numbers as they are and the rest by digests, by section and name."""
    found = {}
    for section in SECTIONS:
        for key, value in spec[section].items():
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            found[f"{section}.{key}"] = value if number else digest(value)
    return {key: value for key, value in found.items() if key != "model.version"}
