"""The file of a submission: a zip archive of records and weights, with the sha256 of each member in manifest.json.

manifest.json                       {"format", "genbench", "members": {name: sha256}}
runs/RUN/EVALUATION/record.json     as in a results folder
runs/RUN/model.safetensors          the evaluated weights, up to a size
"""

import hashlib
import json
import re
import stat
import zlib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from genbench.errors import ConfigError, unknown
from genbench.results.reader import RECORDS, suite_names
from genbench.runs.record import read_published, read_record
from genbench.runs.store import Store, evaluation_name
from genbench.storage import files
from genbench.storage.files import Damaged

FORMAT = 1
MANIFEST = "manifest.json"
MEMBER = re.compile(r"runs/[\w.-]{1,200}/(?:[0-9a-f]{12}/record\.json|model\.safetensors)", re.ASCII)
MAX_WEIGHTS = 64 << 20
"""Bytes of the weights of a run; larger ones are left out, and its values cannot be replayed."""
MAX_BYTES, MAX_MEMBERS, MAX_TEXT = 4 << 30, 20_000, 16 << 20
"""Bounds of a file that is read: bytes of all members, their number, bytes of a record or of the manifest."""
BLOCK = 1 << 20


class Packed(NamedTuple):
    """What a submission holds: numbers of records and of weights, and the runs whose weights are too large."""

    records: int
    weights: int
    without_weights: list[str]


def records_of(store: Store, name: str) -> list[Path]:
    """Return the paths of the records of a run, a record of it, or a suite that was swept into the folder.

    Args:
        name: name or path of a run, of a record, or of a suite.

    Raises:
        ConfigError: if there is no such run or suite, with a suggestion.
    """
    paths = store.record_paths()
    given = Path(name)
    if given.suffix == ".toml":
        name = given.stem
    elif given.resolve().is_relative_to(store.runs.resolve()):
        name = "/".join(given.resolve().relative_to(store.runs.resolve()).parts[:2])
    own = [path for path in paths if name in (path.parts[-3], evaluation_name(path))]
    if own:
        return own
    suites = suite_names(store.root)
    if name not in suites:
        raise unknown(f"{store.root} has no run or suite", name, [*suites, *{path.parts[-3] for path in paths}])
    runs = {record["labels"]["run"] for record in read_published(store.root / name / RECORDS)}
    own = [path for path in paths if path.parts[-3] in runs]
    if not own:
        raise unknown(f"{store.root} has only published records, and no runs, of the suite", name, [])
    return own


def pack(records: Iterable[Path], path: Path) -> Packed:
    """Write a submission.

    Args:
        records: paths of records in a results folder. Their weights are found beside them.

    Raises:
        Damaged: if a record is damaged.
        ConfigError: if there are no records.
    """
    members: dict[str, Path] = {}
    without: list[str] = []
    for record in records:
        read_record(record)
        run = record.parents[1]
        members[f"runs/{run.name}/{record.parent.name}/record.json"] = record
        weights = run / "model.safetensors"
        if weights.is_file() and weights.stat().st_size <= MAX_WEIGHTS:
            members[f"runs/{run.name}/model.safetensors"] = weights
        else:
            without.append(run.name)
    if not members:
        raise ConfigError("there is no record to submit")
    hashes = {name: hashlib.sha256(source.read_bytes()).hexdigest() for name, source in members.items()}
    manifest = {"format": FORMAT, "genbench": version("genbench"), "members": dict(sorted(hashes.items()))}

    def save(temporary: Path) -> None:
        with ZipFile(temporary, "w", ZIP_DEFLATED) as archive:
            archive.writestr(ZipInfo(MANIFEST), json.dumps(manifest, indent=1), ZIP_DEFLATED)
            for name in hashes:  # no time of writing: the same runs give the same file
                archive.writestr(ZipInfo(name), members[name].read_bytes(), ZIP_DEFLATED)

    files.replace(path, save)
    number = sum(name.endswith("record.json") for name in members)
    return Packed(number, len(members) - number, sorted(set(without)))


def unpack(path: Path, folder: Path) -> None:
    """Write the members of a submission below a folder, after their names, sizes and hashes were checked.

    Raises:
        ConfigError: if the file is not a submission, or was changed after it was written.
    """
    if not path.is_file():
        raise ConfigError(f"{path} does not exist or is not a file")
    try:
        with ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            _check_members(path, members, len(archive.infolist()))
            hashes = _manifest(path, _text(archive, members[MANIFEST]))
            if hashes.keys() != members.keys() - {MANIFEST}:
                other = sorted(hashes.keys() ^ (members.keys() - {MANIFEST}))
                raise Damaged(f"{path} is not as it was written: {other[0]} is in the manifest or the file only")
            for name, expected in hashes.items():
                if _extract(archive, members[name], folder / name) != expected:
                    raise Damaged(f"{path} is not as it was written: the checksum of {name} differs")
    except (BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{path} is not a submission, or is damaged: {error}") from error


def _check_members(path: Path, members: dict[str, ZipInfo], number: int) -> None:
    if MANIFEST not in members:
        raise ConfigError(f"{path} is not a submission: it has no {MANIFEST}; genbench submit writes submissions")
    if number != len(members) or number > MAX_MEMBERS:
        raise ConfigError(f"{path}: a member is there twice, or there are more than {MAX_MEMBERS:,}")
    if sum(info.file_size for info in members.values()) > MAX_BYTES:
        raise ConfigError(f"{path} would unpack to more than {MAX_BYTES >> 30} GiB")
    for name, info in members.items():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if info.flag_bits & 1 or info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise ConfigError(f"{path}: {name!r} is encrypted, or compressed in another way than deflate")
        if name != MANIFEST and (not MEMBER.fullmatch(name) or kind not in (0, stat.S_IFREG)):
            raise ConfigError(f"{path}: {name!r} is not a member of a submission")
        limit = MAX_WEIGHTS if name.endswith(".safetensors") else MAX_TEXT
        if info.file_size > limit:
            raise ConfigError(f"{path}: {name} has {info.file_size:,} bytes, more than {limit:,}")


def _text(archive: ZipFile, info: ZipInfo) -> bytes:
    with archive.open(info) as file:
        return file.read(MAX_TEXT + 1)


def _manifest(path: Path, text: bytes) -> dict[str, str]:
    try:
        manifest = json.loads(text)
        if manifest["format"] != FORMAT:
            raise ConfigError(f"{path} has format {manifest['format']}; this genbench reads format {FORMAT}")
        hashes = manifest["members"]
        if not all(isinstance(value, str) for value in hashes.values()):
            raise TypeError("a checksum is not a text")
        return dict(hashes)
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path} is not a submission: its manifest is damaged: {error}") from error


def _extract(archive: ZipFile, info: ZipInfo, target: Path) -> str:
    """Write a member, at most as many bytes as its header says, and return its sha256."""
    digest, left = hashlib.sha256(), info.file_size
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(info) as source, target.open("wb") as file:
        while block := source.read(min(BLOCK, left + 1)):
            left -= len(block)
            if left < 0:
                raise ValueError(f"{info.filename} is longer than its header says")
            digest.update(block)
            file.write(block)
    return digest.hexdigest()
