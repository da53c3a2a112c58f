"""Merging: the results of two machines in one folder, nothing of which is lost or believed unproven."""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from genbench import files, lease
from genbench.errors import ConfigError
from genbench.files import Damaged
from genbench.runner import merge_rows
from genbench.store import Record, Store, format_record, load_weights, read_record

log = logging.getLogger("genbench")


class Merged(NamedTuple):
    """What became of a record: new, the same, extended by metrics, or different (and left as it is)."""

    run: str
    what: str


def merge(into: Store, source: Store) -> Iterator[Merged]:
    """Take over every run of another results folder that is whole.

    Of a record that both have, metrics that only the other measured are added; where both measured one and the values
    differ, those that are there stay. Weights, samples and logs come along where there are none.

    Args:
        into: the folder that grows.
        source: the folder that is read.

    Raises:
        ConfigError: if the other folder holds no records.
    """
    paths = source.record_paths()
    if not paths:
        raise ConfigError(f"{source.root} holds no records")
    for path in paths:
        run, evaluation = path.parts[-3], path.parts[-2]
        try:
            record = read_record(path)
        except Damaged as error:
            log.warning("%s; it is left out", error)
            continue
        leases = into.root / "leases"
        with lease.hold(leases, run, wait=60) as way:
            folder = way / "../../../runs" / run
            into.runs.mkdir(exist_ok=True)
            files.make(folder)
            _weights(path.parents[1], folder)
            for name in ("train.csv", f"{evaluation}/samples.npz", f"{evaluation}/samples.png"):
                _copy(path.parents[1] / name, folder / name)
            yield Merged(f"{run}/{evaluation}", _record(record, folder / evaluation / "record.json"))


def _record(record: Record, place: Path) -> str:
    try:
        there = read_record(place)
    except FileNotFoundError:
        files.write(place, format_record(record))
        return "new"
    except Damaged as error:
        log.warning("%s; the other folder's takes its place", error)
        files.write(place, format_record(record))
        return "new"
    mine, other = there["spec"]["metrics"], record["spec"]["metrics"]
    added = {name: part for name, part in other.items() if name not in mine}
    rows = [row for row in record["results"] if row["metric"].partition(".")[0] in added]
    if added:
        spec = {**there["spec"], "metrics": dict(sorted({**mine, **added}.items()))}
        results = merge_rows(there, rows, added)
        files.write(place, format_record({**there, "spec": spec, "results": results}))
    common = [row for row in there["results"] if row["metric"].partition(".")[0] in other]
    if any(row not in record["results"] for row in common):
        return "different"
    return f"extended by {', '.join(added)}" if added else "the same"


def _weights(source: Path, folder: Path) -> None:
    try:
        if load_weights(source / "model.safetensors") is not None:
            _copy(source / "model.safetensors", folder / "model.safetensors")
    except Damaged as error:
        log.warning("%s; it is left out", error)


def _copy(source: Path, place: Path) -> None:
    if source.exists() and not place.exists():
        files.replace(place, lambda temporary: shutil.copyfile(source, temporary))
