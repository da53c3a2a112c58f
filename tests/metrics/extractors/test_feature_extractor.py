"""Feature extractors: one build, features whatever the batch, and resizing."""

import numpy as np
import pytest
import torch
from helpers.photographs import patches
from helpers.pixel_features import PixelExtractor
from PIL import Image

from genbench.errors import Unsupported
from genbench.metrics.extractors import feature_extractor
from genbench.metrics.extractors.feature_extractor import build_extractor


def test_it_has_no_training_mode_and_no_classes():
    pixels = PixelExtractor()
    assert not torch.nn.Sequential(pixels).train()[0].training
    with pytest.raises(Unsupported, match="pixels is not a classifier"):
        pixels.logits(torch.zeros(1, 12))


def test_features_do_not_depend_on_the_batch(data):
    net = build_extractor(data, "efficientnet_lite0")
    images = patches(5)
    alone = torch.cat([net(image[None]) for image in images])
    torch.testing.assert_close(net(images), alone, rtol=1e-9, atol=1e-9)
    assert alone.std(0).mean() > 0.1
    gray = images[:2, :1]  # gray images are repeated over three channels
    torch.testing.assert_close(net(gray), net(gray.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize(("height", "width", "size"), [(32, 32, 48), (40, 30, 17)])
def test_bicubic_resizing_is_that_of_pillow_in_floats_on_the_central_square(height, width, size):
    images = torch.randint(256, (1, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = images[0, :, top : top + side, left : left + side].float().numpy()
    expected = [
        np.asarray(Image.fromarray(channel).resize((size, size), Image.Resampling.BICUBIC)) for channel in square
    ]
    torch.testing.assert_close(
        feature_extractor.bicubic(images, size)[0], torch.tensor(np.stack(expected)), rtol=0, atol=1e-3
    )
