"""Tuning: settings chosen on the validation split, with one budget for every candidate and as many for every method.

The test split is out of reach: tables read it, of the settings that were chosen.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from genbench.errors import ConfigError, RunFailed, unknown
from genbench.registry import metrics
from genbench.report.blocks import Table
from genbench.report.statistics import mean_and_error
from genbench.report.tables import comparison_tables
from genbench.results.frames import frame
from genbench.runs.record import Record
from genbench.runs.spec import Spec, build_data, resolve
from genbench.runs.store import Store
from genbench.settings import Settings, merge
from genbench.sweeps.ensembles import together

TUNED = ("model", "plan", "sample")
"""Sections of settings that may differ between candidates."""


@dataclass(frozen=True)
class Candidate:
    """Settings of a method, and the runs that judge them.

    Args:
        method: name of the model.
        text: the settings that it is a candidate for.
        specs: a run for each seed.
        records: what was measured, of the runs that did not fail.
    """

    method: str
    text: str
    specs: tuple[Spec, ...]
    records: tuple[Record, ...] = ()

    def values(self, metric: str) -> dict[int, float]:
        """Return the values of a metric by seed."""
        rows = [(record["spec"]["seed"], row) for record in self.records for row in record["results"]]
        return {seed: row["value"] for seed, row in rows if row["metric"] == metric and row["value"] is not None}

    def mean(self, metric: str) -> float | None:
        """Return the mean of a metric; None if a seed has no value, which is no reason to be chosen."""
        values = self.values(metric)
        return mean_and_error(values.values())[0] if len(values) == len(self.specs) else None


@dataclass(frozen=True)
class Selection:
    """What was compared, and what came out first.

    Args:
        metric: what decides.
        candidates: of all methods.
    """

    metric: str
    candidates: tuple[Candidate, ...]

    def missing(self, store: Store) -> dict[str, Spec]:
        """Return the runs that are still to be made, by what they are called."""
        runs = {
            f"{candidate.method} {candidate.text}, seed {spec.seed}": spec
            for candidate in self.candidates
            for spec in candidate.specs
        }
        return {name: spec for name, spec in runs.items() if store.missing_metrics(spec)}

    def judged(self, store: Store) -> "Selection":
        """Return the candidates with what was measured of them."""
        kept = [[record for spec in c.specs if (record := store.record(spec)) is not None] for c in self.candidates]
        pairs = zip(self.candidates, kept, strict=True)
        return replace(self, candidates=tuple(replace(c, records=tuple(records)) for c, records in pairs))

    def chosen(self) -> dict[str, Candidate]:
        """Return the candidate with the best mean, for each method.

        Raises:
            RunFailed: if a method has none.
        """
        sign = 1 if _better(self.metric) == "lower" else -1
        best: dict[str, Candidate] = {}
        for method in dict.fromkeys(candidate.method for candidate in self.candidates):
            own = [candidate for candidate in self.candidates if candidate.method == method]
            means = [(sign * mean, c) for c in own if (mean := c.mean(self.metric)) is not None]
            if not means:
                raise RunFailed(f"no candidate of {method} has a value of {self.metric} for every seed")
            best[method] = min(means, key=lambda pair: pair[0])[1]
        return best

    def table(self) -> Table:
        """Return the candidates as a table."""
        rows = frame(record for candidate in self.candidates for record in candidate.records)
        (table,) = comparison_tables(rows.query("metric == @self.metric"))
        legend = [f"Chosen for {method}: {candidate.text}." for method, candidate in self.chosen().items()]
        lost = [f"{c.method} {c.text}" for c in self.candidates if c.mean(self.metric) is None]
        legend += [f"Out of the question, for want of a value for every seed: {'; '.join(lost)}."] if lost else []
        title = f"{table.title}: {self.metric} on the validation split"
        return Table(title, table.columns, table.rows, (*legend, *table.legend), table.notes)

    def json(self) -> dict[str, Any]:
        """Return plain JSON."""
        first = self.candidates[0].specs[0]
        return {
            "rule": "best mean on the validation split",
            "metric": self.metric,
            "data": first.data,
            "budget": _budget(first),
            "candidates": [
                {"method": c.method, "settings": c.text, "values": c.values(self.metric)} for c in self.candidates
            ],
            "chosen": {method: candidate.text for method, candidate in self.chosen().items()},
        }


def propose(
    methods: Sequence[str],
    dataset: str,
    over: Settings,
    *,
    metric: str | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    settings: Settings | None = None,
) -> Selection:
    """Return what is to be compared: every candidate trained on one budget, measured on the validation split.

    Args:
        methods: names of models.
        dataset: name of the data set.
        over: lists of values by section and name; the name of a method is a section too, of its own model settings.
        metric: what decides; by default the first metric of samples that the data set names.
        seeds: of each candidate.
        settings: of every candidate, nested by section.

    Raises:
        ConfigError: if methods have different numbers of candidates, or candidates different budgets.
    """
    given = settings or {}
    own = build_data(resolve(methods[0], dataset, metrics=[], settings={"data": given.get("data", {})}).data).metrics
    metric = metric or next(name for name in own if metrics[name].traits["of"] == "samples" and _better(name))
    if not _better(metric):
        raise ConfigError(f"--metric {metric}: neither low nor high values of it are better")
    names, validation = [metric.partition(".")[0]], {"evaluation": {"split": "valid"}}
    candidates = []
    for method in methods:
        for point in _points(over, method, methods):
            whole = merge({"evaluation": {"curve": []}}, given, point, validation)
            specs = [resolve(method, dataset, seed=seed, metrics=names, settings=whole) for seed in seeds]
            candidates.append(Candidate(method, _text(point), tuple(together(specs, ["seed"]))))
    _check(candidates)
    return Selection(metric, tuple(candidates))


def _points(over: Settings, method: str, methods: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the settings of every candidate of a method."""
    for section in over:
        if section not in (*TUNED, *methods):
            raise unknown("--over: nothing to tune in", section, [*TUNED, *methods])
    axes = [
        [_nested(("model" if section == method else section, *path), value) for value in values]
        for section, table in over.items()
        if section in (*TUNED, method)
        for path, values in _leaves(section, table)
    ]
    yield from (merge(*combination) for combination in product(*axes))


