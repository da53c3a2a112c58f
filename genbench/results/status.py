"""Inventories: what of a suite, or in a results folder, is done, running, failed, stale or still to be run."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from genbench.runs import versions
from genbench.runs.record import Record, read_record
from genbench.runs.spec import Spec
from genbench.runs.store import Store, missing_in, run_name
from genbench.storage import lease
from genbench.storage.files import Damaged

State = Literal["done", "run", "failed", "running", "stale"]


@dataclass(frozen=True)
class Cell:
    """What is known of a cell of a suite.

    Args:
        name: model, data and seed.
        state: done; run (nothing is kept, or not all of it); failed (and will be run again); running (somebody is at
            it); stale (what is kept was made by other versions, and will be made again).
        note: why it failed, who runs it, what is stale, what is missing, or what changed since.
        seconds: what it will take, judging by earlier records; None where there are none to judge by.
    """

    name: str
    state: State
    note: str
    seconds: float | None


@dataclass(frozen=True)
class Folder:
    """What is in a results folder.

    Args:
        records: how many records it holds.
        running: run: who is at it, and since when its lease is untouched.
        begun: runs with a checkpoint that nobody is at.
        failed: run: the last line of why it failed.
        stale: why records are stale, and how many.
        changed: components whose source changed since, their versions being the same, and in how many records.
        damaged: what is wrong with records that cannot be used.
    """

    records: int
    running: dict[str, str]
    begun: list[str]
    failed: dict[str, str]
    stale: dict[str, int]
    changed: dict[str, int]
    damaged: list[str]

    def json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return asdict(self)


def cell_name(spec: Spec) -> str:
    """Return what a cell is called."""
    return f"{spec.model_label} on {spec.data_label}, seed {spec.seed}"


def of_suite(specs: Sequence[Spec], store: Store) -> list[Cell]:
    """Return what is known of each cell."""
    records = list(store.records())
    expected = Expectation(records)
    old = {_cell_of(record): why for record in records if (why := versions.reason(record)) is not None}
    running = {held.run: str(held.owner) for held in lease.held_in(store.root / "leases") if not held.owner.gone}
    cells, trained = [], set()
    for spec in specs:
        record = store.read(spec)
        missing = missing_in(record, spec)
        seconds = 0.0
        if missing:  # cells that differ in sampling share what is trained, once
            kept = run_name(spec) in trained or (store.folder(spec) / "model.safetensors").exists()
            seconds = expected.seconds(spec, train=not kept)
            trained.add(run_name(spec))
        name = cell_name(spec)
        if not missing:
            changed = versions.changed(record) if record is not None else []
            note = f"the source of {', '.join(changed)} has changed since" if changed else ""
            cells.append(Cell(name, "done", note, seconds))
        elif run_name(spec) in running:
            cells.append(Cell(name, "running", running[run_name(spec)], seconds))
        elif (failure := store.failure(spec)) is not None:
            cells.append(Cell(name, "failed", failure.splitlines()[-1], seconds))
        elif record is not None and (outdated := versions.stale_metrics(record).keys() & missing.keys()):
            cells.append(Cell(name, "stale", f"other versions of {', '.join(sorted(outdated))}", seconds))
        elif record is None and (why := old.get((spec.model_label, spec.data_label, spec.seed))) is not None:
            cells.append(Cell(name, "stale", why, seconds))
        else:
            cells.append(Cell(name, "run", f"only {', '.join(missing)}" if record is not None else "", seconds))
    return cells


def of_folder(store: Store) -> Folder:
    """Return what is in a results folder."""
    old, changed, damaged, count = Counter(), Counter(), [], 0
    for path in store.record_paths():
        try:
            record = read_record(path)
        except Damaged as error:
            damaged.append(str(error))
            continue
        count += 1
        why = versions.reason(record)
        old.update([why] if why is not None else versions.stale_metrics(record).values())
        changed.update(versions.changed(record))
    leases = lease.held_in(store.root / "leases")
    running = {held.run: f"{held.owner}, untouched for {held.age:.0f} s" for held in leases if not held.owner.gone}
    begun = {path.parent.name for path in store.runs.glob("*/*checkpoint.safetensors")}
    return Folder(
        records=count,
        running=running,
        begun=sorted(begun - running.keys()),
        failed={_run_of(path): failure.reason.splitlines()[-1] for path, failure in store.failures()},
        stale=dict(old),
        changed=dict(changed),
        damaged=damaged,
    )


class Expectation:
    """What cells will take, judging by records of the same model on the same data, or of other settings of both.

    Args:
        records: of earlier runs.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self.same: dict[tuple, list[tuple[float, float]]] = {}
        for record in records:
            cost, spec = record["provenance"]["cost"], record["spec"]
            if cost:
                spent = cost["train_seconds"] / max(1, spec["plan"]["steps"]), cost["evaluate_seconds"]
                labels = record["labels"]
                for key in ((labels["model"], labels["data"]), (_name(spec["model"]), _name(spec["data"]))):
                    self.same.setdefault(key, []).append(spent)

    def seconds(self, spec: Spec, *, train: bool = True) -> float | None:
        """Return the expected seconds of a cell, with its training or without; None with nothing to judge by."""
        names = (_name(spec.model), _name(spec.data))
        spent = self.same.get((spec.model_label, spec.data_label)) or self.same.get(names)
        if not spent:
            return None
        step, evaluation = (sum(part) / len(spent) for part in zip(*spent, strict=True))
        return step * spec.plan["steps"] * train + evaluation


def _name(part: Mapping[str, Any]) -> tuple[str]:
    return (part["name"],)  # a tuple, which no label equals


def _cell_of(record: Record) -> tuple[str, str, int]:
    return record["labels"]["model"], record["labels"]["data"], record["spec"]["seed"]


def _run_of(path: Path) -> str:
    return f"{path.parent.parent.name}/{path.parent.name}"
