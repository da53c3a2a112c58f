from dataclasses import replace

import pytest
import torch
from helpers.pixel_features import PixelExtractor

from genbench.errors import ConfigError, Unsupported
from genbench.metrics.extractors.feature_extractor import EXTRACTOR
from genbench.registry import extractors, metrics
from genbench.settings import settings_of


def test_it_has_no_training_mode_and_no_classes():
    pixels = PixelExtractor()
    assert not torch.nn.Sequential(pixels).train()[0].training
    with pytest.raises(Unsupported, match="pixels is not a classifier"):
        pixels.logits(torch.zeros(1, 12))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("inceptoin-legacy", "did you mean 'inception-legacy'?"),
        ({"name": "dinov2", "wieghts": "x"}, "did you mean 'weights'?"),
        ({"name": "dinov2", "version": 0}, "version 0 of dinov2"),
        (3, "is not a feature extractor"),
    ],
)
def test_a_wrong_setting_is_refused_with_a_suggestion(data, value, message):
    with pytest.raises(ConfigError) as error:
        EXTRACTOR.resolve(value, "kid.features", data.event)
    assert message in str(error.value)


def test_a_metric_named_after_an_extractor_allows_no_other():
    marker = replace(EXTRACTOR, allowed=("inception-legacy",))
    assert marker.resolve(None, "x", None) == marker.resolve({"weights": None}, "x", None)
    with pytest.raises(ConfigError, match="dinov2 is not inception-legacy"):
        marker.resolve("dinov2", "fid-legacy.features", None)


def test_every_extractor_explains_its_settings():
    for name in extractors:
        assert all(setting.meaning for setting in settings_of(extractors[name].build).values())
    for name in ("kid", "fid-legacy", "memorization", "precision_recall", "mind"):
        assert all(setting.meaning for setting in settings_of(metrics[name].build).values()), name
