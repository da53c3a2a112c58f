"""Suites: all cells of a suite file, each checked before anything runs."""

import itertools
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from genbench.errors import ConfigError, unknown
from genbench.registry import ALL, Registry, datasets, models
from genbench.runs.component import sampler
from genbench.runs.make_spec import complete_spec, full_name, make_spec
from genbench.runs.record_types import Place, same_component
from genbench.runs.spec import Spec
from genbench.runs.store import run_name
from genbench.settings import Settings, merge, plain, settings_of
from genbench.suites import find
from genbench.sweeps.ensembles import form_ensembles
from genbench.sweeps.suite_file import (
    CHOSEN,
    DataEntry,
    Entry,
    ModelEntry,
    Seeds,
    Suite,
    folder_of,
    points,
    read,
    with_entries,
)
from genbench.sweeps.user_files import from_folder, of_model


class Sweep(NamedTuple):
    """The cells of a suite, in the order of its tables; the tables have the name of the suite.

    Args:
        places: for a track, the table rows of each cell; several rows may share a cell.
        budgets: for a track, the budgets of each cell.
    """

    name: str
    specs: list[Spec]
    places: Sequence[list[Place]] = ()
    budgets: Sequence[Collection[int]] = ()

    def part(self, datasets: Collection[str], budget: int | None, table: str | None) -> set[int]:
        """Return the indices of the cells on some data sets; for a track, at a budget or in a table.

        Args:
            datasets: names or labels; empty for all.
            budget: in steps; None for all.
            table: "default" for the cells with default settings, "tuned" for the others; None for all.

        Raises:
            ConfigError: if the suite has no such data set.
        """
        names = [{spec.data_label, spec.data["name"]} for spec in self.specs]
        for name in datasets:
            if not any(name in own for own in names):
                raise unknown(f"{self.name} has no data set", name, set[str]().union(*names))
        found = {index for index, own in enumerate(names) if not datasets or own.intersection(datasets)}
        if budget is not None:
            found = {index for index in found if budget in self.budgets[index]}
        if table is not None:
            default = [any("default" in place["tables"] for place in places) for places in self.places]
            found = {index for index in found if default[index] == (table == "default")}
        return found


class DataChoice(NamedTuple):
    """A data set, the metrics that replace the suite's metrics, and its settings, nested by section."""

    name: str
    metrics: list[str] | None
    settings: dict[str, Any]


class TrackRow(NamedTuple):
    """A model with its default settings on a data set of a track.

    Args:
        settings: nested by section.
        dataset: label of the data set in tables.
        label: label of the model in tables.
        metrics: names of the metrics, the headline metric first.
    """

    data: DataChoice
    model: ModelEntry
    settings: dict[str, Any]
    dataset: str
    label: str
    metrics: list[str]


RESERVED = ("cache", "foreign", "leases", "logs", "other-runs", "report", "runs", "tuning")
"""Names that cannot be names of suites, because the tables of a suite are in RESULTS/NAME."""


def load(suite: str | Path, settings: Settings | None = None) -> Sweep:
    """Read a suite and check every cell of it.

    Args:
        suite: path of a suite file, or name of a suite that comes with genbench.
        settings: nested by section; they override the settings of every cell.

    Raises:
        ConfigError: if there is no such suite or a cell is wrong.
    """
    path = find(suite)
    if path.stem in RESERVED:
        raise ConfigError(f"{path}: the results folder itself uses the name '{path.stem}': rename the suite")
    contents = read(path)
    try:
        contents = with_paths(contents, folder_of(path))
        if contents.track is None:
            return Sweep(path.stem, _cells(contents, settings or {}))
        return Sweep(path.stem, *_track_cells(contents, settings or {}))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def with_paths(suite: Suite, folder: Path) -> Suite:
    """Return a suite in which the paths among the settings of components are relative to the working folder."""

    data = [*suite.datasets, *(part.dataset for part in suite.include)]
    measured = {name for names in (suite.metrics, *(each.metrics for each in data)) for name in names or ()}

    def of_metrics(tables: Mapping[str, Any]) -> dict[str, Any]:
        full = {name: full_name(name, measured) or name for name, table in tables.items() if isinstance(table, Mapping)}
        known = {name: ALL["metrics"][own].build for name, own in full.items() if own in ALL["metrics"]}
        return {**tables, **{name: from_folder(build, tables[name], folder) for name, build in known.items()}}

    def moved(kind: str, part: Entry) -> Entry:
        if kind == "models":
            settings = of_model(part.name, part.settings, folder)
        else:
            settings = from_folder(ALL[kind][part.name].build, part.settings, folder)
        return part.model_copy(update=settings | {"metric": of_metrics(part.metric)})

    return with_entries(suite, moved).model_copy(update={"metric": of_metrics(suite.metric)})


