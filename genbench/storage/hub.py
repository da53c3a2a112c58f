"""The Hugging Face hub: folders with the files of a model, from the hub's cache or downloaded."""

import json
import os
from functools import lru_cache
from pathlib import Path

from genbench.errors import ConfigError

TIMEOUT = 10.0
"""Seconds in which the hub must answer."""


@lru_cache
def folder(model: str, revision: str | None, patterns: tuple[str, ...], setting: str, alternative: str) -> Path:
    """Return a folder with files of these patterns: a local one, or a snapshot of a name on the hub.

    Args:
        model: local folder, or name on the hub (owner/name).
        revision: branch, tag or commit of the name.
        patterns: of the files; the first must be there.
        setting: how messages call the component, such as "model.text".
        alternative: a setting that works without downloads, for messages.

    Raises:
        ConfigError: if the files are missing, and the hub does not have them or cannot be reached.
    """
    local = Path(model).expanduser()
    if local.is_dir():
        if revision is not None:
            raise ConfigError(f"{setting}.revision={revision} is for names on the hub; {model} is a folder")
        if not _complete(local, patterns[0]):
            raise ConfigError(f"{setting}.model={model}: the folder has no {patterns[0]}, or not all parts of it")
        return local
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if os.environ.get("GENBENCH_OFFLINE") or constants.HF_HUB_OFFLINE:
        reason, attempts = "GENBENCH_OFFLINE or HF_HUB_OFFLINE is set", (True,)
    else:
        reason, attempts = f"the hub has no {patterns[0]} of it", (True, False)
    for cached in attempts:  # a snapshot in the cache is used as it is, also if its branch has moved on
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
                return found
        except HFValidationError as error:
            raise ConfigError(
                f"{setting}.model={model} is neither a folder nor a name on the hub (owner/name)"
            ) from error
        except (HfHubHTTPError, OSError) as error:
            reason = reason if cached else str(error).splitlines()[0]
    raise ConfigError(
        f"{setting}.model={model} is no local folder, not in the hub's cache, and cannot be downloaded ({reason}); "
        f"{alternative} works without downloads"
    )


def _complete(place: Path, pattern: str) -> bool:
    """Return whether there are files of that pattern, and all that an index of sharded weights lists."""
    indices = [json.loads(path.read_text(encoding="utf-8")) for path in place.glob(f"{pattern}.index.json")]
    shards = {shard for index in indices for shard in index["weight_map"].values()}
    return any(place.glob(pattern)) and all((place / shard).exists() for shard in shards)
