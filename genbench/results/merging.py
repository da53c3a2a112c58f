"""Merging: copy undamaged results of another machine into a results folder, without overwriting results."""

import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from zipfile import BadZipFile, ZipFile

from torch import Tensor

from genbench.errors import ConfigError, reason_of
from genbench.metrics.bounds import impossible
from genbench.results.comparing import compare
from genbench.runs.monitoring.callbacks import read_step
from genbench.runs.record import Misfiled, check_request, format_record, merge_records, read_kept
from genbench.runs.record_types import Record
from genbench.runs.spec import SPEC
from genbench.runs.store import FAILURE, Store
from genbench.runs.versions import outdated_metrics
from genbench.runs.weights_file import read_weights
from genbench.storage import files, lease, memory, trust
from genbench.storage.files import Damaged
from genbench.training import checkpoint

log = logging.getLogger("genbench")


WEIGHTS = "model.safetensors"

MAX_BYTES = {".csv": files.MAX_TEXT, ".json": files.MAX_TEXT, ".png": 2**28, ".npz": 2**34, ".safetensors": 2**36}
"""Largest size in bytes, by extension, of a file that is copied."""

BESIDE = ("samples.npz", "*.png", "steps/*.json", "steps/*.png")
"""Files of an evaluation beside its record."""


class Merged(NamedTuple):
    """The outcome for a record, or for a run without one.

    Args:
        what: "new", "the same" or "extended by METRICS"; "different" if its values differ from those here by more than
            the tolerance of `verify`; "left out" if another record or the weights of its run differ, if it cannot be
            read or trusted, or if a run holds no record; "failed" if the run failed there and has no record here;
            "busy" if another process holds the run.
        why: the first value that differs, or why a run is left out; a warning says why a record is.
    """

    run: str
    what: str
    why: str = ""


def merge(into: Store, source: Store, *, trusted: bool = False) -> Iterator[Merged]:
    """Copy every undamaged run of another results folder.

    If both folders have a record, it is extended by the metrics that only the source has, or has in the installed
    version. Everything of a run is compared before anything is written: if one value differs, or if settings, data or
    training differ, nothing of the run is copied. Weights, samples and logs are copied if the target has none, and the
    reason of a failure if the target has neither a record nor a reason. Damaged records and weights of the target are
    set aside, and count as absent. Every file is checked before it is copied: records and weights by checksum and by
    the run that they belong to. Links are not followed.

    Args:
        trusted: whether to copy records that name files or downloads, which later commands would open.

    Raises:
        ConfigError: if the source holds no runs.
    """
    runs = [path for path in sorted(source.runs.glob("[!.]*/")) if _is_own(path)]
    if not runs:
        raise ConfigError(f"{source.root} holds no runs: name a results folder")
    for run in runs:
        try:
            with lease.hold(into.root / "leases", run.name, wait=60) as lease_path:
                into.runs.mkdir(exist_ok=True)
                found = [*_merge_run(run, lease_path / "../../../runs" / run.name, trusted)]
            yield from found
            if not found and not any(run.glob(f"[!.]*/{FAILURE}")):
                yield Merged(run.name, "left out", "it holds no finished record")
        except lease.Busy:
            yield Merged(run.name, "busy")


def _merge_run(run: Path, folder: Path, trusted: bool) -> Iterator[Merged]:
    plans: dict[Path, tuple[Record, Record | None, Merged]] = {}
    for path in filter(_is_own, sorted(run.glob("[!.]*/record.json"))):
        name = f"{run.name}/{path.parent.name}"
        with _left_out_if(Exception):  # a file may raise anything
            record = _read(path, trusted)
            if why := impossible(record["results"]):
                raise Damaged(f"{files.shown(path)}: {why}")
            plans[path] = record, *_compared(record, folder / path.relative_to(run), name)
        if path not in plans:
            yield Merged(name, "left out")
    weights, kept = _weights(run, [record for record, _, _ in plans.values()], trusted), _kept(folder / WEIGHTS)
    if plans and (any(outcome.what == "different" for *_, outcome in plans.values()) or not _same(weights, kept)):
        for _, _, outcome in plans.values():
            yield outcome if outcome.what in ("different", "the same") else outcome._replace(what="left out")
        return
    for path, (_, merged, outcome) in plans.items():
        if merged is not None:
            target = folder / path.relative_to(run)
            if outcome.what == "new" and os.path.lexists(target):  # the record here is damaged
                files.set_aside(target)
            target.with_name(FAILURE).unlink(missing_ok=True)
            files.write(target, format_record(merged))
        yield outcome
    if plans and weights is not None and kept is None:
        if os.path.lexists(folder / WEIGHTS):
            files.set_aside(folder / WEIGHTS)
        _copy(run / WEIGHTS, folder / WEIGHTS)
        checkpoint.drop(folder)  # of a training that was interrupted here and finished elsewhere
    beside = [file for path in plans for pattern in BESIDE for file in sorted(path.parent.glob(pattern))]
    for path in (run / "train.csv", *beside) if plans else ():
        with _left_out_if(Damaged):
            _copy(path, folder / path.relative_to(run))
    yield from _merge_failures(run, folder, trusted)


