"""The suites that come with genbench."""

import re
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from genbench.errors import ConfigError, unknown

FOLDER = Path(__file__).parent


def packaged() -> dict[str, str]:
    """Return {name of a suite: first sentence of its comment}."""
    names = sorted(path.stem for path in FOLDER.glob("*.toml"))
    return {name: _first_sentence((FOLDER / f"{name}.toml").read_text(encoding="utf-8")) for name in names}


def tracks() -> list[str]:
    """Return the names of the suites that are tracks."""
    return [name for name in packaged() if "track" in tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8"))]


def find(suite: str | Path, kind: Literal["suite", "track"] = "suite", further: Collection[str] = ()) -> Path:
    """Return the path of a suite, given by its path or by the name of one that comes with genbench.

    Args:
        kind: what an error calls it, and which names it suggests.
        further: other names that an error suggests.

    Raises:
        ConfigError: if there is no such file.
    """
    path = Path(suite)
    if path.is_file():
        return path
    if path.suffix == ".toml" or path.name != str(suite):
        raise ConfigError(f"there is no {kind} at {path}")
    if not (FOLDER / f"{suite}.toml").is_file():
        raise unknown(f"no {kind}", str(suite), {*(packaged() if kind == "suite" else tracks()), *further})
    return FOLDER / f"{suite}.toml"


def _first_sentence(text: str) -> str:
    comment = re.match(r"(?:#.*\n)*", text)
    lines = [line.lstrip("# ") for line in comment[0].splitlines()] if comment else []
    return re.split(r"(?<=[.?]) ", " ".join(lines))[0]
