"""Merging: copy the results of another machine into a results folder. Damaged files are left out, nothing is lost."""

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple
from zipfile import BadZipFile, ZipFile

from genbench.errors import ConfigError
from genbench.runs.monitoring.callbacks import read_step
from genbench.runs.record import check_request, format_record, merge_records, read_kept
from genbench.runs.record_types import Record, metric_of
from genbench.runs.spec import SPEC
from genbench.runs.store import Store
from genbench.runs.versions import outdated_metrics
from genbench.runs.weights_file import read_weights
from genbench.storage import files, lease
from genbench.storage.files import Damaged

log = logging.getLogger("genbench")


MAX_BYTES = {".csv": files.MAX_TEXT, ".json": files.MAX_TEXT, ".png": 2**28, ".npz": 2**34, ".safetensors": 2**36}
"""Bytes above which a file of such a kind is not copied."""

BESIDE = ("samples.npz", "*.png", "steps/*.json", "steps/*.png")
"""Files of an evaluation beside its record."""


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
    differs. Every file is checked before it is copied: records and weights by checksum and by the run that they belong
    to. Links are not followed.

    Raises:
        ConfigError: if the source holds no runs.
    """
    runs = [path for path in sorted(source.runs.glob("[!.]*/")) if _is_own(path)]
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
    found: dict[Path, Merged] = {}
    records = []
    for path in filter(_is_own, sorted(run.glob("[!.]*/record.json"))):
        with _left_out_if_damaged():
            records.append(read_kept(path))
            what = _merge_record(records[-1], folder / path.relative_to(run))
            found[path.parent] = Merged(f"{run.name}/{path.parent.name}", what)
    if all(item.what != "different" for item in found.values()):
        if _merge_weights(run, folder, records) and not found:
            found[run] = Merged(run.name, "weights")
        beside = [path for evaluation in found for pattern in BESIDE for path in sorted(evaluation.glob(pattern))]
        for path in (run / "train.csv", *beside) if found else ():
            with _left_out_if_damaged():
                _copy(path, folder / path.relative_to(run))
    yield from found.values()


def _merge_record(record: Record, path: Path) -> str:
    try:
        kept = read_kept(path)
    except FileNotFoundError:
        files.write(path, format_record(record))
        return "new"
    except Damaged as error:
        log.warning("%s; it is replaced by the record of the other folder", error)
        files.write(path, format_record(record))
        return "new"
    ours, theirs = kept["spec"]["metrics"], record["spec"]["metrics"]
    renewed = outdated_metrics(kept).keys() - outdated_metrics(record).keys()
    added = [name for name in theirs if name not in ours or name in renewed]
    if added:
        files.write(path, format_record(merge_records(kept, record, added)))
    common = [row for row in kept["results"] if metric_of(row) in theirs.keys() - added]
    if any(row not in record["results"] for row in common):
        return "different"
    return f"extended by {', '.join(added)}" if added else "the same"


def _merge_weights(run: Path, folder: Path, records: Sequence[Record]) -> bool:
    """Copy weights that belong to the run and to its records, and return whether they are new."""
    source, target = run / "model.safetensors", folder / "model.safetensors"
    if not source.exists() or target.exists() or not _is_own(source):
        return False
    with _left_out_if_damaged():
        files.open_regular(source, MAX_BYTES[source.suffix]).close()
        _, spec, _ = read_weights(source)
        for record in records:
            of_record = SPEC.validate_python(record["spec"])
            check_request(source, spec | {"sample": of_record.sample, "evaluation": of_record.evaluation}, of_record)
        _copy(source, target)
        return True
    return False


def _copy(source: Path, target: Path) -> None:
    """Copy a regular file, unless there is one. Raises Damaged if it is not what its name says."""
    if target.exists() or not source.exists() or not _is_own(source):
        return
    if source.suffix == ".json":
        read_step(source)
    with files.open_regular(source, MAX_BYTES[source.suffix], follow=False) as file:
        if source.suffix == ".npz":
            _check_arrays(source, file)
        elif source.suffix == ".png" and file.read(8) != b"\x89PNG\r\n\x1a\n":
            raise Damaged(f"{source} is not a PNG")
        file.seek(0)
        files.replace(target, lambda temporary: _write(temporary, file))


def _write(path: Path, content: BinaryIO) -> None:
    with path.open("wb") as file:
        shutil.copyfileobj(content, file)


def _check_arrays(path: Path, file: BinaryIO) -> None:
    try:
        members = ZipFile(file).infolist()
    except (BadZipFile, ValueError, OSError) as error:
        raise Damaged(f"{path} is not an archive of arrays: {error}") from error
    if sum(member.file_size for member in members) > MAX_BYTES[path.suffix]:
        raise Damaged(f"{path} would unpack to more than {MAX_BYTES[path.suffix]:,} bytes")


def _is_own(path: Path) -> bool:
    """Return whether a path of the source is neither a link nor below one; links are reported."""
    link = next((place for place in (path, path.parent) if place.is_symlink()), None)
    if link is not None:
        log.warning("%s is a link, which is not followed", link)
    return link is None


@contextmanager
def _left_out_if_damaged() -> Iterator[None]:
    try:
        yield
    except Damaged as error:
        log.warning("%s; it is left out", error)
