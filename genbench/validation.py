"""Validation: check values against types, and say in one line why they do not fit."""

import json
import re
import reprlib
from typing import Any

from pydantic import AfterValidator, TypeAdapter, ValidationError

from genbench.errors import ConfigError

LARGEST = 3.4028234663852886e38
"""The largest number of single precision, in which models compute."""


WORDS = {
    "input should be a valid list": "it should be a list, in [ ]",
    "input should be a valid array": "it should be a list, in [ ]",
    "input should be a valid dictionary": "it should be a table, in { }",
}
"""Messages of pydantic in the words of TOML."""


def _distinct(items: list[Any]) -> list[Any]:
    for position, item in enumerate(items):
        if item in items[:position]:
            raise ValueError(f"{getattr(item, 'name', item)} is listed twice: remove one of them")
    return items


DISTINCT = AfterValidator(_distinct)
"""Marks a list that must not have the same item twice."""


def explain(error: Exception) -> str:
    """Return in one line where data does not fit its typed model; for another error, its message."""
    if not isinstance(error, ValidationError):
        return str(error)
    first, *others = error.errors()
    message = _in_toml(first["msg"])
    if first["type"] not in ("missing", "value_error", "extra_forbidden", "unexpected_keyword_argument"):
        message = f"{reprlib.repr(first['input'])} is wrong: {message}"
    place = f"{'.'.join(map(str, first['loc']))}: " if first["loc"] else ""
    return place + message + (f" (and {len(others)} more)" if others else "")


def validated(type_: TypeAdapter, value: Any, what: str) -> Any:
    """Return a plain JSON value as the type has it.

    Raises:
        ConfigError: if it is of another type, or holds a null byte or a number that is not finite, needs more than 64
            bits or is too large for single precision.
    """
    try:
        text = json.dumps(value)
        json.loads(text, parse_int=_check_number, parse_float=_check_number, parse_constant=_check_number)
    except OverflowError as error:
        raise ConfigError(f"{what}: {error}") from error
    except TypeError as error:
        kinds = "a plain number, text, true, false, or a list or table of these"
        kinds += " (numbers of NumPy need int() or float(), dates need quotes)"
        raise ConfigError(f"{what}: {reprlib.repr(value)} is wrong: write {kinds}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{what}: {reprlib.repr(value)} is not plain JSON: {error}") from error
    if "\\u0000" in text:
        raise ConfigError(f"{what}: {reprlib.repr(value)} is wrong: it holds a null byte")
    try:
        # Strict JSON: 1 is read as 1.0 and a list as a tuple, but no text as a number and no number as a flag.
        return type_.validate_json(text, strict=True)
    except ValidationError as error:
        # A union has one message per type.
        messages = dict.fromkeys(_in_toml(part["msg"]) for part in error.errors())
        raise ConfigError(f"{what}: {reprlib.repr(value)} is wrong: {', or '.join(list(messages)[:3])}") from error


def _in_toml(message: str) -> str:
    message = re.sub(" after validation, not [0-9]+$", "", message.removeprefix("Value error, "))
    message = message[0].lower() + message[1:]
    return WORDS.get(message, message)


def _check_number(number: str) -> None:
    """Raise OverflowError for a number of JSON that is not finite, needs more than 64 bits or is too large."""
    if not abs(float(number)) <= LARGEST or (number.lstrip("-").isdigit() and abs(int(number)) >= 2**63):
        bounds = "numbers are finite and below 3.4e38, whole numbers below 2^63"
        raise OverflowError(f"{number[:40]} is wrong: {bounds}")
