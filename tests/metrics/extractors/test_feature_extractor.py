import pytest
import torch
from helpers.pixel_features import PixelExtractor, normal_images

from genbench.errors import Unsupported
from genbench.metrics.extractors import feature_extractor
from genbench.metrics.extractors.feature_extractor import extract


def test_features_are_extracted_in_batches(monkeypatch):
    monkeypatch.setattr(feature_extractor, "BATCH", 4)
    images, pixels = normal_images(10, 0), PixelExtractor()
    PixelExtractor.batches.clear()
    torch.testing.assert_close(extract(pixels, images), images.flatten(1).float())
    assert PixelExtractor.batches == [4, 4, 2]


def test_it_has_no_training_mode_and_no_classes():
    pixels = PixelExtractor()
    assert not torch.nn.Sequential(pixels).train()[0].training
    with pytest.raises(Unsupported, match="pixels is not a classifier"):
        pixels.logits(torch.zeros(1, 12))
