"""The Hugging Face hub: folders of a model's files, from the cache, or downloaded where the hub answers soon."""

import json
import ssl
import urllib.error
import urllib.request
from functools import lru_cache
from pathlib import Path

from genbench.errors import ConfigError

PATIENCE = 10.0
"""Seconds in which the hub must answer."""


@lru_cache
def folder(model: str, revision: str | None, patterns: tuple[str, ...], what: str, instead: str) -> Path:
    """Return a folder in which files of the given patterns lie: a local one, or a snapshot of a name on the hub.

    Args:
        model: local folder, or name on the hub (owner/name).
        revision: branch, tag or commit of the name.
        patterns: files that are needed, of which one of the first pattern must be there.
        what: how messages call the setting.
        instead: the setting that works without downloads.

    Raises:
        ConfigError: if they are not there, and the hub does not have them or cannot be reached.
    """
    local = Path(model).expanduser()
    if local.is_dir():
        if revision is not None:
            raise ConfigError(f"{what}.revision={revision} is of names on the hub; {model} is a folder")
        if not _whole(local, patterns[0]):
            raise ConfigError(f"{what}.model={model}: the folder has no {patterns[0]}, or not all parts of it")
        return local
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        found = Path(snapshot_download(model, revision=revision, local_files_only=True))
        if _whole(found, patterns[0]):
            return found
    except LocalEntryNotFoundError:
        pass
    except HFValidationError as error:
        raise ConfigError(f"{what}.model={model} is neither a folder nor a name on the hub (owner/name)") from error
    # The hub's client tries again for half a minute before it says that there is no network.
    reason = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else _unreachable(constants.ENDPOINT)
    if not reason:
        try:
            found = Path(
                snapshot_download(model, revision=revision, allow_patterns=list(patterns), etag_timeout=PATIENCE)
            )
            if _whole(found, patterns[0]):
                return found
            reason = f"the hub has no {patterns[0]} of it"
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            reason = str(error).splitlines()[0]
    raise ConfigError(
        f"{what}.model={model} is no local folder, not in the hub's cache, and cannot be fetched ({reason}); "
        f"{instead} works without downloads"
    )


def _whole(place: Path, pattern: str) -> bool:
    """Return whether there are files of that pattern, and all those that an index of weights names."""
    indices = [json.loads(path.read_text(encoding="utf-8")) for path in place.glob(f"{pattern}.index.json")]
    parts = {part for index in indices for part in index["weight_map"].values()}
    return any(place.glob(pattern)) and all((place / part).exists() for part in parts)


def _unreachable(url: str) -> str:
    """Return why nothing answers at an address; empty if anything does, be it with an error."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PATIENCE).close()
    except urllib.error.HTTPError:
        return ""
    except OSError as error:
        cause = getattr(error, "reason", error)
        # Certificates are the hub client's business: it may know others.
        return "" if isinstance(cause, ssl.SSLError) else f"no network: {cause}"
    return ""
