"""Status: which cells of a suite, or runs of a results folder, are done, running, failed, outdated or yet to be run."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from genbench.results.frames import names_of
from genbench.results.names import named
from genbench.results.reader import RECORDS, suite_names
from genbench.runs.record import failure_line, missing_metrics, read_published
from genbench.runs.spec import Spec
from genbench.runs.store import TABLES, Store, evaluation_name, labels_of, run_name
from genbench.runs.versions import outdated_metrics, unknown_components, why_outdated
from genbench.storage import lease
from genbench.storage.files import Damaged
from genbench.training import checkpoint

State = Literal["done", "run", "failed", "running", "stale"]


@dataclass(frozen=True)
class CellStatus:
    """The state of one cell of a suite.

    Args:
        name: model, data set and seed.
        state: "done"; "run" (not run yet, or metrics are missing); "failed" (a sweep runs it again); "running" (another
            process holds its lease); "stale" (other versions made it; a sweep runs it again).
        note: why it failed, which process runs it, or what is outdated or missing.
    """

    name: str
    state: State
    note: str


@dataclass(frozen=True)
class FolderStatus:
    """The state of a results folder.

    Args:
        prerequisites: number of records of models that were only trained, for others.
        running: {run: the process that holds its lease, and the seconds since it last touched it}.
        begun: interrupted runs: they have a checkpoint, but no process holds their lease.
        trained: runs that have weights, but neither a record nor a failure, and no process holds their lease.
        stale: {why records are outdated: number of records}.
        unknown: {components that are not installed here: number of records}.
        of_files: {components from Python files of users, which status does not execute: number of records}.
        published: {suite: number of its published records, failures included}.
    """

    records: int
    prerequisites: int
    running: dict[str, str]
    begun: list[str]
    trained: list[str]
    failed: dict[str, str]
    stale: dict[str, int]
    unknown: dict[str, int]
    of_files: dict[str, int]
    damaged: list[str]
    published: dict[str, int]


def cell_names(specs: Sequence[Spec]) -> list[str]:
    """Return the names of cells in messages: model, budget (if cells of the model differ in it), data and seed."""
    cells = named(
        [{"spec": spec.json(), "labels": {"model": spec.model_label, "data": spec.data_label}} for spec in specs]
    )
    said = zip(names_of(cells), cells, specs, strict=True)
    return [f"{name} on {cell['labels']['data']}, seed {spec.seed}" for name, cell, spec in said]


def of_suite(specs: Sequence[Spec], store: Store) -> list[CellStatus]:
    """Return the state of each cell."""
    outdated = {
        _cell(record["labels"], record["spec"]): why
        for record in store.records()
        if (why := why_outdated(record)) is not None
    }
    running = {held.run: str(held.owner) for held in lease.leases_in(store.root / "leases") if not held.owner.exited}
    cells = []
    for name, spec in zip(cell_names(specs), specs, strict=True):
        record = store.record(spec)
        complete, missing = store.is_complete(spec, record), missing_metrics(record, spec)
        state, note = "run", f"only {', '.join(missing)}" if record is not None and missing else ""
        if complete:
            state, note = "done", ""
        elif run_name(spec) in running:
            state, note = "running", running[run_name(spec)]
        elif (failure := store.failure(spec)) is not None:
            state, note = "failed", failure.splitlines()[-1]
        elif record is not None and (old := outdated_metrics(record).keys() & missing.keys()):
            state, note = "stale", f"other versions of {', '.join(sorted(old))}"
        elif record is None and (why := outdated.get(_cell(labels_of(spec), spec.json()))) is not None:
            state, note = "stale", why
        cells.append(CellStatus(name, state, note))
    return cells


def _cell(labels: Mapping[str, Any], spec: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what a cell has in common with its record by other versions."""
    return labels["model"], labels["data"], spec["seed"], spec["plan"].get("steps")


def of_folder(store: Store) -> FolderStatus:
    """Return the state of a results folder."""
    outdated, unknown, of_files, results = Counter(), Counter(), Counter(), []
    damaged: list[str] = []
    for _, record in store.saved(lambda _, error: damaged.append(str(error))):
        results.append(bool(record["results"]))
        if missing := unknown_components(record):
            own = [each for each in missing if "@" in each]
            of_files.update([", ".join(own)] if own else [])
            others = [each for each in missing if each not in own]
            unknown.update([f"{', '.join(others)}, not installed here"] if others else [])
            continue
        why = why_outdated(record)
        outdated.update([why] if why is not None else outdated_metrics(record).values())
    leases = (held for held in lease.leases_in(store.root / "leases") if held.run != TABLES and not held.owner.exited)
    running = {held.run: f"{held.owner}, last refreshed {held.age:.0f} s ago" for held in leases}
    failures = store.failures(lambda _, error: damaged.append(str(error)))
    failed = {evaluation_name(path): failure_line(record) for path, record in failures}
    published = {}
    for suite in suite_names(store.root):
        try:
            published[suite] = len(read_published(store.root / suite / RECORDS))
        except Damaged as error:
            damaged.append(str(error))
    begun = {path.relative_to(store.runs).parts[0] for path in store.runs.rglob(f"*{checkpoint.NAME}")}
    trained = {path.parts[-2] for path in store.runs.glob("*/model.safetensors")}
    tried = {path.parts[-3] for path in store.runs.glob("*/*/*.json")}  # a record, or why there is none
    return FolderStatus(
        records=results.count(True),
        prerequisites=results.count(False),
        running=running,
        begun=sorted(begun - running.keys()),
        trained=sorted(trained - begun - tried - running.keys()),
        failed=failed,
        stale=dict(outdated),
        unknown=dict(unknown),
        of_files=dict(of_files),
        damaged=damaged,
        published=published,
    )
