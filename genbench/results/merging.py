"""Merging: the results of two machines in one folder, nothing of which is lost or believed unproven."""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from genbench.errors import ConfigError
from genbench.runs import versions
from genbench.runs.record import Record, format_record, read_record
from genbench.runs.run import merge_rows
from genbench.runs.store import Store, load_weights
from genbench.storage import files, lease
from genbench.storage.files import Damaged

log = logging.getLogger("genbench")


class Merged(NamedTuple):
    """What became of a record: new, the same, extended by metrics, or different (and left as it is).

    Of a run that has no record it is weights, if they are new; of one that somebody is at, busy.
    """

    run: str
    what: str


def merge(into: Store, source: Store) -> Iterator[Merged]:
    """Take over every run of another results folder that is whole.

    Of a record that both have, metrics that only the other measured, or measured by today's versions, are added; where
    both measured one and the values differ, those that are there stay. Weights, samples and logs come along where
    there are none and no value differs.

    Args:
        into: the folder that grows.
        source: the folder that is read.

    Raises:
        ConfigError: if the other folder holds no runs.
    """
    runs = sorted(source.runs.glob("*/"))
    if not runs:
        raise ConfigError(f"{source.root} holds no runs")
    for run in runs:
        try:
            with lease.hold(into.root / "leases", run.name, wait=60) as way:
                into.runs.mkdir(exist_ok=True)
                folder = way / "../../../runs" / run.name
                yield from _run(run, folder)
        except lease.Busy:
            yield Merged(run.name, "busy")


def _run(run: Path, folder: Path) -> Iterator[Merged]:
    found: list[Merged] = []
    for path in sorted(run.glob("*/record.json")):
        name = f"{run.name}/{path.parent.name}"
        try:
            found.append(Merged(name, _record(read_record(path), folder / path.relative_to(run))))
        except Damaged as error:
            log.warning("%s; it is left out", error)
    if all(item.what != "different" for item in found):
        new = _weights(run, folder)
        if new and not found:
            found.append(Merged(run.name, "weights"))
        for item in found:
            beside = (run / item.run.partition("/")[2]).rglob("*")
            kept = [p for p in beside if p.suffix in (".npz", ".png", ".json") and p.name != "record.json"]
            for path in (run / "train.csv", *kept):
                _copy(path, folder / path.relative_to(run))
    yield from found


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
    old = versions.stale_metrics(there).keys() - versions.stale_metrics(record).keys()
    added = {name: part for name, part in other.items() if name not in mine or name in old}
    rows = [row for row in record["results"] if row["metric"].partition(".")[0] in added]
    if added:
        spec = {**there["spec"], "metrics": dict(sorted({**mine, **added}.items()))}
        results = merge_rows(there, rows, added)
        files.write(place, format_record({**there, "spec": spec, "results": results}))
    common = [row for row in there["results"] if row["metric"].partition(".")[0] in other.keys() - added.keys()]
    if any(row not in record["results"] for row in common):
        return "different"
    return f"extended by {', '.join(added)}" if added else "the same"


def _weights(run: Path, folder: Path) -> bool:
    """Take over weights that are whole, and return whether they are new."""
    source, place = run / "model.safetensors", folder / "model.safetensors"
    try:
        if place.exists() or load_weights(source) is None:
            return False
    except Damaged as error:
        log.warning("%s; it is left out", error)
        return False
    _copy(source, place)
    return True


def _copy(source: Path, place: Path) -> None:
    if source.exists() and not place.exists():
        files.replace(place, lambda temporary: shutil.copyfile(source, temporary))
