"""Aliases: other names under which settings, keys of suites and suites are read.

An alias is for reading only. Specs, records and keys hold the name in the builder's signature, so a setting in use is
never renamed: that would change the keys of kept results. It gets a second name here.
"""

from collections.abc import Collection, Mapping
from typing import Any

from genbench.errors import ConfigError

NAMES: dict[str, str] = {"dequantize": "dequantise", "head_dim": "head", "normalizer": "normaliser"}
"""{other name: name in the signature of a builder, or key of a suite}."""

SUITE_FOLDERS = ("benchmarks",)
"""Folders from which suites moved into the package: benchmarks/smoke.toml is read as the suite smoke."""


def canonical(table: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Return a table with the other names of known settings replaced.

    Raises:
        ConfigError: if a setting is given under both names.
    """
    renamed = {name: NAMES[name] for name in table if name not in known and NAMES.get(name) in known}
    for other, name in renamed.items():
        if name in table:
            raise ConfigError(f"{other} is another name of {name}: give one of them")
    return {renamed.get(name, name): value for name, value in table.items()}
