"""Cleaning: removing what dead processes left in a results folder, and what is stale or failed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from genbench import lease, stale
from genbench.files import Damaged
from genbench.store import Store, read_record


def clean(store: Store, *, stale: bool, failed: bool, remove: bool) -> Iterator[str]:
    """Remove leftovers, and yield a line on each.

    Args:
        store: the results folder.
        stale: whether stale records go, and models that have no other record.
        failed: whether notes of failures go.
        remove: False only says what would go.
    """
    for held in lease.held_in(store.root / "leases"):
        if held.owner.gone:
            yield f"lease of {held.run}, whose owner ({held.owner}) has ended"
    if remove:
        store.tidy()
    if stale:
        yield from _stale(store, remove)
    for path, failure in store.failures() if failed else ():
        yield f"{path}: {failure.reason.splitlines()[-1]}"
        if remove:
            path.unlink()
    yield from _empty(store, remove)


def _stale(store: Store, remove: bool) -> Iterator[str]:
    by_run: dict[Path, list[Path]] = {}
    for path in store.record_paths():
        by_run.setdefault(path.parents[1], []).append(path)
    for run, paths in by_run.items():
        reasons = {path: why for path in paths if (why := _why(path)) is not None}
        for path, why in reasons.items():
            yield f"{path}: {why}"
        if not remove or not reasons:
            continue
        with lease.hold(store.root / "leases", run.name):
            for path in [run] if len(reasons) == len(paths) else [path.parent for path in reasons]:
                shutil.rmtree(path)


def _why(path: Path) -> str | None:
    try:
        return stale.reason(read_record(path))
    except Damaged:
        return None


def _empty(store: Store, remove: bool) -> Iterator[str]:
    """Remove folders in which nothing is left."""
    for folder in sorted(store.runs.glob("*/"), reverse=True):
        if not any(path.is_file() for path in folder.rglob("*")):
            yield f"{folder}: empty"
            if remove:
                shutil.rmtree(folder)
