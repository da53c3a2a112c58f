"""The runs of a track: published ones at their places, and rows that it does not list.

A run of any model is a row if its data, batch size, number of steps, seed, evaluation and headline metric are the
track's, so `genbench run` with these settings makes one too. What else differs in its plan is part of its name.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from genbench.results.names import named
from genbench.results.reader import Group, Run, read_groups, suite_names
from genbench.runs.make_spec import complete_spec
from genbench.runs.record import identity
from genbench.runs.record_types import Record, same_component
from genbench.runs.spec import Spec
from genbench.runs.store import Store
from genbench.runs.versions import without_outdated
from genbench.suites import FOLDER
from genbench.sweeps.set_options import as_set_value
from genbench.sweeps.suite import TrackRow

Settings = Literal["default", "tuned"]

FREE = ("steps", "compile", "threads")
"""Settings of a plan that name no recipe: the budget has the steps, and the others change no result."""


class Place(NamedTuple):
    """Where a run stands: its task, the row of its model, and its budget."""

    data: str
    row: str
    steps: int


class TrackRuns(NamedTuple):
    """The runs of a table.

    Args:
        runs: {place: {seed: run}}.
        failures: seeds of failed runs.
        further: rows that the track does not list.
    """

    runs: dict[Place, dict[int, Run]]
    failures: dict[Place, set[int]]
    further: tuple[str, ...]


def track_runs(
    path: Path, rows: Sequence[TrackRow], baseline: str, store: Store, settings: Settings, added: Iterable[Record] = ()
) -> TrackRuns:
    """Read the runs of a track: those of the results folder, where it lacks one the published ones, and added ones.

    Args:
        path: of the suite file.
        rows: of the track.
        baseline: the model whose settings of data, plan and evaluation are those of the track.
        settings: the table.
        added: records of submissions.
    """
    found, known = TrackRuns({}, {}, ()), set()
    for group in _groups(path, store):
        for run in group.runs:
            known.add(identity(run.record))
            for place in _places(run.record, settings):
                found.runs.setdefault(place, {})[run.seed] = run
        for record in group.failures:
            for place in _places(record, settings):
                found.failures.setdefault(place, set()).add(record["spec"]["seed"])
    beside = [run.record for own in found.runs.values() for run in own.values()]
    saved = [record for record in store.records() if record["results"] and identity(record) not in known]
    own = [*named(without_outdated(saved), beside), *added]
    failed = named([record for _, record in store.failures() if identity(record) not in known], [*beside, *own])
    lost = [record for record in failed if record["spec"]["plan"]]  # not an encoder's
    specs = _specs(rows, baseline)
    names: dict[str, str] = {}
    for data, spec in specs.items():
        for record in (record for record in (*own, *lost) if _belongs(record, spec)):
            place = Place(data, _row(record, spec, names), record["spec"]["plan"]["steps"])
            seed = record["spec"]["seed"]
            if "failure" in record:
                found.failures.setdefault(place, set()).add(seed)
            else:
                found.runs.setdefault(place, {})[seed] = Run(record, record["labels"]["model"], None)
    listed = {row.label for row in rows}
    return found._replace(further=tuple(dict.fromkeys(row for row in names.values() if row not in listed)))


def all_records(path: Path, store: Store) -> list[Record]:
    """Return all records that stand beside a submission: those of a track, and the runs of a results folder."""
    return [*(run.record for group in _groups(path, store) for run in group.runs), *store.records()]


def _groups(path: Path, store: Store) -> Iterator[Group]:
    """Yield the published runs of a track, if it comes with genbench, and those of a results folder."""
    stores = [Store(FOLDER), store] if path.parent == FOLDER else [store]
    for each in {(each.root / path.stem).resolve(): each for each in stores}.values():
        if path.stem in suite_names(each.root):
            yield from read_groups(each, [path.stem])


def _places(record: Record, settings: Settings) -> Iterator[Place]:
    for place in record.get("track", ()):
        if settings in place["tables"]:
            yield Place(record["labels"]["data"], place["row"], record["spec"]["plan"]["steps"])


def _specs(rows: Sequence[TrackRow], baseline: str) -> dict[str, Spec]:
    """Return {data set: the spec of the baseline}."""
    specs: dict[str, Spec] = {}
    for row in rows:
        if row.model.name == baseline and row.dataset not in specs:
            specs[row.dataset] = complete_spec(row.model.name, row.data.name, 0, row.metrics, row.settings)
    return specs


def _belongs(record: Record, spec: Spec) -> bool:
    """Return whether a run was trained and measured as a track asks for."""
    own, headline = record["spec"], next(iter(spec.metrics))
    return (
        same_component(own["data"], spec.data)
        and own["plan"].get("batch_size") == spec.plan["batch_size"]
        and own["evaluation"] == spec.evaluation
        and same_component(own["metrics"].get(headline), spec.metrics[headline])
    )


def _row(record: Record, spec: Spec, names: dict[str, str]) -> str:
    """Return the row of a run: the label of its model on the first data set, with what its plan has of its own."""
    own = record["spec"]
    plan: dict[str, Any] = {**spec.plan, **own["plan"]}
    words = [f"{key}={as_set_value(plan[key])}" for key in plan if key not in FREE and plan[key] != spec.plan.get(key)]
    name = record["labels"]["model"].partition(" ")[0]
    key = json.dumps([name, own["model"], own["sample"], words], sort_keys=True)
    return names.setdefault(key, " ".join([record["labels"]["model"], *words]))
