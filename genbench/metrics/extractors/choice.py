"""Extractors as settings of metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from json import dumps, loads
from typing import Annotated, Any

from genbench.core import Data, Event
from genbench.errors import ConfigError
from genbench.metrics.image.features import Features
from genbench.registry import extractors
from genbench.settings import Nested, bind, call

DIGITS = (1, 8, 8)


def default(event: Event) -> str:
    """Return the extractor that metrics use by default: published numbers are of Inception.

    >>> default(Event((3, 32, 32))), default(Event((1, 8, 8)))
    ('inception-legacy', 'digits_cnn')
    """
    return "digits_cnn" if event.shape == DIGITS else "inception-legacy"


@dataclass(frozen=True)
class ExtractorChoice(Nested):
    """Marks a setting that is an extractor: nothing for the default, a name, or a table of settings with a name or not.

    Args:
        among: names that are allowed; the first is the default. None named means all.
    """

    among: tuple[str, ...] = ()

    registry = extractors

    def resolve(self, value: Any, what: str, context: Event | None) -> dict[str, Any] | None:
        """Return {"name", "version", ...every setting} as plain JSON; None while the data is not known.

        Raises:
            ConfigError: on an unknown extractor or setting, or one that is not allowed here.
        """
        usual = self.among[0] if self.among else default(context) if context is not None else None
        if value is None or isinstance(value, str):
            value = {"name": value or usual}
        elif not isinstance(value, Mapping):
            raise ConfigError(f"{what}: {value!r} is no extractor; give a name, or {{'name': 'dinov2'}}")
        settings = {"name": usual, **value}
        name, version = settings.pop("name"), settings.pop("version", None)
        if name is None:
            if settings:
                raise ConfigError(f"{what}: the default extractor depends on the data; name one")
            return None
        if self.among and name not in self.among:
            raise ConfigError(f"{what}: {name} is not {' or '.join(self.among)}, which this metric is of")
        entry = extractors[name]
        if version not in (None, entry.version):
            raise ConfigError(f"{what}: settings are of version {version} of {name}, which is now {entry.version}")
        return {"name": name, "version": entry.version, **bind(entry.build, settings, f"{what} ({name})")}


Extractor = Annotated[
    dict[str, Any] | str | None,
    ExtractorChoice(),
    "the network whose features are compared (genbench list extractors): a name, or a table with its settings; "
    "by default inception-legacy, or digits_cnn for 8x8 digits",
]


def build(data: Data, value: dict[str, Any] | str | None) -> Features:
    """Build the extractor that a setting stands for, the default one for the data if none; each is built once.

    Raises:
        Unsupported: if it cannot be had, or is not made for such data.
    """
    return _build(data, dumps(ExtractorChoice().resolve(value, "features", data.event), sort_keys=True))


@lru_cache(maxsize=4)
def _build(data: Data, text: str) -> Features:
    settings = loads(text)
    own = {key: value for key, value in settings.items() if key not in ("name", "version")}
    return call(extractors[settings["name"]].build, data, settings=own)
