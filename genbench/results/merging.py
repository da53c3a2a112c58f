"""Merging: copy the results of another machine into a results folder. Damaged files are left out, nothing is lost."""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from genbench.errors import ConfigError
from genbench.runs.record import Record, format_record, read_record
from genbench.runs.run import merge_rows
from genbench.runs.store import Store, load_weights
from genbench.runs.versions import outdated_metrics
from genbench.storage import files, lease
from genbench.storage.files import Damaged

log = logging.getLogger("genbench")


class Merged(NamedTuple):
    """The outcome for one record: "new", "the same", "extended by METRICS" or "different" (and not copied).

    For a run without a record: "weights" if its weights are new. "busy" if another process holds the run.
    """

    run: str
    what: str


def merge(into: Store, source: Store) -> Iterator[Merged]:
    """Copy every undamaged run of another results folder.

    A record that both folders have is extended by the metrics that only the source has, or has of today's version;
    values that differ otherwise are not copied. Weights, samples and logs are copied where there are none and no value
    differs.

    Args:
        into: the folder to extend.
        source: the folder to read.

    Raises:
        ConfigError: if the source holds no runs.
    """
    runs = sorted(source.runs.glob("*/"))
    if not runs:
        raise ConfigError(f"{source.root} holds no runs")
    for run in runs:
        try:
            with lease.hold(into.root / "leases", run.name, wait=60) as lease_path:
                into.runs.mkdir(exist_ok=True)
                yield from _merge_run(run, lease_path / "../../../runs" / run.name)
        except lease.Busy:
            yield Merged(run.name, "busy")


def _merge_run(run: Path, folder: Path) -> Iterator[Merged]:
    found: list[Merged] = []
    for path in sorted(run.glob("*/record.json")):
        name = f"{run.name}/{path.parent.name}"
        try:
            found.append(Merged(name, _merge_record(read_record(path), folder / path.relative_to(run))))
        except Damaged as error:
            log.warning("%s; it is left out", error)
    if all(item.what != "different" for item in found):
        new = _merge_weights(run, folder)
        if new and not found:
            found.append(Merged(run.name, "weights"))
        for item in found:
            beside = (run / item.run.partition("/")[2]).rglob("*")
            kept = [p for p in beside if p.suffix in (".npz", ".png", ".json") and p.name != "record.json"]
            for path in (run / "train.csv", *kept):
                _copy(path, folder / path.relative_to(run))
    yield from found


def _merge_record(record: Record, path: Path) -> str:
    try:
        kept = read_record(path)
    except FileNotFoundError:
        files.write(path, format_record(record))
        return "new"
    except Damaged as error:
        log.warning("%s; it is replaced by the record of the other folder", error)
        files.write(path, format_record(record))
        return "new"
    ours, theirs = kept["spec"]["metrics"], record["spec"]["metrics"]
    renewed = outdated_metrics(kept).keys() - outdated_metrics(record).keys()
    added = {name: component for name, component in theirs.items() if name not in ours or name in renewed}
    if added:
        spec = {**kept["spec"], "metrics": dict(sorted({**ours, **added}.items()))}
        rows = [row for row in record["results"] if row["metric"].partition(".")[0] in added]
        files.write(path, format_record({**kept, "spec": spec, "results": merge_rows(kept, rows, added)}))
    common = [row for row in kept["results"] if row["metric"].partition(".")[0] in theirs.keys() - added.keys()]
    if any(row not in record["results"] for row in common):
        return "different"
    return f"extended by {', '.join(added)}" if added else "the same"


def _merge_weights(run: Path, folder: Path) -> bool:
    """Copy undamaged weights, and return whether they are new."""
    source, target = run / "model.safetensors", folder / "model.safetensors"
    try:
        if target.exists() or load_weights(source) is None:
            return False
    except Damaged as error:
        log.warning("%s; it is left out", error)
        return False
    _copy(source, target)
    return True


def _copy(source: Path, target: Path) -> None:
    if source.exists() and not target.exists():
        files.replace(target, lambda temporary: shutil.copyfile(source, temporary))
