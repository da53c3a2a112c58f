"""Extractors as settings of metrics."""

from functools import lru_cache
from json import dumps, loads
from typing import Annotated, Any

from genbench.core import Data, Event
from genbench.metrics.image.features import Features
from genbench.registry import extractors
from genbench.settings import Nested, build_component

DIGITS = (1, 8, 8)


def default(event: Event) -> str:
    """Return the extractor that metrics use by default: published numbers are of Inception.

    >>> default(Event((3, 32, 32))), default(Event((1, 8, 8)))
    ('inception-legacy', 'digits_cnn')
    """
    return "digits_cnn" if event.shape == DIGITS else "inception-legacy"


EXTRACTOR = Nested(extractors, default)
Extractor = Annotated[
    dict[str, Any] | str | None,
    EXTRACTOR,
    "the network whose features are compared (genbench list extractors): a name, or a table with its settings; "
    "by default inception-legacy, or digits_cnn for 8x8 digits",
]


def build(data: Data, value: dict[str, Any] | str | None) -> Features:
    """Build the extractor that a setting stands for, the default one for the data if none; each is built once.

    Raises:
        Unsupported: if it cannot be had, or is not made for such data.
    """
    return _build(data, dumps(EXTRACTOR.resolve(value, "features", data.event), sort_keys=True))


@lru_cache(maxsize=4)
def _build(data: Data, text: str) -> Features:
    return build_component(extractors, loads(text), data)
