"""Submissions: the records and weights of a results folder in a zip archive.

runs/RUN/EVALUATION/record.json     as in a results folder, with paths cut to their last part
runs/RUN/model.safetensors          the evaluated weights, up to a size
"""

import json
import logging
import re
import shutil
import stat
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from filelock import FileLock

from genbench.errors import ConfigError
from genbench.results.verifying import Guest, Verdict, read
from genbench.runs.record import format_record, read_kept
from genbench.runs.record_types import Record
from genbench.runs.spec import cut_paths, without_folders
from genbench.runs.store import Store
from genbench.runs.weights_file import WEIGHTS, read_weights
from genbench.storage import cache, content_hash, files, tensors
from genbench.storage.files import Damaged

log = logging.getLogger("genbench")

MEMBER = re.compile(r"runs/[\w.-]{1,255}/(?:[0-9a-f]{12}/record\.json|model\.safetensors)", re.ASCII)
MAX_WEIGHTS = 64 << 20
"""Largest size in bytes of the weights of a run; values of a run without its weights cannot be measured again."""
MAX_BYTES, MAX_MEMBERS, MAX_RECORD, MAX_RECORDS = 4 << 30, 20_000, 4 << 20, 256 << 20
"""Upper bounds of an archive: bytes of all members, number of members, bytes of one record, bytes of all records."""


class Packed(NamedTuple):
    """What a submission holds: its numbers of records and of weights, and the runs whose weights it lacks."""

    records: int
    weights: int
    without_weights: list[str]


def pack(records: Iterable[Path], path: Path) -> Packed:
    """Write a submission of records in a results folder, with the weights beside them.

    Raises:
        ConfigError: if there are no records, or `verify` would refuse a record or the size of the archive.
    """
    with TemporaryDirectory(prefix="genbench-") as name:
        folder, data, without = Path(name), [], set()
        for record in dict.fromkeys(records):
            weights, target = record.parents[1] / "model.safetensors", folder / "runs" / record.parts[-3]
            kept = read_kept(record)
            data += [Path(place)] if (place := kept["spec"]["data"].get("path")) else []
            named = {**kept, "spec": without_folders(kept["spec"]), "provenance": cut_paths(kept["provenance"])}
            content = record.read_bytes() if named == kept else format_record(cast(Record, named))
            files.write(target / record.parent.name / record.name, content)
            if weights.is_file() and weights.stat().st_size <= MAX_WEIGHTS:
                _copy_weights(weights, target / weights.name)
            else:
                without.add(record.parts[-3])
        _check_members(path, [info for _, info in _members(folder)])
        found = read(Store(folder), Guest(data, trusted=True))
        for verdict in (each.verdict for each in found if each.verdict.state == "refused"):
            raise ConfigError(f"genbench verify would refuse {verdict.name}: {verdict.reason}")
        files.replace(path, lambda temporary: zip_folder(folder, temporary))
        return Packed(len(found), len([*folder.glob("runs/*/model.safetensors")]), sorted(without))


def zip_folder(folder: Path, path: Path) -> None:
    """Write the records and weights of a results folder as they are."""
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for each, info in _members(folder):
            archive.writestr(info, each.read_bytes(), ZIP_DEFLATED)


def _members(folder: Path) -> Iterator[tuple[Path, ZipInfo]]:
    """Yield the files of a submission as members without a time stamp, so that the same runs give the same archive."""
    for path in sorted([*folder.glob("runs/*/*/record.json"), *folder.glob("runs/*/model.safetensors")]):
        info = ZipInfo(str(path.relative_to(folder)))
        info.file_size = path.stat().st_size
        yield path, info


def _copy_weights(source: Path, target: Path) -> None:
    _, spec, _ = read_weights(source)
    if (named := without_folders(spec)) == spec:
        shutil.copyfile(source, target)
    else:
        state, header = tensors.load(source, WEIGHTS)
        tensors.save(target, state, {**header, "spec": json.dumps(named)})


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    """Unpack a submission into a temporary folder, and yield it as a results folder.

    Raises:
        ConfigError: if the file is not a submission, or is damaged.
    """
    with TemporaryDirectory(prefix="genbench-") as folder:
        unpack(path, Path(folder))
        yield Store(Path(folder))


def unpack(path: Path, folder: Path) -> None:
    """Write the members of a submission below a folder, after their names and sizes were checked.

    Raises:
        ConfigError: if the file is not a submission, or is damaged.
    """
    try:
        with ZipFile(path) as archive:
            members = archive.infolist()
            _check_members(path, members)
            for info in members:  # extract reads no more bytes than the header states, and checks them
                archive.extract(info, folder)
    except ConfigError:
        raise
    except (BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise ConfigError(f"{path} is not a submission, or is damaged: {error}") from error


def _check_members(path: Path, members: list[ZipInfo]) -> None:
    if not members or len({info.filename for info in members}) < len(members):
        raise ConfigError(f"{path} is not a submission: it is empty, or has a member twice")
    size = sum(info.file_size for info in members)
    of_records = sum(info.file_size for info in members if info.filename.endswith(".json"))
    if len(members) > MAX_MEMBERS or size > MAX_BYTES or of_records > MAX_RECORDS:
        most = f"{MAX_MEMBERS:,} files, {MAX_BYTES / 2**30:g} GiB or {MAX_RECORDS / 2**20:g} MiB of records"
        raise ConfigError(f"{path} would unpack to more than {most}: submit fewer runs at a time")
    for info in members:
        name, kind = info.filename, stat.S_IFMT(info.external_attr >> 16)
        if not MEMBER.fullmatch(name) or kind not in (0, stat.S_IFREG):
            raise ConfigError(f"{path}: {name!r} does not belong in a submission")
        if info.flag_bits & 1 or info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise ConfigError(f"{path}: {name!r} is encrypted, or not compressed by deflate")
        limit = MAX_WEIGHTS if name.endswith(".safetensors") else MAX_RECORD
        if info.file_size > limit:
            raise ConfigError(f"{path}: {name} has {info.file_size:,} bytes, more than {limit:,}")


def remembering(path: Path, verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
    """Yield the verdicts on the records of a submission, and store on this machine which records were confirmed or not.

    Each verdict is stored under the hash of the submission as soon as it is found, beside the verdicts of other
    processes. A warning says that nothing can be stored.
    """
    entry, can_store = _entry(path), True
    for verdict in verdicts:
        if can_store and verdict.state in ("confirmed", "not confirmed"):
            try:
                entry.parent.mkdir(parents=True, exist_ok=True)
                with FileLock(entry.with_suffix(".lock")):
                    files.write_sealed(entry, json.dumps(_states(entry) | {verdict.name: verdict.state}))
            except OSError as error:
                can_store, why = False, f"{entry.parent}: {error.strerror}"
                log.warning("the verdicts cannot be stored for genbench leaderboard --add: %s", why)
        yield verdict


def remembered(path: Path) -> dict[str, str]:
    """Return {RUN/EVALUATION: state} for the records of a submission that this machine has measured again."""
    return _states(_entry(path))


def _states(entry: Path) -> dict[str, str]:
    try:
        return json.loads(files.read_sealed(entry))
    except (OSError, Damaged):
        return {}


def _entry(path: Path) -> Path:
    return cache.home() / "verified" / f"{content_hash.sha256(path)}.json"
