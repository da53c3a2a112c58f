"""`--set section.name=value` with TOML values: parse it from a command line, or write it for one."""

import json
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from genbench.errors import ConfigError

_WORDS = {"none": None, "true": True, "false": False}


def parse_set_options(assignments: Iterable[str], option: str = "--set") -> dict[str, Any]:
    """Parse `--set` arguments into nested settings. Values are TOML; a bare word is a string.

    If a setting has nested settings as well, its value becomes their `name`.

    Args:
        option: name of the option in messages.

    >>> parse_set_options(["plan.steps=100", "model.cost=sqnorm", "model.blocks=[8, 2]"])
    {'plan': {'steps': 100}, 'model': {'cost': 'sqnorm', 'blocks': [8, 2]}}
    >>> parse_set_options(["model.net=unet", "model.net.channels=16"])
    {'model': {'net': {'name': 'unet', 'channels': 16}}}
    >>> parse_set_options(["plan.steps"])
    Traceback (most recent call last):
    genbench.errors.ConfigError: --set plan.steps: write section.name=value, such as plan.steps=5
    """
    settings: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        *path, name = key.strip().split(".")
        if not equals or not path or not name:
            raise ConfigError(f"{option} {assignment}: write section.name=value, such as plan.steps=5")
        table = settings
        for section in path:
            if isinstance(table.get(section), str):
                table[section] = {"name": table[section]}
            table = table.setdefault(section, {})
            if not isinstance(table, dict):
                raise ConfigError(f"{option} {assignment}: '{section}' already has a value")
        value = _value(text.strip(), option)
        if isinstance(table.get(name), dict):
            if not isinstance(value, str) or "name" in table[name]:
                raise ConfigError(
                    f"{option} {key.strip()} gives a table, but its settings are also given one by one: use one form"
                )
            table[name]["name"] = value
        elif name in table:
            raise ConfigError(f"{option} {key.strip()} is given twice: write it once")
        else:
            table[name] = value
    return settings


def as_set_options(key: str, value: Any) -> Iterator[str]:
    """Yield section.name=value for every value of a nested table, as `parse_set_options` reads it."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name != "version":
                yield from as_set_options(f"{key}.{name}", item)
    else:
        yield f"{key}={as_set_value(value)}"


def as_set_value(value: Any) -> str:
    """Return a value as `parse_set_options` reads it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        items = (json.dumps(v, ensure_ascii=False) if isinstance(v, str) else as_set_value(v) for v in value)
        return f"[{', '.join(items)}]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if (
        isinstance(value, str)
        and re.fullmatch(r"[A-Za-z_][\w-]*", value)
        and value.lower() not in (*_WORDS, "inf", "nan")
    ):
        return value
    return json.dumps(value, ensure_ascii=False)


def _value(text: str, option: str) -> Any:
    try:
        table = tomllib.loads(f"value = {text}")
    except RecursionError as error:
        raise ConfigError(f"{option} ...={text[:60]}...: the value is nested too deeply") from error
    except ValueError:  # not TOML, or an integer of more digits than Python reads
        if re.match(r"^-?\.\d+(e-?\d+)?$", text):  # TOML requires a digit before the point
            return float(text)
        return _WORDS.get(text.lower(), text)
    if len(table) > 1:
        raise ConfigError(f"{option} ...={text[:60]!r}: write one value, and another {option} for another setting")
    return table["value"]
