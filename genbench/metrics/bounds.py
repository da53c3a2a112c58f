"""Bounds: the numbers that a metric may return, and those that a record can hold."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from genbench.errors import ConfigError, RunFailed
from genbench.registry import metrics

ROUNDING = 1e-6
"""Tolerance by which a value may exceed the bounds of its metric."""


def impossible(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return a sentence on the first value outside the bounds that its metric declares; empty if there is none."""
    for row in rows:
        lower, upper = bounds_of(row["metric"])
        for what, number in (("", row["value"]), ("the floor of ", row.get("floor"))):
            if number is not None and lower is not None and number < lower - ROUNDING:
                return f"{what}{row['metric']} is {number:g}, and cannot be below {lower:g}"
            if number is not None and upper is not None and number > upper + ROUNDING:
                return f"{what}{row['metric']} is {number:g}, and cannot be above {upper:g}"
    return ""


def bounds_of(value: str) -> tuple[float | None, float | None]:
    """Return the lower and the upper bound of a value METRIC.PART; None for a bound that is not known."""
    name, _, part = value.partition(".")
    if ":" in name:  # the classes of another library declare none
        return None, None
    try:
        bounds = metrics[name].traits.get("bounds", (None, None))
    except ConfigError:  # a record may hold a metric that is not installed here, or cannot be imported
        return None, None
    return bounds.get(part, bounds.get("", (None, None))) if isinstance(bounds, Mapping) else bounds


def check_numbers(name: str, value: Any) -> None:
    """Raise RunFailed if a `Value` holds a number that no record can hold: a tensor, NaN or infinity."""
    check_number(name, value.value)
    check_number(f"n of {name}", value.n, int)
    for detail, number in value.details.items():
        if number is not None:
            check_number(f"{detail} of {name}", number)


def check_number(what: str, number: Any, type_: type = float) -> None:
    """Raise RunFailed if a record cannot hold a number."""
    if not isinstance(number, (int, type_)):
        raise RunFailed(f"{what} is of type {type(number).__name__}: convert it with {type_.__name__}(...)")
    if not math.isfinite(number):
        why = "samples or data are too large, or the metric must raise Unsupported where it has no value"
        raise RunFailed(f"{what} is {number}: {why}")
