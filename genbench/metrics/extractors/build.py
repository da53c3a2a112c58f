"""The setting `features` of metrics, and the extractor that it builds."""

from functools import lru_cache
from json import dumps, loads
from typing import Annotated, Any

from genbench.core import Data, Event
from genbench.metrics.extractors.feature_extractor import FeatureExtractor
from genbench.registry import extractors
from genbench.settings import Nested, build_component, settings_in
from genbench.storage import content_hash


def default_extractor(event: Event) -> str:
    """Return the extractor that metrics use by default: published numbers are of Inception.

    >>> default_extractor(Event((3, 32, 32))), default_extractor(Event((1, 8, 8)))
    ('inception-legacy', 'digits_cnn')
    """
    return "digits_cnn" if event.shape == (1, 8, 8) else "inception-legacy"


EXTRACTOR = Nested(extractors, default_extractor)
Extractor = Annotated[
    dict[str, Any] | str | None,
    EXTRACTOR,
    "the network whose features are compared (genbench list extractors): a name, or a table with its settings; "
    "by default inception-legacy, or digits_cnn for 8x8 digits",
]


def build_extractor(data: Data, value: dict[str, Any] | str | None) -> FeatureExtractor:
    """Build the extractor of a setting, or the default one for the data; each is built once.

    Raises:
        Unsupported: if it is not available, or not made for such data.
    """
    component = EXTRACTOR.resolve(value, "features", data.event)
    assert component is not None
    content = content_hash.of_settings(extractors[component["name"]].build, settings_in(component), "features")
    return _build(data, dumps(component, sort_keys=True), tuple(content.values()))


@lru_cache(maxsize=4)
def _build(data: Data, text: str, content: tuple[str, ...]) -> FeatureExtractor:
    return build_component(extractors, loads(text), data)
