"""Trust: refuse files and downloads that only the record of another author names.

Requests of the user and the user's own results folder are trusted. If a record of another author enters (a submission
that is verified, a folder that is merged), free-text settings, such as a path, a name on a hub or the sha256 of
weights, are refused unless they are defaults or the user passes `--trust`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal, get_args, get_origin

from genbench.errors import ConfigError
from genbench.settings import each_setting

Parts = Iterable[tuple[str, Callable, Mapping[str, Any]]]
"""Parts of a spec: for each, its name in messages, its builder, and its settings as plain JSON."""


def check(parts: Parts) -> None:
    """Check the spec of another author before anything is built from it.

    Raises:
        ConfigError: if the spec names a file or a download; the message says how to allow it.
    """
    for what, builder, settings in parts:
        for setting, text in _texts(what, builder, settings):
            named = f"the record of another author names {setting}={text!r}"
            raise ConfigError(f"{named}, which is not opened: add --trust if you trust the author")


def texts(parts: Parts) -> set[str]:
    """Return the settings that are free text and not defaults."""
    return {text for what, builder, settings in parts for _, text in _texts(what, builder, settings)}


def _texts(what: str, builder: Callable, settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the settings that are free text and not defaults, nested components included."""
    for name, setting, value in each_setting(builder, settings):
        known = {*_choices(setting.type), *_strings(setting.default)}
        yield from ((f"{what}.{name}", text) for text in _strings(value) if text not in known)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _strings(key)
            yield from _strings(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _strings(item)


@lru_cache(maxsize=512)
def _choices(annotation: Any) -> tuple[Any, ...]:
    """Return the values of every Literal in a type."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(choice for part in get_args(annotation) for choice in _choices(part))
