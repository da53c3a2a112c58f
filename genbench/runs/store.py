"""The store: a folder of runs, each named by the hash of its training, with its evaluations below it.

RESULTS/runs/MODEL-DATA-SEED-TRAINKEY/
    model.safetensors       the evaluated weights, with the spec in the header
    train.csv               every logged scalar
    EVALUATIONKEY/
        record.json         labels, spec, results, provenance, and their checksum
        samples.npz, samples.png   samples, and a picture of them beside data
        steps/STEP.json, STEP.png   evaluations during training, if the plan has any
        failure.json        a record of why the last attempt failed; removed before a record is written
RESULTS/leases/             which process writes which run; see `genbench.storage.lease`

Records and weights that are damaged, or belong to another folder or request, are reported and count as absent, so that
the cell runs again. Damaged weights are removed, because training again gives the same ones; other such files are set
aside before another one replaces them: see `files.set_aside`.
"""

import logging
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from genbench.errors import ConfigError
from genbench.runs.make_spec import restore_spec
from genbench.runs.record import check_request, format_record, missing_metrics, read_kept
from genbench.runs.record_types import Labels, Origin, Record, SpecJson, no_origin
from genbench.runs.spec import Spec, own_data_name
from genbench.runs.weights_file import read_weights, save_weights
from genbench.storage import files, lease
from genbench.storage.files import Damaged
from genbench.storage.memory import paused_collection
from genbench.training import checkpoint

log = logging.getLogger("genbench")

FAILURE = "failure.json"
"""File of a failure, beside record.json."""

TABLES = "tables"
"""Name of the lease under which tables are written."""

OnDamage = Callable[[Path, Damaged], None]
"""Callback for a file that cannot be read."""


def report_damage(path: Path, error: Damaged) -> None:
    """Report a file that is left out while the others are read."""
    log.warning("%s; it is left out", error)


@dataclass(frozen=True)
class Store:
    """A results folder.

    Args:
        root: the folder; created when something is written.
        lease_path: the lease through which a run is written, for a store that `hold` yields.
    """

    root: Path
    lease_path: Path | None = None

    def __post_init__(self) -> None:
        files.require_folder(self.root)

    @property
    def runs(self) -> Path:
        return self.root / "runs" if self.lease_path is None else self.lease_path / "../../../runs"

    def folder(self, spec: Spec) -> Path:
        """Return the folder of a trained model."""
        return self.runs / run_name(spec)

    def weights_path(self, spec: Spec) -> Path:
        return self.folder(spec) / "model.safetensors"

    def has_weights(self, spec: Spec) -> bool:
        """Return whether there are saved weights, without checking whether they are damaged."""
        return self.weights_path(spec).exists()

    @contextmanager
    def hold(self, spec: Spec, wait: float = 0.0) -> Iterator["Store"]:
        """Hold the lease of a run, and yield the store that may write it.

        Args:
            spec: a run; the lease covers its folder, which all evaluations of one trained model share.
            wait: seconds to wait for another process that holds the lease.

        Raises:
            Busy: if another process holds it.
        """
        with lease.hold(self.root / "leases", run_name(spec), wait) as lease_path:
            held = replace(self, lease_path=lease_path)
            folder = held.folder(spec)
            files.make(folder)
            for place in folder.glob("**/"):
                files.drop_temporary(place)
            try:
                yield held
            finally:
                with suppress(OSError):  # nothing was written
                    folder.rmdir()

    @contextmanager
    def lock_tables(self) -> Iterator[None]:
        """Keep other processes from writing tables."""
        with lease.hold(self.root / "leases", TABLES, wait=math.inf):
            yield

    def record_path(self, spec: Spec) -> Path:
        return self.folder(spec) / spec.evaluation_key / "record.json"

    def record(self, spec: Spec) -> Record | None:
        """Return the saved record of a run, or None; a damaged record is reported and counts as absent."""
        try:
            return self._requested(spec)
        except Damaged as error:
            log.warning("%s; its cell runs again", error)
            return None

    def _requested(self, spec: Spec) -> Record | None:
        path = self.record_path(spec)
        try:
            record = read_kept(path)
        except FileNotFoundError:
            return None
        check_request(path, record["spec"], spec)
        return record

    def write_record(self, spec: Spec, record: Record) -> Path:
        """Remove the record of an earlier failure, write a record atomically, and return the path.

        A file that is not a record of this run is set aside first.
        """
        path = self.record_path(spec)
        try:
            self._requested(spec)
        except Damaged:
            files.set_aside(path)
        path.with_name(FAILURE).unlink(missing_ok=True)
        files.write(path, format_record(record))
        return path

    def is_complete(self, spec: Spec, record: Record | None, again: Collection[str] = ()) -> bool:
        """Return whether nothing is left to do for a run with this record; without metrics, weights suffice."""
        if record is None or missing_metrics(record, spec, again):
            return False
        return bool(spec.metrics) or self.has_weights(spec)

    def failure(self, spec: Spec) -> str | None:
        """Return why the last attempt at a run failed; None if there was none, or it succeeded."""
        found = _read([self.record_path(spec).with_name(FAILURE)], report_damage)
        return next((record.get("failure") for _, record in found), None)

    def write_failure(self, spec: Spec, reason: str) -> None:
        """Save why a run failed. A failure is never a result: the next sweep tries again.

        If all values are recorded already, measuring some again has failed, and no sweep would try again.
        """
        if self.is_complete(spec, self.record(spec)):
            return
        path = self.record_path(spec).with_name(FAILURE)
        try:
            files.write(path, format_record(failed_record(spec, reason)))
        except OSError as error:  # such as a full disk
            if self.lease_path is None or self.lease_path.exists():  # a process that lost its lease reports nothing
                log.warning("%s cannot be written: %s", files.shown(path), error.strerror or error)

    def save_model(self, spec: Spec, state: Mapping[str, Tensor], training: Origin) -> None:
        """Write the trained weights with the spec and the origin of training, and remove the checkpoints."""
        save_weights(self.weights_path(spec), run_name(spec), spec, state, training)
        checkpoint.drop(self.folder(spec))

    def records(self) -> list[Record]:
        """Read every record, in the order of the paths; damaged ones are reported and left out."""
        return [record for _, record in self.saved()]

    @paused_collection()
    def saved(self, damaged: OnDamage = report_damage) -> list[tuple[Path, Record]]:
        """Read every undamaged record, with its path, in the order of the paths."""
        return list(_read(self.record_paths(), damaged))

    def record_paths(self) -> list[Path]:
        """Return the paths of all records, in order."""
        return sorted(self.runs.glob("*/*/record.json"))

    def failures(self, damaged: OnDamage = report_damage) -> Iterator[tuple[Path, Record]]:
        """Read the records of the failures that stand, with their paths."""
        return _read(sorted(self.runs.glob(f"*/*/{FAILURE}")), damaged)

    def remove_leftovers(self) -> None:
        """Remove the leases and temporary files of dead processes."""
        leases = self.root / "leases"
        for held in lease.leases_in(leases):
            if held.owner.exited:
                with suppress(lease.Busy), lease.hold(leases, held.run):
                    for place in (self.runs / held.run).glob("**/"):
                        files.drop_temporary(place)
        lease.remove_leftovers(leases)


