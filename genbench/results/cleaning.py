"""Cleaning: removing what dead processes left in a results folder, and what is stale or failed."""

import shutil
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path

from genbench.runs import versions
from genbench.runs.record import Record, format_record, read_record
from genbench.runs.store import Store
from genbench.storage import files, lease
from genbench.storage.files import Damaged


def clean(store: Store, *, stale: bool, failed: bool, remove: bool) -> Iterator[str]:
    """Remove leftovers, and yield a line on each. A run that somebody is at stays as it is.

    Args:
        store: the results folder.
        stale: whether stale records go, stale metrics of others, and models that have no other record.
        failed: whether notes of failures go; those of runs that have succeeded since do in any case.
        remove: False only says what would go.
    """
    for held in lease.held_in(store.root / "leases"):
        if held.owner.gone:
            yield f"lease of {held.run}, whose owner ({held.owner}) has ended"
    if remove:
        store.tidy()
    if versions:
        yield from _stale(store, remove)
    lost = {path: failure.reason.splitlines()[-1] for path, failure in store.failures()}
    for path in sorted(store.runs.glob("*/*/failure.txt")):
        if failed or path not in lost:
            yield f"{path}: {lost.get(path, 'it has succeeded since')}"
            if remove:
                path.unlink(missing_ok=True)
    yield from _empty(store, remove)


def _stale(store: Store, remove: bool) -> Iterator[str]:
    by_run: dict[Path, list[Path]] = {}
    for path in store.record_paths():
        by_run.setdefault(path.parents[1], []).append(path)
    for run, paths in by_run.items():
        if not any(why for path in paths for why in _current(path)[1]):
            continue
        try:
            with lease.hold(store.root / "leases", run.name) if remove else nullcontext():
                found = [(path, *_current(path)) for path in paths]
                for path, now, why in found:
                    yield from (f"{path}: {text}" for text in why)
                    if remove and why and now is not None:
                        files.write(path, format_record(now))
                    elif remove and why:
                        shutil.rmtree(path.parent)
                if remove and all(now is None for _, now, _ in found):
                    shutil.rmtree(run)
        except lease.Busy as reason:
            yield f"{run}: stays, {reason}"


def _current(path: Path) -> tuple[Record | None, list[str]]:
    """Return what of a record is not stale, None if nothing is, and why the rest is."""
    try:
        record = read_record(path)
    except Damaged:
        return {}, []
    why = versions.reason(record)
    if why is not None:
        return None, [why]
    old = versions.stale_metrics(record)
    now = versions.current(record)
    if old and now is not None:
        metrics = {name: part for name, part in record["spec"]["metrics"].items() if name not in old}
        now = {**now, "spec": {**record["spec"], "metrics": metrics}}
    return now, [f"{metric}, {text}" for metric, text in old.items()]


def _empty(store: Store, remove: bool) -> Iterator[str]:
    """Remove folders in which nothing is left."""
    for folder in sorted(store.runs.glob("*/"), reverse=True):
        if not any(path.is_file() for path in folder.rglob("*")):
            yield f"{folder}: empty"
            for place in sorted([folder, *folder.rglob("*/")], reverse=True) if remove else ():
                with suppress(OSError):  # somebody began to write in it just now
                    place.rmdir()
