import pytest
import torch
from helpers.pixel_features import measured, normal_images

from genbench.metrics.image.mind import sliced_distance


def normal(n, d, seed):
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_in_one_dimension_it_is_three_times_the_squared_distance():
    x, y = normal(200, 1, 0), normal(200, 1, 1).exp()
    expected = 3 * (x.flatten().sort().values - y.flatten().sort().values).square().mean()
    torch.testing.assert_close(sliced_distance(x, y, 7, 0), float(expected))
    assert sliced_distance(x, x.flip(0), 7, 0) == 0


def test_for_isotropic_gaussians_it_is_three_times_the_frechet_distance():
    x = normal(3000, 16, 0)
    shift = torch.linspace(-1, 1, 16, dtype=torch.float64)
    assert sliced_distance(x, x + shift, 1000, 0) == pytest.approx(3 * float(shift.square().sum()), rel=0.1)
    assert sliced_distance(x, 1.5 * x, 1000, 0) == pytest.approx(3 * 0.25 * 16, rel=0.05)


def test_of_the_larger_set_a_part_is_taken(data):
    x, y = normal(100, 4, 0), normal(300, 4, 1)
    assert sliced_distance(x, y, 50, 0) == sliced_distance(x, y, 50, 0) != sliced_distance(x, y, 50, 1)
    far = measured("monge_distance", data, normal_images(1000, 7, mean=138.0))["monge_distance"]
    near = measured("monge_distance", data, normal_images(1000, 8))["monge_distance"]
    assert far["value"] - near["value"] == pytest.approx(3 * 12 * 100, rel=0.15)
    assert near["value"] == pytest.approx(near["floor"], rel=0.5)
    assert "1000 directions" in near["protocol"]
    assert measured("monge_distance", data, normal_images(500, 8))["monge_distance"]["floor"] is not None
    assert measured("monge_distance", data, normal_images(1500, 8))["monge_distance"]["floor"] is None