def _cells(suite: Suite, override: Settings) -> list[Spec]:
    own = [choice for entry in suite.datasets for choice in _data(entry)]
    cells = _once(_product(suite, own, suite.models, override))
    for addition in suite.include:
        added = [choice for included in _data(addition.dataset) for choice in _as_given(included, own)]
        cells = _once([*cells, *_product(suite, added, [addition.model], override, addition.seeds)])
    return form_ensembles(cells, suite.stack) if suite.stack else cells


def _track_cells(suite: Suite, override: Settings) -> tuple[list[Spec], list[list[Place]], list[set[int]]]:
    """Return the cells of a track, those with default settings first, and the table rows and budgets of each cell."""
    rows = track_rows(suite)
    if faults := choices_of(suite.chosen, rows)[1]:
        raise ConfigError(f"{CHOSEN}: {faults[0]}")
    places: dict[tuple[str, str], dict[str, Place]] = {}
    budgets: dict[tuple[str, str], set[int]] = {}
    cells = []
    for table in ("default", "tuned"):
        for budget, row in itertools.product(suite.budgets, rows):
            choice = choice_of(suite, row) if table == "tuned" and budget.tuned else {}
            if choice is None or (length := row.model.at(budget)) is None:
                continue  # nothing is chosen yet, or the model is not trained at this budget
            settings = merge(row.settings, choice, length, override)
            spec = make_spec(row.model.name, row.data.name, metrics=row.metrics, settings=settings)
            for cell in (replace(spec, seed=seed) for seed in budget.seeds):
                cells.append(cell)
                key = _identity(cell)
                budgets.setdefault(key, set()).add(budget.steps)
                here = places.setdefault(key, {})
                place = here.setdefault(row.label, {"row": row.label, "headline": row.metrics[0], "tables": []})
                if table not in place["tables"]:
                    place["tables"].append(table)
    specs = _once(cells)  # in the order of `places` and `budgets`
    ordered = [list(here.values()) for here in places.values()]
    return form_ensembles(specs, suite.stack) if suite.stack else specs, ordered, list(budgets.values())


def track_rows(suite: Suite) -> list[TrackRow]:
    """Return every model of a track on every data set.

    A model is named by its label on the first data set: its settings may differ from the defaults on other data sets.

    Raises:
        ConfigError: if two rows have the same label, or no row has the label of the baseline.
    """
    rows: dict[tuple[str, str], TrackRow] = {}
    labels: dict[str, str] = {}
    for data, model, settings in pairs(suite):
        chosen = (suite.metrics if data.metrics is None else data.metrics) or []
        spec = complete_spec(model.name, data.name, 0, chosen, settings)
        stated = json.dumps([model.name, settings["model"], settings["sample"]], sort_keys=True)
        label = labels.setdefault(stated, spec.model_label)
        row = TrackRow(data, model, settings, spec.data_label, label, chosen)
        if (row.dataset, row.label) in rows:
            raise ConfigError(f"two rows of the track have the same label: {row.label} on {row.dataset}: remove one")
        rows[row.dataset, row.label] = row
    if suite.track is not None and suite.track.baseline not in labels.values():
        raise unknown("track.baseline: no row is called", suite.track.baseline, labels.values())
    return list(rows.values())


def choice_of(suite: Suite, row: TrackRow) -> Settings | None:
    """Return the settings that replace the defaults of a row in the tuned table; None if tuning has chosen none yet."""
    return suite.chosen.get(row.dataset, {}).get(row.label) if row.model.trials else {}


def choices_of(
    chosen: Mapping[str, Mapping[str, Settings]], rows: Iterable[TrackRow]
) -> tuple[dict[str, dict[str, Settings]], list[str]]:
    """Return the chosen settings that are the defaults or a trial of their row, and what is wrong with the others."""
    declared = {(row.dataset, row.label): row.model.trials for row in rows}
    fitting: dict[str, dict[str, Settings]] = {}
    faults = []
    for dataset, choices in chosen.items():
        for label, choice in choices.items():
            if (dataset, label) not in declared:
                faults.append(f"this track has no row {label} on {dataset}: tune it again")
            elif choice and choice not in list(points(declared[dataset, label], what="trials")):
                faults.append(f"{choice} is not a trial of {label} on {dataset}: tune the track again")
            else:
                fitting.setdefault(dataset, {})[label] = choice
    return fitting, faults