def writable_store(root: Path) -> Store:
    """Return the results folder of that path, after checking that it can be written.

    Raises:
        ConfigError: if nothing can be written there.
    """
    store = Store(root)
    lease.require(root / "leases")
    lease.remove_leftovers(root / "leases")
    return store


def run_name(spec: Spec, data_path: str = "") -> str:
    """Return the name of the folder of a trained model. Files of the user appear under the user's names.

    Args:
        data_path: path of the data on the machine of the record's author, if it has another name there.
    """
    part = {**spec.data, "path": data_path} if data_path else spec.data
    model, data = spec.model["name"].partition("@")[0], own_data_name(part) or part["name"].partition("@")[0]
    return files.filename(f"{model}-{data}-{spec.seed}-{spec.train_key}")


def evaluation_name(path: Path) -> str:
    """Return RUN/EVALUATION of the path of a record or of another file beside it."""
    return f"{path.parts[-3]}/{path.parts[-2]}"


def labels_of(spec: Spec, data_path: str = "") -> Labels:
    """Return the labels of the record of a run; `data_path` as in `run_name`."""
    return {
        "run": run_name(spec, data_path),
        "evaluation": spec.evaluation_key,
        "model": spec.model_label,
        "data": spec.data_label,
    }


def failed_record(spec: Spec, reason: str) -> Record:
    """Return the record of a run that failed."""
    return {
        "labels": labels_of(spec),
        "spec": cast(SpecJson, spec.json()),
        "results": [],
        "provenance": {"data": {}, "training": no_origin(), "measurements": []},
        "failure": reason or "-",
    }


def _read(paths: Iterable[Path], damaged: OnDamage) -> Iterator[tuple[Path, Record]]:
    for path in paths:
        try:
            yield path, read_kept(path)
        except FileNotFoundError:
            continue
        except Damaged as error:
            damaged(path, error)
        except OSError as error:
            damaged(path, Damaged(f"{files.shown(path)} cannot be read: {error.strerror}"))


def spec_at(run: Path) -> Spec:
    """Return the spec of a saved run, read from its folder, its record or its weights.

    Raises:
        ConfigError: if there is no such file, another version made it, or a file that it was trained on has changed.
    """
    record, weights = (run if run.suffix == ".json" else run / "record.json"), run / "model.safetensors"
    if record.is_file():
        return _restored(record, read_kept(record)["spec"], record.resolve().parents[1])
    if weights.is_file():
        return _restored(weights, read_weights(weights).spec, weights.resolve().parent)
    for path in sorted(run.glob("*/record.json")):
        return _restored(path, read_kept(path)["spec"], path.resolve().parents[1])
    raise ConfigError(f"{run} is not a saved run: it has neither record.json nor model.safetensors")


def _restored(path: Path, kept: Mapping[str, Any], folder: Path) -> Spec:
    try:
        spec = restore_spec(kept)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    if folder.parent.name == "runs" and run_name(spec) != folder.name:
        why = "its data or another of its files has changed since, or another version of genbench trained it"
        raise ConfigError(f"{path} cannot be used: {why}")
    return spec
