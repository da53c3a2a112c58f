"""Cleaning: remove what dead processes left in a results folder and, on request, outdated records and failures."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from genbench.runs.record import failure_line, format_record, read_kept, without_metrics
from genbench.runs.record_types import Record
from genbench.runs.store import FAILURE, Store
from genbench.runs.versions import outdated_metrics, unknown_components, why_outdated
from genbench.storage import files, lease
from genbench.storage.files import Damaged

log = logging.getLogger("genbench")


def clean(store: Store, *, outdated: bool, failed: bool, remove: bool) -> Iterator[str]:
    """Remove leftovers and yield a line on each. Runs whose lease is held are not touched.

    Args:
        outdated: whether to remove outdated records and metrics, and models that have no other record.
        failed: whether to remove all failures; failures of runs that have succeeded since are always removed.
        remove: False only reports what would be removed.
    """
    for held in lease.leases_in(store.root / "leases"):
        if held.owner.exited:
            yield f"lease of {held.run}, whose owner ({held.owner}) has ended"
    if remove:
        store.remove_leftovers()
    if outdated:
        yield from _outdated(store, remove)
    damaged: dict[Path, str] = {}
    failures = store.failures(lambda path, error: damaged.update({path: str(error)}))
    standing = {path: failure_line(record) for path, record in failures} | damaged
    for path in sorted(store.runs.glob(f"*/*/{FAILURE}")):
        if failed or path not in standing:
            yield f"{path}: {standing.get(path, 'it has succeeded since')}"
            if remove:
                path.unlink(missing_ok=True)


def _outdated(store: Store, remove: bool) -> Iterator[str]:
    for run in sorted({path.parents[1] for path in store.record_paths()}):
        if not any(reasons for _, _, reasons in _records(run)):
            continue
        if run.is_symlink():
            log.warning("%s: stays, it is a link", run)
            continue
        try:
            with lease.hold(store.root / "leases", run.name) if remove else nullcontext():
                found = _records(run)  # read again: another process may have changed the run before the lease was held
                for path, _, reasons in found:
                    yield from (f"{path}: {why}" for why in reasons)
                if not remove:
                    continue
                if found and all(reasons and current is None for _, current, reasons in found):
                    shutil.rmtree(run)
                    continue
                for path, current, reasons in found:
                    if reasons and current is not None:
                        files.write(path, format_record(current))
                    elif reasons:
                        shutil.rmtree(path.parent)
        except lease.Busy as reason:
            log.warning("%s: stays, %s", run, reason)


def _records(run: Path) -> list[tuple[Path, Record | None, list[str]]]:
    """Return the path of every record of a run, with `_current`."""
    return [(path, *_current(path)) for path in sorted(run.glob("*/record.json"))]


def _current(path: Path) -> tuple[Record | None, list[str]]:
    """Return a record without what is outdated (None if nothing is left), and why.

    A record that is damaged, or that another process has just removed, has no reason.
    """
    try:
        record = read_kept(path)
    except (Damaged, FileNotFoundError):
        return None, []
    if unknown_components(record):  # versions of missing components are not known here
        return record, []
    why = why_outdated(record)
    if why is not None:
        return None, [why]
    reasons = outdated_metrics(record)
    return without_metrics(record, reasons), [f"{metric}, {text}" for metric, text in reasons.items()]
