import math

import pytest
import torch
from helpers.pixel_features import PixelExtractor, measured, normal_images

from genbench.metrics.image.kid import BANDWIDTH, mean_gaussian


def test_the_kernel_distance_is_unbiased_with_an_interval(data):
    def kid(raw, errors=False):
        return measured("kid", data, raw, errors, subsets=20, size=100)["kid"]

    spread = torch.tensor([kid(normal_images(400, seed))["value"] for seed in range(30, 46)])
    assert abs(spread.mean()) < 4 * spread.std() / 4
    shifted = [normal_images(400, seed, mean=140.0) for seed in range(16)]
    far = kid(shifted[0], errors=True)
    assert far["value"] > 10 * spread.std()
    assert far["protocol"].endswith("20 subsets of 100")
    of_far = torch.tensor([kid(raw)["value"] for raw in shifted]).std()
    assert 0.5 < far["details"]["half_interval"] / (2.2 * of_far) < 2  # a t interval of 12 halves
    few = measured("kid", data, normal_images(150, 0))["kid"]
    assert "100 subsets of 150" in few["protocol"]


@pytest.mark.parametrize("variance", [0.5, 4.5])
def test_the_mean_of_the_gaussian_kernel_is_that_in_closed_form(variance):
    """E k of points whose difference is N(m, v I) is (h^2 / (h^2 + v))^(d/2) exp(-m^2 / (2 (h^2 + v)))."""
    stream, n, d, apart = torch.Generator().manual_seed(0), 4000, 3, 5.0
    x, y = ((variance / 2) ** 0.5 * torch.randn(n, d, generator=stream) for _ in range(2))
    total = BANDWIDTH**2 + variance
    exact = (BANDWIDTH**2 / total) ** (d / 2) * math.exp(-(apart**2) / (2 * total))
    assert mean_gaussian(x + torch.tensor([apart, 0.0, 0.0]), y) == pytest.approx(exact, rel=0.003)


def test_with_a_wide_kernel_only_the_means_of_unit_vectors_count(data):
    raw = normal_images(500, 3, mean=140.0)
    value = measured("cmmd", data, raw)["cmmd"]
    means = []
    for rows in (raw, data.train.raw(3000, 0)[torch.arange(3000)]):
        means.append(torch.nn.functional.normalize(PixelExtractor()(rows), dim=1).double().mean(0))
    assert value["value"] == pytest.approx(10 * float((means[0] - means[1]).square().sum()), rel=0.02)
    of_training = measured("cmmd", data, normal_images(3000, 1))["cmmd"]
    assert of_training["value"] == pytest.approx(0, abs=1e-8)
    assert of_training["floor"] is None  # there are 1,000 held-out images
