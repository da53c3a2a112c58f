"""Cleaning: remove what dead processes left in a results folder and, on request, what is outdated and failures."""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

from genbench.runs.record import failure_line, format_record, read_kept, without_metrics
from genbench.runs.store import Store
from genbench.runs.versions import outdated_metrics, unknown_components, why_outdated
from genbench.storage import files, lease
from genbench.storage.files import Damaged

log = logging.getLogger("genbench")


def clean(store: Store, *, outdated: bool, failed: bool, remove: bool) -> Iterator[str]:
    """Remove leftovers and yield a line on each. A run that a process is using loses only its failures.

    Args:
        outdated: whether to remove outdated records and metrics, and the runs whose models are outdated.
        failed: whether to remove all failures.
        remove: False only reports what would be removed.
    """
    for held in lease.leases_in(store.root / "leases"):
        if held.owner.exited:
            yield f"lease of {held.run}, whose owner ({held.owner}) has ended"
    if remove:
        store.remove_leftovers()
    if outdated:
        yield from _outdated(store, remove)
    if failed:
        damaged: dict[Path, str] = {}
        found = store.failures(lambda path, error: damaged.update({path: str(error)}))
        for path, why in sorted([*((path, failure_line(record)) for path, record in found), *damaged.items()]):
            yield f"{path}: {why}"
            if remove:
                path.unlink(missing_ok=True)


def _outdated(store: Store, remove: bool) -> Iterator[str]:
    leases = store.root / "leases"
    used = {held.run: held.owner for held in lease.leases_in(leases) if not held.owner.exited}
    for run in sorted({path.parents[1] for path in store.record_paths()}):
        if not (said := _outdated_in(run, remove=False)):
            continue
        if link := next((path for path in (run, *run.glob("*/")) if path.is_symlink()), None):
            log.warning("%s: stays, %s", run, "it is a link" if link == run else f"{link.name} is a link")
            continue
        try:
            if remove:
                with lease.hold(leases, run.name) as lease_path:  # read again: another process may have changed the run
                    said = _outdated_in(Store(store.root, lease_path).runs / run.name, remove=True)
            elif run.name in used:
                raise lease.Busy(f"{run.name} is being run by {used[run.name]}")
        except lease.Busy as reason:
            log.warning("%s: stays, %s", run, reason)
        else:
            yield from said


def _outdated_in(run: Path, *, remove: bool) -> list[str]:
    """Return a line on everything outdated in a run, after removing it if `remove`.

    The model is outdated if all records are, and not only their metrics; then the whole run goes.
    """
    paths, said, outdated = sorted(run.glob("*/record.json")), [], []
    for path in paths:
        try:
            record = read_kept(path)
        except (Damaged, FileNotFoundError):  # another process has just removed it
            continue
        if unknown_components(record):  # versions of missing components are not known here
            continue
        why, metrics = why_outdated(record), outdated_metrics(record)
        outdated += [path] if why is not None else []
        reasons = [why] if why is not None else [f"{metric}, {text}" for metric, text in metrics.items()]
        said += [f"{files.shown(path)}: {reason}" for reason in reasons]
        left = without_metrics(record, metrics) if why is None else None
        if remove and reasons and left is not None:
            files.write(path, format_record(left))
        elif remove and reasons:
            shutil.rmtree(path.parent)
    if remove and paths and outdated == paths:
        shutil.rmtree(run)
    return said
