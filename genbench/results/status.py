"""Status: which runs of a results folder are finished, running, interrupted, failed, outdated or damaged."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from genbench.results.frames import names_of
from genbench.results.names import named
from genbench.results.reader import RECORDS, suite_names
from genbench.runs.record import failure_line, read_published
from genbench.runs.spec import Spec
from genbench.runs.store import TABLES, Store, evaluation_name
from genbench.runs.versions import outdated_metrics, unknown_components, why_outdated
from genbench.storage import lease
from genbench.storage.files import Damaged
from genbench.training import checkpoint


@dataclass(frozen=True)
class FolderStatus:
    """The state of a results folder.

    Args:
        prerequisites: number of records of models that were only trained, for others.
        running: {run: the process that holds its lease, and the seconds since it last touched it}.
        begun: interrupted runs: they have a checkpoint, but no process holds their lease.
        trained: runs that have weights, but neither a record nor a failure, and no process holds their lease.
        stale: {run: why its record or its metrics are outdated}.
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
    stale: dict[str, str]
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


def of_folder(store: Store) -> FolderStatus:
    """Return the state of a results folder."""
    unknown, of_files, results = Counter(), Counter(), []
    stale: dict[str, str] = {}
    damaged: list[str] = []
    for path, record in store.saved(lambda _, error: damaged.append(str(error))):
        results.append(bool(record["results"]))
        if missing := unknown_components(record):
            own = [each for each in missing if "@" in each]
            of_files.update([", ".join(own)] if own else [])
            others = [each for each in missing if each not in own]
            unknown.update([f"{', '.join(others)}, not installed here"] if others else [])
            continue
        if why := why_outdated(record) or "; ".join(dict.fromkeys(outdated_metrics(record).values())):
            stale[evaluation_name(path)] = why
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
        stale=stale,
        unknown=dict(unknown),
        of_files=dict(of_files),
        damaged=damaged,
        published=published,
    )