def _identity(spec: Spec) -> tuple[str, str]:
    return run_name(spec), spec.evaluation_key


def _once(specs: Iterable[Spec]) -> list[Spec]:
    """Return each cell once, with all of its metrics, however often the suite names it.

    Raises:
        ConfigError: if a metric of a cell has two settings.
    """
    unique: dict[tuple[str, str], Spec] = {}
    for spec in specs:
        key = _identity(spec)
        cell = unique.setdefault(key, spec)
        for name in spec.metrics.keys() & cell.metrics.keys():
            if not same_component(cell.metrics[name], spec.metrics[name]):
                what = f"{spec.model_label} on {spec.data_label}"
                raise ConfigError(f"{what} measures {name} with two settings: give {name} the same settings everywhere")
        if more := spec.metrics.keys() - cell.metrics.keys():
            metrics = dict(sorted((cell.metrics | {name: spec.metrics[name] for name in more}).items()))
            unique[key] = replace(cell, metrics=metrics)
    return list(unique.values())


def _product(
    suite: Suite,
    chosen_data: Iterable[DataChoice],
    of_models: Iterable[ModelEntry],
    override: Settings,
    seeds: Seeds | None = None,
) -> Iterator[Spec]:
    """Yield the cells of each model on each data set, for each seed; `seeds` replaces the seeds of the suite."""
    for data, model, own in pairs(suite, chosen_data, of_models):
        chosen = suite.metrics if data.metrics is None else data.metrics
        spec = make_spec(model.name, data.name, metrics=chosen, settings=merge(own, override))
        yield from (replace(spec, seed=seed) for seed in model.seeds or seeds or suite.seeds)


def pairs(
    suite: Suite, chosen_data: Iterable[DataChoice] | None = None, of_models: Iterable[ModelEntry] | None = None
) -> Iterator[tuple[DataChoice, ModelEntry, dict[str, Any]]]:
    """Yield the settings of each model on each data set, by default for the whole suite."""
    own = [choice for entry in suite.datasets for choice in _data(entry)] if chosen_data is None else chosen_data
    chosen_models = [
        (entry, settings) for entry in of_models or suite.models for settings in _grid(models, entry, "model")
    ]
    for data, (model, settings) in itertools.product(own, chosen_models):
        yield data, model, merge(suite.sections, data.settings, settings)


def _data(entry: DataEntry) -> list[DataChoice]:
    return [DataChoice(entry.name, entry.metrics, settings) for settings in _grid(datasets, entry, "data")]


def _as_given(included: DataChoice, own: Iterable[DataChoice]) -> list[DataChoice]:
    """Return an included data set with the suite's sections and metrics for it, unless it states its own."""
    same = [each for each in own if (each.name, each.settings["data"]) == (included.name, included.settings["data"])]
    return [
        DataChoice(
            included.name,
            each.metrics if included.metrics is None else included.metrics,
            merge(each.settings, included.settings),
        )
        for each in same
    ] or [included]


def _grid(registry: Registry, entry: Entry, section: str) -> Iterator[dict[str, Any]]:
    """Yield the settings, nested by section, of every combination of an entry's lists."""
    component = registry[entry.name]
    samples = [entry.sample]
    if section == "model":
        samples = list(_combinations(sampler(component), entry.name, entry.sample))
    for choice, sample in itertools.product(_combinations(component.build, entry.name, entry.settings), samples):
        yield entry.sections | {section: choice, "sample": sample}


def _combinations(builder: Callable, name: str, table: Settings) -> Iterator[dict[str, Any]]:
    axes = [[(key, value) for value in _choices(builder, name, table[key], key)] for key in table]
    yield from (dict(combination) for combination in itertools.product(*axes))


def _choices(builder: Callable, name: str, value: Any, key: str) -> list[Any]:
    """Return the values of one setting: a list is one value if the setting takes lists, and a grid otherwise."""
    if not isinstance(value, list):
        return [value]
    if not value:
        raise ConfigError(f"{name}.{key}: [] is wrong: a grid needs at least one value")
    setting = settings_of(builder).get(key)
    if setting is None or setting.nested is not None:
        return value
    try:
        plain(setting, value, f"{name}.{key}")
    except ConfigError:
        return value
    return [value]
