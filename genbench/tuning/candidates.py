"""Candidates of a grid search: combinations of values, nested by section. Torch is not needed."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from genbench.errors import ConfigError, unknown
from genbench.settings import Settings, merge

TUNED = ("model", "plan", "sample")
"""Sections whose settings may differ between candidates."""

MAX_CANDIDATES = 10_000
"""Candidates of a method."""


def points(over: Settings, method: str, methods: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the settings of every candidate of a method: every combination of the given values.

    Args:
        over: {section: {name: list of values}}; a section may be the name of a method, for its model settings alone.

    Raises:
        ConfigError: if values are not lists, or there are too many combinations.
    """
    for section in over:
        if section not in (*TUNED, *methods):
            raise unknown("--over: nothing to tune in", section, [*TUNED, *methods])
    axes = []
    for section, table in over.items():
        if section in (*TUNED, method):
            axes += _axes(("model" if section == method else section,), section, table)
    if math.prod(map(len, axes)) > MAX_CANDIDATES:
        raise ConfigError(f"--over: more than {MAX_CANDIDATES:,} candidates of {method}")
    yield from (merge(*combination) for combination in product(*axes))


def _axes(path: tuple[str, ...], written: str, value: Any) -> Iterator[list[dict[str, Any]]]:
    """Yield, for each list of values in nested settings, the nested settings with each of its values."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _axes((*path, name), f"{written}.{name}", part)
    elif isinstance(value, list) and value:
        yield [_nested(path, item) for item in value]
    else:
        raise ConfigError(f"--over {written}={value}: write a list of values, as in {written}=[1, 2]")


def _nested(path: Sequence[str], value: Any) -> dict[str, Any]:
    return {path[0]: value if len(path) == 1 else _nested(path[1:], value)}
