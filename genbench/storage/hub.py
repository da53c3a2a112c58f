"""The Hugging Face hub: folders with the files of a model, from the hub's cache or downloaded."""

import hashlib
import json
import os
import re
from functools import lru_cache
from pathlib import Path

from genbench.errors import ConfigError, first_line
from genbench.storage import files

HASHED = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
"""Names of files in the hub's cache."""

TIMEOUT = 10.0
"""Seconds in which the hub must answer."""


@lru_cache
def folder(model: str, revision: str | None, patterns: tuple[str, ...], setting: str, alternative: str) -> Path:
    """Return a folder with files of these patterns: a local one, or a snapshot of a name on the hub.

    Args:
        model: local folder, or name on the hub (owner/name).
        revision: branch, tag or commit on the hub.
        patterns: glob patterns of the files; files of the first pattern must exist.
        setting: name of the component in messages, such as "model.text".
        alternative: a setting that works without downloads, for messages.

    Raises:
        ConfigError: if the files are neither in the folder nor on the hub, or the hub cannot be reached.
    """
    local = files.expanded(model)
    if local.is_dir():
        if revision is not None:
            raise ConfigError(
                f"{setting}.revision={revision} is for names on the hub, but {model} is a folder: omit it"
            )
        if not _complete(local, patterns[0]):
            raise ConfigError(f"{setting}.model={model}: the folder lacks {patterns[0]}, or a part of it")
        return local
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if os.environ.get("GENBENCH_OFFLINE") or constants.HF_HUB_OFFLINE:
        reason, attempts = "GENBENCH_OFFLINE or HF_HUB_OFFLINE is set", (True,)
    else:
        reason, attempts = f"the hub has no {patterns[0]} under this name", (True, False)
    for cached in attempts:  # a cached snapshot is used even if its branch has moved on
        try:
            found = Path(
                snapshot_download(
                    model,
                    revision=revision,
                    allow_patterns=list(patterns),
                    etag_timeout=TIMEOUT,
                    local_files_only=cached,
                )
            )
            if _complete(found, patterns[0]):
                _verify(found, patterns)
                return found
        except HFValidationError as error:
            raise ConfigError(
                f"{setting}.model={model} is neither a folder nor a name on the hub (owner/name)"
            ) from error
        except (HfHubHTTPError, OSError) as error:
            reason = reason if cached else first_line(error)
    raise ConfigError(
        f"{setting}.model={model} is not a local folder, not in the hub's cache, and cannot be downloaded ({reason}); "
        f"{alternative} works without downloads"
    )


def _verify(snapshot: Path, patterns: tuple[str, ...]) -> None:
    """Check the files of a snapshot in the hub's cache, where each is a link to a file named after its hash.

    The name of a large file is its sha256, the name of another file the hash that git gives it. Files are checked once
    per process, because `folder` is cached.

    Raises:
        ConfigError: if the content of a file does not have the hash in its name.
    """
    for path in sorted({file for pattern in patterns for file in snapshot.glob(pattern) if file.is_file()}):
        stored = path.resolve()
        if not HASHED.fullmatch(stored.name):  # a file system without links
            continue
        start = b"" if len(stored.name) == 64 else b"blob %d\0" % stored.stat().st_size  # git's header of a blob
        kind = hashlib.sha1 if start else hashlib.sha256
        with stored.open("rb") as file:
            digest = hashlib.file_digest(file, lambda kind=kind, start=start: kind(start))
        if digest.hexdigest() != stored.name:
            raise ConfigError(
                f"{stored} is damaged: its content does not have the hub's hash: remove it to download it again"
            )


def _complete(place: Path, pattern: str) -> bool:
    """Return whether there are files of the pattern, and every file that an index of sharded weights lists."""
    shards: list[Path] = []
    for index in place.glob(f"{pattern}.index.json"):
        shards += {place / shard for shard in json.loads(index.read_bytes())["weight_map"].values()}
    return any(place.glob(pattern)) and all(shard.exists() for shard in shards)
