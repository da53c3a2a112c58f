"""Tuning: settings chosen on the validation split, with equal budgets and equally many candidates per method.

Trials use neither the test split nor the seeds of the tables, which are trained after the choice.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from genbench.analysis.means import mean_and_error
from genbench.analysis.values import group_by
from genbench.errors import ConfigError, RunFailed
from genbench.metrics.image.feature_sets import Images
from genbench.registry import metrics
from genbench.runs.make_spec import make_spec
from genbench.runs.record_types import Record
from genbench.runs.spec import Spec, build_data, without_folders
from genbench.runs.store import Store
from genbench.settings import Settings, merge, settings_of
from genbench.sweeps.ensembles import form_ensembles
from genbench.sweeps.set_options import as_set_options
from genbench.sweeps.suite import track_rows, with_paths
from genbench.sweeps.suite_file import CHOSEN, FIRST_SEED, Suite, Tuning, folder_of, points, read


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
        rows = [(record["spec"]["seed"], row) for record in self.records for row in record["results"]]
        rows = [(seed, row) for seed, row in rows if (row["metric"], row["point"]) == (metric, "main")]
        return {seed: row["value"] for seed, row in rows if row["value"] is not None}

    def mean(self, metric: str) -> float | None:
        """Return the mean of a metric; None if any seed lacks a value, so that the candidate is not chosen."""
        values = self.values(metric)
        return mean_and_error(values.values())[0] if len(values) == len(self.specs) else None


@dataclass(frozen=True)
class GridSearch:
    """The candidates of all methods, and the metric that decides."""

    metric: str
    candidates: tuple[Candidate, ...]

    @property
    def specs(self) -> list[Spec]:
        """The runs of all candidates."""
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

    def chosen(self) -> dict[str, Candidate]:
        """Return the best candidate of each method, or its default if both means are within one standard error.

        The standard error is the error of the mean paired difference over seeds.

        Raises:
            RunFailed: if no candidate of a method has a value for every seed.
        """
        sign = 1 if _better(self.metric) == "lower" else -1
        chosen: dict[str, Candidate] = {}
        for method, candidates in group_by(self.candidates, lambda candidate: candidate.method).items():
            means = [(sign * mean, c) for c in candidates if (mean := c.mean(self.metric)) is not None]
            if not means:
                raise RunFailed(f"no candidate of {method} has a value of {self.metric} for every seed")
            best = min(means, key=lambda pair: pair[0])[1]
            defaults = (c for _, c in means if c.default)
            chosen[method] = next((c for c in defaults if self._tied(c, best)), best)
        return chosen

    def _tied(self, one: Candidate, other: Candidate) -> bool:
        """Return whether the mean difference of two candidates is at most its standard error over seeds."""
        values, others = one.values(self.metric), other.values(self.metric)
        mean, error = mean_and_error(values[seed] - others[seed] for seed in values)
        return abs(mean) <= (error or 0.0)

    def json(self) -> dict[str, Any]:
        """Return plain JSON."""
        first = self.candidates[0].specs[0]
        return {
            "rule": "best mean on the validation split; a default within one standard error of it",
            "metric": self.metric,
            "data": without_folders(first.json())["data"],
            "budget": _budget(first),
            "candidates": [
                {"method": c.method, "settings": c.text, "values": c.values(self.metric)} for c in self.candidates
            ],
            "chosen": {method: candidate.text for method, candidate in self.chosen().items()},
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
        ConfigError: if methods have different numbers of candidates, or candidates different budgets.
    """
    settings = settings or {}
    data = build_data(make_spec(methods[0], dataset, metrics=[], settings={"data": settings.get("data", {})}).data)
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
            raise ConfigError(f"the candidate {candidate.method} {candidate.text} is there twice")
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


class Trials(NamedTuple):
    """The trials of a model on a data set.

    Args:
        data: label of the data set in tables.
        row: label of the model with its default settings.
    """

    data: str
    row: str
    search: GridSearch

    @property
    def title(self) -> str:
        """How the trials are named."""
        return f"{self.row} on {self.data}"


class TrackTuning(NamedTuple):
    """The trials of a track, and the path of the file for the chosen settings."""

    trials: Sequence[Trials]
    path: Path

    def missing(self, store: Store) -> dict[str, Spec]:
        """Return the runs that the store lacks, by label."""
        return {
            f"{each.title}: {label}": spec for each in self.trials for label, spec in each.search.missing(store).items()
        }

    def measured(self, store: Store) -> "TrackTuning":
        """Return the trials with the records of the store."""
        return self._replace(trials=[each._replace(search=each.search.measured(store)) for each in self.trials])

    def chosen(self) -> dict[str, dict[str, Any]]:
        """Return {data set: {model: the settings that replace its defaults}}, empty settings where those are best.

        Raises:
            RunFailed: if a model has no candidate with a value for every seed.
        """
        found: dict[str, dict[str, Any]] = {}
        for each in self.trials:
            (candidate,) = each.search.chosen().values()
            found.setdefault(each.data, {})[each.row] = dict(candidate.settings)
        return found

    def text(self) -> str:
        """Return the content of the file of chosen settings."""
        return json.dumps(self.chosen(), indent=1) + "\n"

    def json(self) -> list[dict[str, Any]]:
        """Return the trials as plain JSON."""
        return [{"model": each.row} | each.search.json() for each in self.trials]


def track_tuning(path: Path) -> TrackTuning:
    """Return the trials of a track: of each model, its defaults and all combinations of the values that it declares.

    Args:
        path: of its suite file.

    Raises:
        ConfigError: if it is not a track, or has nothing to tune.
    """
    suite = with_paths(read(path), folder_of(path))
    if suite.track is None:
        raise ConfigError(f"{path} is not a track: it has no [track]")
    trials = list(_trials(suite, suite.track.tuning))
    if not trials:
        raise ConfigError(f"{path}: no model declares trials")
    return TrackTuning(trials, path.with_suffix(CHOSEN))


def _trials(suite: Suite, tuning: Tuning) -> Iterator[Trials]:
    for row in track_rows(suite):
        if row.model.trials:
            plan = {"steps": row.model.paced(tuning.steps)}
            short = {"plan": plan, "evaluation": {"curve": [], "curve_metrics": []}}
            tables = {name: table for name, table in row.settings["metric"].items() if name == row.metrics[0]}
            search = grid_search(
                [row.model.name],
                row.data.name,
                row.model.trials,
                metric=row.metrics[0],
                seeds=tuning.seeds,
                settings=merge(row.settings, short) | {"metric": tables},
                defaults=True,
            )
            yield Trials(row.dataset, row.label, search)
