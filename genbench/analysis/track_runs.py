"""The runs of a track: published runs, and further rows that the track does not list.

A run of any model, by `genbench run` or `genbench sweep`, belongs to a further row if these match the track: data,
batch size, number of steps, seed, evaluation and headline metric. Other differences of its plan become part of the
row's name.

A task that names no file takes runs with any source of its data set, as given by `data.path`, but one source only: the
one with the most runs. Runs with another source are counted and left out.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

from genbench.errors import ConfigError
from genbench.registry import models
from genbench.results.frames import FREE
from genbench.results.names import OF_FILE, named
from genbench.results.reader import Group, Run, read_groups, suite_names
from genbench.runs.component import differing, sampler
from genbench.runs.make_spec import complete_spec, make_spec
from genbench.runs.record import failure_line, identity
from genbench.runs.record_types import Record, by_content, same_component
from genbench.runs.spec import Spec
from genbench.runs.store import Store, labels_of
from genbench.runs.versions import with_defaults, without_outdated
from genbench.settings import Settings, merge, settings_in
from genbench.suites import FOLDER, tracks
from genbench.sweeps.ensembles import form_ensembles
from genbench.sweeps.set_options import as_set_value
from genbench.sweeps.suite import TrackRow, choice_of, pairs, track_rows, with_paths
from genbench.sweeps.suite_file import TUNED, ModelEntry, Suite, Track, folder_of, read
from genbench.sweeps.user_files import component_name, of_model
from genbench.training.plan import Plan

Chosen = Literal["default", "tuned"]
"""Which settings of its methods a table of a track has."""


class Place(NamedTuple):
    """The place of a run in a track: its task, the row of its model, and its budget."""

    data: str
    row: str
    steps: int


class TrackRuns(NamedTuple):
    """The runs of a table.

    Args:
        runs: {place: {seed: run}}.
        failures: {place: {seed: reason}} of failed runs.
        further: rows that the track does not list.
        sources: {task: {source of its data: number of runs}}, the source of the table first; "" is the data set's own.
    """

    runs: dict[Place, dict[int, Run]]
    failures: dict[Place, dict[int, str]]
    further: tuple[str, ...]
    sources: dict[str, dict[str, int]]


class _Candidate(NamedTuple):
    """A run for a place, or the reason of its failure, if its source is the source of the table."""

    place: Place
    seed: int
    source: str
    run: Run | str


def read_track(path: Path) -> tuple[Suite, Track]:
    """Read the suite file of a track.

    Raises:
        ConfigError: if the suite is not a track.
    """
    suite = with_paths(read(path), folder_of(path))
    if suite.track is None:
        name = path.stem if path.parent == FOLDER else path
        raise ConfigError(f"{name} is not a track: it has no [track]; known: {', '.join(tracks())}")
    return suite, suite.track


def track_runs(
    path: Path, rows: Sequence[TrackRow], store: Store, settings: Chosen, added: Iterable[Record] = ()
) -> TrackRuns:
    """Read the runs of a track: published runs first, then runs of the results folder and added ones that fill gaps."""
    suite, track = read_track(path)
    changed = _changed(suite, rows) if settings == "tuned" else {}
    specs = _specs(rows, track.baseline)
    tasks = [*specs]
    found: list[_Candidate] = []
    known = set()
    for group in _groups(path, store):
        for run in group.runs:
            known.add(identity(run.record))
            found += (_candidate(run.record, place, run) for place in _places(run.record, tasks, changed))
        for record in group.failures:
            found += (_candidate(record, place) for place in _places(record, tasks, changed))
    beside = [each.run.record for each in found if isinstance(each.run, Run)]
    saved = [record for record in store.records() if record["results"] and identity(record) not in known]
    own = [*named(without_outdated(saved), beside), *added]
    failed = named([record for _, record in store.failures() if identity(record) not in known], [*beside, *own])
    names: dict[str, str] = {}
    usual = {budget.steps for budget in suite.budgets}
    listed: dict[str, set[int]] = {}
    for row, budget in product(rows, suite.budgets):
        if (length := row.model.at(budget)) is not None:
            listed.setdefault(row.label, set()).add(length["plan"]["steps"])
    lengths = usual.union(*listed.values())
    further = [record for record in (*own, *failed) if record["spec"]["plan"].get("steps") in lengths]
    for data, spec in specs.items():
        for record in (record for record in further if _belongs(record, spec)):
            place = Place(data, _row(record, spec, names), record["spec"]["plan"]["steps"])
            if place.steps not in listed.get(place.row, usual):  # it is the budget of a row with another pace
                continue
            if place in changed:  # the runs with chosen settings fill this place
                continue
            run = None if "failure" in record else Run(record, record["labels"]["model"], None)
            found.append(_candidate(record, place, run))
    return _of_one_source(found, listed)


def _candidate(record: Record, place: Place, run: Run | None = None) -> _Candidate:
    label = record["labels"]["data"]
    source = OF_FILE.search(label) if label != place.data else None
    return _Candidate(place, record["spec"]["seed"], source[0].strip() if source else "", run or failure_line(record))


def _of_one_source(candidates: Iterable[_Candidate], listed: Collection[str]) -> TrackRuns:
    """Return the runs of the most frequent source of each task; the first candidate of a place and seed stands."""
    candidates = list(candidates)
    counts: dict[str, Counter[str]] = {}
    for each in candidates:
        counts.setdefault(each.place.data, Counter())[each.source] += 1
    found = TrackRuns({}, {}, (), {data: dict(count.most_common()) for data, count in counts.items()})
    for place, seed, source, run in candidates:
        if source != next(iter(found.sources[place.data])):
            continue
        if isinstance(run, str):
            found.failures.setdefault(place, {}).setdefault(seed, run)
        else:
            found.runs.setdefault(place, {}).setdefault(seed, run)  # published runs come first
    rows = dict.fromkeys(place.row for place in (*found.runs, *found.failures))
    return found._replace(further=tuple(row for row in rows if row not in listed))


def task_of(label: str, tasks: Collection[str]) -> str:
    """Return the task of a data set, given its label: tasks without a source of their own take any.

    >>> task_of("cifar10 images=f0c7f7bd", ["cifar10"]), task_of("points file=f0c7f7bd", ["points file=f0c7f7bd"])
    ('cifar10', 'points file=f0c7f7bd')
    """
    return label if label in tasks else OF_FILE.sub("", label)


def all_records(path: Path, store: Store) -> list[Record]:
    """Return all records to compare a submission with: the records of a track and of a results folder."""
    return [*(run.record for group in _groups(path, store) for run in group.runs), *store.records()]


def _groups(path: Path, store: Store) -> Iterator[Group]:
    """Yield the published runs of a track that ships with genbench, then the runs of a results folder."""
    stores = [Store(FOLDER), store] if path.resolve().parent == FOLDER.resolve() else [store]
    for each in {(each.root / path.stem).resolve(): each for each in stores}.values():
        if path.stem in suite_names(each.root):
            yield from read_groups(each, [path.stem])


def _changed(suite: Suite, rows: Sequence[TrackRow]) -> dict[Place, Spec | None]:
    """Return {place: its spec with the settings that tuning chose} where these are not the defaults.

    The steps of the spec are not the steps of the place. None where nothing is chosen yet.
    """
    changed: dict[Place, Spec | None] = {}
    for row in rows:
        if (choice := choice_of(suite, row)) == {}:
            continue
        whole = merge(row.settings, choice or {})
        spec = complete_spec(row.model.name, row.data.name, 0, row.metrics, whole) if choice else None
        for budget in suite.budgets:
            if budget.tuned and (length := row.model.at(budget)) is not None:
                changed[Place(row.dataset, row.label, length["plan"]["steps"])] = spec
    return changed


def _places(record: Record, tasks: Collection[str], changed: Mapping[Place, Spec | None]) -> Iterator[Place]:
    """Yield the places of a record in a table. Rows without chosen settings are in both tables.

    Args:
        tasks: labels of the data sets of the track.
        changed: result of `_changed` for the tuned table, empty for the table of default settings.
    """
    data = task_of(record["labels"]["data"], tasks)
    for own in record.get("track", ()):
        place = Place(data, own["row"], record["spec"]["plan"]["steps"])
        if place not in changed:
            stands = "default" in own["tables"]
        else:  # settings of an earlier tuning are in no table
            spec = changed[place]
            stands = spec is not None and "tuned" in own["tables"] and _has_settings(record, spec)
        if stands:
            yield place


def _has_settings(record: Record, spec: Spec) -> bool:
    own = record["spec"]
    pairs = (own["model"], spec.model), (own["plan"], spec.plan), (own["sample"], spec.sample)
    # A model from a file that has changed is not registered, and a setting that no longer exists has no default.
    if own["model"]["name"] != spec.model["name"] or any(one.keys() - other.keys() for one, other in pairs):
        return False
    return _changes(own["model"], own["plan"], own["sample"]) == _changes(spec.model, spec.plan, spec.sample)


def _changes(model: Settings, plan: Settings, sample: Settings) -> list[Any]:
    """Return what is not a default: a record may be older than a setting that has its default since then."""
    entry, plan = models[model["name"]], {key: plan[key] for key in plan if key not in FREE}
    own = differing(entry.build, settings_in(by_content(model, model.get("content", {}))))
    return [model["name"], model["version"], own, differing(Plan, plan), differing(sampler(entry), sample)]


def _specs(rows: Sequence[TrackRow], baseline: str) -> dict[str, Spec]:
    """Return {data set: the spec of the baseline}, which has the data, plan and evaluation of the track."""
    specs: dict[str, Spec] = {}
    for row in rows:
        if row.label == baseline:
            specs[row.dataset] = complete_spec(row.model.name, row.data.name, 0, row.metrics, row.settings)
    return specs


def _belongs(record: Record, spec: Spec) -> bool:
    """Return whether a run was trained and measured as a track requires."""
    own, headline = record["spec"], next(iter(spec.metrics))
    data = own["data"]
    if "path" in data and spec.data.get("path") is None:
        data = {**data, "path": None}
    return (
        same_component(data, spec.data)
        and own["plan"].get("batch_size") == spec.plan["batch_size"]
        and with_defaults(own)["evaluation"] == spec.evaluation
        and same_component(own["metrics"].get(headline), spec.metrics[headline])
    )


def recipes_of(rows: Sequence[TrackRow], baseline: str) -> dict[str, str]:
    """Return {row: the settings of its plan that differ from the baseline's, in words}; nothing for equal plans."""
    found = {}
    usual = _specs(rows, baseline)
    for row in rows:
        if row.label not in found:
            spec = complete_spec(row.model.name, row.data.name, 0, row.metrics, row.settings)
            found[row.label] = " ".join(_differing(spec.plan, usual[row.dataset].plan))
    return {label: words for label, words in found.items() if words}


def _differing(plan: Settings, usual: Settings) -> list[str]:
    """Return the settings of a plan that differ from the usual plan, in words."""
    return [f"{key}={as_set_value(plan[key])}" for key in plan if key not in FREE and plan[key] != usual.get(key)]


def _row(record: Record, spec: Spec, names: dict[str, str]) -> str:
    """Return the row of a run: the label of its model on the first data set, and settings that only its plan has."""
    own = record["spec"]
    words = _differing(with_defaults(own)["plan"], spec.plan)
    name = record["labels"]["model"].partition(" ")[0]
    key = json.dumps([name, own["model"], own["sample"], words], sort_keys=True)
    return names.setdefault(key, " ".join([record["labels"]["model"], *words]))


def row_cells(path: Path, model: str, settings: Settings) -> list[Spec]:
    """Return the cells of a further row of a track, at its first budget or at the budget that `plan.steps` names.

    Args:
        model: a name, or `file.py` or `file.py:name`.

    Raises:
        ConfigError: if the suite is not a track, or has this row already; on unknown names, or settings of the track.
        Unsupported: if no task goes with the model.
    """
    suite, track = read_track(path)
    fixed = {"data"} if settings.get("data", {}).keys() - {"path"} else settings.keys() - {*TUNED, "data"}
    if fixed:
        raise ConfigError(f"--set {min(fixed)}: the track fixes it: set model, plan or sample")
    steps = settings.get("plan", {}).get("steps", suite.budgets[0].steps)
    budget = next((budget for budget in suite.budgets if budget.steps == steps), None)
    if budget is None or "batch_size" in settings.get("plan", {}):
        budgets = ", ".join(str(budget.steps) for budget in suite.budgets)
        raise ConfigError(f"--set plan: {path.stem} fixes the batch size, and its steps are {budgets}")
    name, _ = component_name("models", model)
    own = merge(settings, {"model": of_model(name, settings.get("model", {})), "plan": {"steps": steps}})
    rows = track_rows(suite)
    usual, listed, names = _specs(rows, track.baseline), {row.label for row in rows}, {}
    cells = []
    for data, entry, shared in pairs(suite, of_models=[ModelEntry(name=name)]):
        metrics = (suite.metrics if data.metrics is None else data.metrics) or []
        spec = make_spec(entry.name, data.name, metrics=metrics, settings=merge(shared, own))
        record: Any = {"labels": labels_of(spec), "spec": spec.json()}
        if (row := _row(record, usual[task_of(spec.data_label, usual)], names)) in listed:
            raise ConfigError(f"{path.stem} already has a row {row}: change a setting by --set, or rename your model")
        cells += [replace(spec, seed=seed) for seed in budget.seeds]
    return form_ensembles(cells, suite.stack) if suite.stack else cells
