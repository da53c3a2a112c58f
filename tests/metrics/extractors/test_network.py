import torch
from helpers.photographs import patches

from genbench.metrics.extractors.feature_extractor import build_extractor


def test_features_do_not_depend_on_the_batch(data):
    net = build_extractor(data, "efficientnet_lite0")
    images = patches(11)
    alone = torch.cat([net(image[None]) for image in images])
    for size in (3, 11):
        parts = torch.cat([net(part) for part in images.split(size)])
        torch.testing.assert_close(parts, alone, rtol=1e-9, atol=1e-9)
    assert alone.std(0).mean() > 0.1


def test_gray_images_are_repeated_over_three_channels(data):
    net = build_extractor(data, "efficientnet_lite0")
    gray = patches(2)[:, :1]
    torch.testing.assert_close(net(gray), net(gray.expand(-1, 3, -1, -1)))
