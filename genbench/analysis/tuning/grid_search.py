"""Grid search on the validation split, with equal budgets and equally many candidates per method.

Trials use neither the test split nor the seeds of the tables, which are trained after the choice.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from genbench.analysis.means import mean_and_error
from genbench.analysis.values import group_by
from genbench.errors import ConfigError
from genbench.metrics.image.feature_sets import Images
from genbench.registry import metrics
from genbench.results.frames import is_unsupported
from genbench.runs.make_spec import make_spec
from genbench.runs.record_types import Record
from genbench.runs.spec import Spec, build_data, without_folders
from genbench.runs.store import Store
from genbench.settings import Settings, merge, settings_of
from genbench.sweeps.ensembles import form_ensembles
from genbench.sweeps.set_options import as_set_options
from genbench.sweeps.suite_file import FIRST_SEED, TUNED, points


@dataclass(frozen=True)
class Candidate:
    """A candidate.

    Args:
        settings: settings that the candidate changes, nested by section.
        default: whether its settings are the defaults of the method.
        records: records of the runs that did not fail.
    """

    method: str
    text: str
    settings: Settings
    specs: tuple[Spec, ...]
    default: bool = False
    records: tuple[Record, ...] = ()

    def values(self, metric: str) -> dict[int, float]:
        """Return the values of a metric after training, with the main solver, by seed."""
        return {seed: row["value"] for seed, row in self.rows(metric).items() if row["value"] is not None}

    def rows(self, metric: str) -> dict[int, Mapping[str, Any]]:
        """Return the results of a metric after training, with the main solver, by seed."""
        rows = [(record["spec"]["seed"], row) for record in self.records for row in record["results"]]
        return {seed: row for seed, row in rows if (row["metric"], row["point"]) == (metric, "main")}

    def mean(self, metric: str) -> float | None:
        """Return the mean of a metric; None if any seed lacks a value, so that the candidate is not chosen."""
        values = self.values(metric)
        return mean_and_error(values.values())[0] if len(values) == len(self.specs) else None


class Choice(NamedTuple):
    """What tuning chose for a method.

    Args:
        candidate: the chosen candidate: the best, or the default if they are tied.
        best: the candidate with the best mean.
        default: the candidate with the default settings; None if no such candidate has a value for every seed.
        edges: settings of the chosen candidate beyond which nothing was tried, in words.
    """

    candidate: Candidate
    best: Candidate
    default: Candidate | None
    edges: tuple[str, ...]

    def difference(self, metric: str) -> tuple[float, float | None] | None:
        """Return the mean of best minus default and its standard error over seeds; None if the default is the best."""
        if self.default is None or self.default is self.best:
            return None
        values, others = self.best.values(metric), self.default.values(metric)
        return mean_and_error(values[seed] - others[seed] for seed in values)

    def json(self, metric: str) -> dict[str, Any]:
        mean, error = self.difference(metric) or (None, None)
        shared = {"best": self.best.text, "best_minus_default": mean, "standard_error": error}
        return {"chosen": self.candidate.text, **shared, "edges": list(self.edges)}


@dataclass(frozen=True)
class GridSearch:
    """The candidates of all methods, and the metric that decides."""

    metric: str
    candidates: tuple[Candidate, ...]

    @property
    def specs(self) -> list[Spec]:
        return [spec for candidate in self.candidates for spec in candidate.specs]

    def missing(self, store: Store) -> dict[str, Spec]:
        """Return the runs that the store lacks, by label."""
        runs = {f"{c.method} {c.text}, seed {spec.seed}": spec for c in self.candidates for spec in c.specs}
        return {label: spec for label, spec in runs.items() if not store.is_complete(spec, store.record(spec))}

    def measured(self, store: Store) -> "GridSearch":
        """Return the search with the records of the store."""
        kept = [[record for spec in c.specs if (record := store.record(spec)) is not None] for c in self.candidates]
        pairs = zip(self.candidates, kept, strict=True)
        return replace(self, candidates=tuple(replace(c, records=tuple(records)) for c, records in pairs))

    def chosen(self) -> dict[str, Choice]:
        """Return the best candidate of each method, or its default if the means differ by at most one standard error.

        The standard error refers to the mean paired difference over seeds; one seed has none, so the best is chosen. A
        method without a candidate that has a value for every seed is left out.
        """
        sign = 1 if _better(self.metric) == "lower" else -1
        chosen: dict[str, Choice] = {}
        for method, candidates in group_by(self.candidates, lambda candidate: candidate.method).items():
            if means := [(sign * mean, c) for c in candidates if (mean := c.mean(self.metric)) is not None]:
                best = min(means, key=lambda pair: pair[0])[1]
                found = Choice(best, best, next((c for _, c in means if c.default), None), ())
                mean, error = found.difference(self.metric) or (0.0, None)
                if found.default is not None and abs(mean) <= (error or 0.0):
                    found = found._replace(candidate=found.default)
                chosen[method] = found._replace(edges=tuple(_edges(found.candidate, candidates)))
        return chosen

    @property
    def lost(self) -> list[str]:
        """The methods without a candidate that has a value for every seed."""
        return list(dict.fromkeys(c.method for c in self.candidates if c.method not in self.chosen()))

    @property
    def unsupported(self) -> bool:
        """Whether all runs ended, and their models cannot have a value of the metric."""
        every = [row for candidate in self.candidates for row in candidate.rows(self.metric).values()]
        return len(every) == len(self.specs) and all(map(is_unsupported, every))

    def json(self) -> dict[str, Any]:
        first = self.candidates[0].specs[0]
        return {
            "rule": "best mean on the validation split; a default within one standard error of it",
            "metric": self.metric,
            "data": without_folders(first.json())["data"],
            "budget": _budget(first),
            "candidates": [
                {"method": c.method, "settings": c.text, "values": c.values(self.metric)} for c in self.candidates
            ],
            "chosen": {method: choice.json(self.metric) for method, choice in self.chosen().items()},
        }


def grid_search(
    methods: Sequence[str],
    dataset: str,
    over: Settings,
    *,
    metric: str | None = None,
    seeds: int = 3,
    settings: Settings | None = None,
    defaults: bool = False,
) -> GridSearch:
    """Return the candidates of each method: every combination of the given values, measured on the validation split.

    Args:
        over: {section: {name: list of values}}; a section may be the name of a method, for its model settings alone.
        metric: metric to optimize; by default the data set's first metric that uses samples.
        seeds: number of seeds per candidate, numbered from `FIRST_SEED`.
        defaults: whether to add the defaults of each method as a candidate.

    Raises:
        ConfigError: if methods have different numbers of candidates, candidates different budgets, no data is held
            out for validation, or another split is asked for.
    """
    settings = settings or {}
    if (split := settings.get("evaluation", {}).get("split", "valid")) != "valid":
        raise ConfigError(f"evaluation.split={split}: tuning measures candidates on validation data: omit the split")
    data = build_data(make_spec(methods[0], dataset, metrics=[], settings={"data": settings.get("data", {})}).data)
    if data.valid.size == 0:
        raise ConfigError(
            "data.valid=0: tuning measures candidates on validation data: omit data.valid; or, in a track, "
            "hold out data for its trials, as in tuning = { data = { valid = 1000 }, ... }"
        )
    metric = metric or next(name for name in data.metrics if metrics[name].traits["of"] == "samples" and _better(name))
    if not _better(metric):
        raise ConfigError(f"--metric {metric}: neither lower nor higher values are better: choose another metric")
    name = metric.partition(".")[0]
    fixed = {"evaluation": {"split": "valid"}, "metric": {name: _held_out(name)}}
    candidates = []
    trials = range(FIRST_SEED, FIRST_SEED + seeds)

    def specs_of(method: str, point: Settings) -> list[Spec]:
        whole = merge({"evaluation": {"curve": []}}, settings, point, fixed)
        return [make_spec(method, dataset, seed=seed, metrics=[name], settings=whole) for seed in trials]

    for method in methods:
        default = specs_of(method, {})
        for point in [*([{}] if defaults else []), *points(over, method, methods)]:
            specs = specs_of(method, point)
            if defaults and point and specs == default:
                continue
            text = " ".join(word for section, table in point.items() for word in as_set_options(section, table))
            stacked = tuple(form_ensembles(specs, ["seed"]))
            candidates.append(Candidate(method, text or "its defaults", point, stacked, specs == default))
    _check_budgets(candidates)
    if candidates[0].specs[0].metrics[name].get("statistics"):
        raise ConfigError(f"metric.{name}.statistics: tuning compares with the validation split: omit the file")
    return GridSearch(metric, tuple(candidates))


def _edges(candidate: Candidate, candidates: Sequence[Candidate]) -> Iterator[str]:
    """Yield the numbers among the settings of a candidate that are the largest or the smallest that was tried."""
    tried = [dict(_numbers(candidate)) for candidate in candidates]
    for name, value in _numbers(candidate):
        values = {numbers[name] for numbers in tried if name in numbers}
        if len(values) > 1 and value in (min(values), max(values)):
            yield f"no {'larger' if value == max(values) else 'smaller'} {name} than {value:g} was tried"


def _numbers(candidate: Candidate) -> Iterator[tuple[str, float]]:
    def within(name: str, value: Any) -> Iterator[tuple[str, float]]:
        if isinstance(value, Mapping):
            for key in value:
                yield from within(f"{name}.{key}", value[key])
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name, value

    settings = candidate.specs[0].json()
    for section in TUNED:
        yield from within(section, settings[section])


def _held_out(metric: str) -> Settings:
    """Return the settings with which a metric compares samples with held-out data, not with training images."""
    split = settings_of(metrics[metric].build).get("split")
    of_images = split is not None and split.type == settings_of(Images)["split"].type
    return {"split": "test"} if of_images and metrics[metric].traits["of"] == "samples" else {}


def _check_budgets(candidates: Sequence[Candidate]) -> None:
    known: set[str] = set()
    for candidate in candidates:
        text = json.dumps(candidate.specs[0].json(), sort_keys=True)
        if text in known:
            raise ConfigError(f"the candidate {candidate.method} {candidate.text} is listed twice: remove one")
        known.add(text)
    numbers = Counter(candidate.method for candidate in candidates)
    if len(set(numbers.values())) > 1:
        counts = ", ".join(f"{method} has {number}" for method, number in numbers.items())
        raise ConfigError(f"every method needs the same number of candidates: {counts}")
    budget = _budget(candidates[0].specs[0])
    for candidate in candidates:
        spec = candidate.specs[0]
        if _budget(spec) != budget:
            teacher = ", its teacher included" if "teacher" in spec.prerequisites else ""
            raise ConfigError(
                f"every candidate needs the same budget: {candidate.method} {candidate.text} takes {_budget(spec)}"
                f"{teacher}, the first takes {budget}"
            )


def _budget(spec: Spec) -> dict[str, int]:
    return {"steps": _steps(spec), "batch_size": spec.plan["batch_size"]}


def _steps(spec: Spec) -> int:
    return spec.plan.get("steps", 0) + sum(map(_steps, spec.prerequisites.values()))


def _better(metric: str) -> str:
    """Return the direction of a metric: lower, higher, or an empty string."""
    better = metrics[metric.partition(".")[0]].traits["better"]
    return better if better in ("lower", "higher") else ""
