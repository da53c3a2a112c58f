"""Cleaning: remove what dead processes left in a results folder and, on request, failures."""

from collections.abc import Iterator
from pathlib import Path

from genbench.runs.record import failure_line
from genbench.runs.store import Store
from genbench.storage import lease


def clean(store: Store, *, failed: bool, remove: bool) -> Iterator[str]:
    """Remove leftovers and yield a line on each. A run that a process is using loses only its failures.

    Args:
        failed: whether to remove all failures.
        remove: False only reports what would be removed.
    """
    for held in lease.leases_in(store.root / "leases"):
        if held.owner.exited:
            yield f"lease of {held.run}, whose owner ({held.owner}) has ended"
    if remove:
        store.remove_leftovers()
    if failed:
        damaged: dict[Path, str] = {}
        found = store.failures(lambda path, error: damaged.update({path: str(error)}))
        for path, why in sorted([*((path, failure_line(record)) for path, record in found), *damaged.items()]):
            yield f"{path}: {why}"
            if remove:
                path.unlink(missing_ok=True)