def _leaves(section: str, table: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from (((name, *path), values) for path, values in _leaves(f"{section}.{name}", value))
        elif isinstance(value, list) and value:
            yield (name,), value
        else:
            raise ConfigError(f"--over {section}.{name}={value}: write a list of values, as in {section}.{name}=[1, 2]")


def _nested(path: Sequence[str], value: Any) -> dict[str, Any]:
    return {path[0]: value if len(path) == 1 else _nested(path[1:], value)}


def _text(point: Mapping[str, Any], prefix: str = "") -> str:
    """Write the settings of a candidate: `model.kappa=0.5 plan.lr=0.001`."""
    parts = [
        _text(value, f"{prefix}{name}.") if isinstance(value, Mapping) else f"{prefix}{name}={json.dumps(value)}"
        for name, value in point.items()
    ]
    return " ".join(parts) or "its defaults"


def _check(candidates: Sequence[Candidate]) -> None:
    numbers = Counter(candidate.method for candidate in candidates)
    if len(set(numbers.values())) > 1:
        counts = ", ".join(f"{method} has {number}" for method, number in numbers.items())
        raise ConfigError(f"an equal budget is as many candidates for every method; {counts}")
    first = candidates[0]
    for other in candidates:
        if _budget(other.specs[0]) != _budget(first.specs[0]):
            raise ConfigError(
                f"an equal budget is {_budget(first.specs[0])} for all; {other.method} {other.text} takes "
                f"{_budget(other.specs[0])}" + (", its teacher's included" if other.specs[0].teacher else "")
            )


def _budget(spec: Spec) -> dict[str, int]:
    before = spec.teacher.plan["steps"] if spec.teacher is not None else 0
    return {"steps": spec.plan["steps"] + before, "batch_size": spec.plan["batch_size"]}


def _better(metric: str) -> str:
    """Return the direction of a metric: lower, higher or nothing."""
    better = metrics[metric.partition(".")[0]].traits["better"]
    return better if better in ("lower", "higher") else ""