def _merge_failures(run: Path, folder: Path, trusted: bool) -> Iterator[Merged]:
    """Copy the reason of each failure, unless the evaluation has a record or a reason here."""
    for path in filter(_is_own, sorted(run.glob(f"[!.]*/{FAILURE}"))):
        target, name = folder / path.relative_to(run), f"{run.name}/{path.parent.name}"
        if target.exists() or target.with_name("record.json").exists():
            continue
        found: Record | None = None
        with _left_out_if(Exception):
            found = _read(path, trusted)
        if found is None or "failure" not in found:
            yield Merged(name, "left out")
        else:
            files.write(target, format_record(found))
            yield Merged(name, "failed")


def _read(path: Path, trusted: bool) -> Record:
    record = read_kept(path)
    _check_trust(record["spec"], trusted)
    return record


def _check_trust(spec: Mapping[str, Any], trusted: bool) -> None:
    """Raise ConfigError if a spec names a file or a download, or a component that is not installed here."""
    if not trusted:
        trust.check(SPEC.validate_python(spec).parts())


def _compared(record: Record, path: Path, name: str) -> tuple[Record | None, Merged]:
    """Return the record to write here (None if the one here stays), and the outcome."""
    try:
        kept = read_kept(path)
    except FileNotFoundError:
        return record, Merged(name, "new")
    except Damaged as error:
        log.warning("%s; the record of the other folder takes its place", error)
        return record, Merged(name, "new")
    renewed = outdated_metrics(kept).keys() - outdated_metrics(record).keys()
    found = compare(kept, record, without=renewed)
    added = sorted({*found.added, *(renewed & record["spec"]["metrics"].keys())})
    if why := _conflict(path, kept, record, added) or "".join(map(str, found.different[:1])):
        return None, Merged(name, "different", why)
    if not added:
        return None, Merged(name, "the same")
    return merge_records(kept, record, added), Merged(name, f"extended by {', '.join(added)}")


def _conflict(path: Path, kept: Record, record: Record, added: Sequence[str]) -> str:
    """Return why two records of one name cannot be merged; empty if they can."""
    try:
        check_request(path, kept["spec"], SPEC.validate_python(record["spec"]))
    except Misfiled:
        return "the settings of the two records differ"
    ours, theirs = kept["provenance"], record["provenance"]
    for name in ("sha256", "original"):
        if ours["data"].get(name) != theirs["data"].get(name):
            return f"the data of the two records differ: {ours['data'].get(name)} and {theirs['data'].get(name)}"
    if added and ours["training"] != theirs["training"]:
        return f"{', '.join(added)} measured on weights of another training than the record here"
    return ""


def _weights(run: Path, records: Sequence[Record], trusted: bool) -> dict[str, Tensor] | None:
    """Return the weights of a run, if they are undamaged and belong to it and to its records."""
    path = run / WEIGHTS
    with _left_out_if(Exception):  # a file may raise anything
        if path.exists() and _is_own(path):
            files.open_regular(path, MAX_BYTES[path.suffix]).close()
            memory.require(path.stat().st_size, files.shown(path))
            state, spec, _ = read_weights(path)
            _check_trust(spec, trusted)
            for record in records:
                of_record = SPEC.validate_python(record["spec"])
                check_request(path, spec | {"sample": of_record.sample, "evaluation": of_record.evaluation}, of_record)
            return state
    return None


def _kept(path: Path) -> dict[str, Tensor] | None:
    """Return the weights here; None if they are missing, damaged or misfiled."""
    try:
        return read_weights(path).state
    except FileNotFoundError:
        return None
    except Damaged as error:
        log.warning("%s", error)
        return None


def _same(weights: Mapping[str, Tensor] | None, kept: Mapping[str, Tensor] | None) -> bool:
    """Return whether weights are equal; True if either are missing."""
    if weights is None or kept is None:
        return True
    return kept.keys() == weights.keys() and all(kept[name].equal(weights[name]) for name in kept)


def _copy(source: Path, target: Path) -> None:
    """Copy a regular file, unless the target exists. Raises Damaged if its content does not match its extension."""
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
def _left_out_if(kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kind as error:
        log.warning("%s; it is left out", error if isinstance(error, ConfigError) else reason_of(error))
