"""Trials of tuning: their seeds, and the settings of every candidate."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from genbench.errors import ConfigError, unknown
from genbench.settings import Settings, merge

TUNED = ("model", "plan", "sample")
"""Sections whose settings may differ between candidates."""

FIRST_SEED = 100
"""Seed of the first trial of a candidate. Tables report seeds from 0 on."""

MAX_CANDIDATES = 10_000
"""Candidates of a method."""


def points(
    over: Settings, method: str = "", methods: Collection[str] = (), what: str = "--over"
) -> Iterator[dict[str, Any]]:
    """Yield the settings of every candidate of a method: every combination of the given values.

    Args:
        over: {section: {name: list of values}}; a section may be the name of a method, for its model settings alone.
        methods: names that sections may have.
        what: how an error calls the values.

    Raises:
        ConfigError: if values are not lists, or there are too many combinations.
    """
    for section in over:
        if section not in (*TUNED, *methods):
            raise unknown(f"{what}: nothing to tune in", section, [*TUNED, *methods])
    axes = []
    for section, table in over.items():
        if section in (*TUNED, method):
            axes += _axes(("model" if section == method else section,), f"{what} {section}", table)
    if math.prod(map(len, axes)) > MAX_CANDIDATES:
        raise ConfigError(f"{what}: more than {MAX_CANDIDATES:,} candidates of a method")
    yield from (merge(*combination) for combination in product(*axes))


def _axes(path: tuple[str, ...], written: str, value: Any) -> Iterator[list[dict[str, Any]]]:
    """Yield, for each list of values in nested settings, the nested settings with each of its values."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _axes((*path, name), f"{written}.{name}", part)
    elif isinstance(value, list) and value:
        yield [_nested(path, item) for item in value]
    else:
        raise ConfigError(f"{written}={value}: write a list of values, as in {written}=[1, 2]")


def _nested(path: Sequence[str], value: Any) -> dict[str, Any]:
    return {path[0]: value if len(path) == 1 else _nested(path[1:], value)}
