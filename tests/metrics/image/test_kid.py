import math

import pytest
import torch
from helpers.pixel_features import PixelExtractor, measured, normal_images

from genbench.metrics.image.kid import Effects, cubic, kernel_between, squared_gaussian_mmd


def test_the_kernel_distance_is_unbiased_with_a_standard_error(data):
    values = [measured("kid", data, normal_images(400, seed), subsets=20, size=100)["kid"] for seed in range(30, 46)]
    spread = torch.tensor([row["value"] for row in values])
    error = values[0]["details"]["standard_error"]
    assert abs(spread.mean()) < 4 * spread.std() / 4
    assert 0.5 < error / spread.std() < 2
    shifted = [normal_images(400, seed, mean=140.0) for seed in range(16)]
    far = [measured("kid", data, raw, subsets=20, size=100)["kid"] for raw in shifted]
    assert far[0]["value"] > 10 * error
    assert far[0]["protocol"].endswith("20 subsets of 100")
    spread = torch.tensor([row["value"] for row in far]).std()
    assert 0.5 < far[0]["details"]["standard_error"] / spread < 2
    few = measured("kid", data, normal_images(150, 0))["kid"]
    assert "100 subsets of 150" in few["protocol"]
    small = [measured("kid", data, normal_images(150, seed, mean=140.0))["kid"] for seed in range(12)]
    spread = torch.tensor([row["value"] for row in small]).std()
    assert 0.5 < small[0]["details"]["standard_error"] / spread < 2


@pytest.mark.parametrize("apart", [0.0, 0.3])
def test_the_variance_of_a_kernel_distance_is_that_in_closed_form(apart):
    stream, n, d = torch.Generator().manual_seed(0), 400, 5
    real = torch.zeros(1, d, dtype=torch.float64)  # under the kernel x.y the distance is |mean of x|^2 without bias
    found, expected = [], 4 * apart**2 / n + 2 * d / (n * (n - 1))
    for _ in range(50):
        x = torch.randn(n, d, dtype=torch.float64, generator=stream)
        x[:, 0] += apart
        effects = Effects.of(x[:300] @ x.T, x[:300] @ real.T)
        assert effects.pairs == pytest.approx(d, rel=0.2)
        found.append(effects.variance(n))
    # Below 0, what is estimated of the first order counts as 0.
    assert sum(found) / len(found) == pytest.approx(expected, rel=0.15 if apart else 0.8)
    assert sum(found) / len(found) > 0.95 * expected


def test_the_means_of_rows_have_the_mean_of_all_pairs():
    x, y = (torch.randn(n, 5, dtype=torch.float64) for n in (7, 9))
    assert float(cubic(x, y).mean()) == pytest.approx(kernel_between(x.numpy(), y.numpy()))


def test_the_gaussian_mmd_of_two_gaussians_is_that_in_closed_form():
    stream, n, d, bandwidth = torch.Generator().manual_seed(0), 4000, 3, 2.0
    x = torch.randn(n, d, generator=stream) * 0.5
    y = torch.randn(n, d, generator=stream) * 1.5 + torch.tensor([1.0, 0.0, 0.0])

    def expected(apart, variance):  # E k of points whose difference is N(apart, variance I)
        total = bandwidth**2 + variance
        return (bandwidth**2 / total) ** (d / 2) * math.exp(-(apart**2) / (2 * total))

    exact = expected(0, 0.5) + expected(0, 4.5) - 2 * expected(1, 2.5)
    assert squared_gaussian_mmd(x, y, bandwidth) == pytest.approx(exact, rel=0.05)
    assert squared_gaussian_mmd(x, x, bandwidth) == pytest.approx(0, abs=1e-12)


def test_with_a_wide_kernel_only_the_means_of_unit_vectors_count(data):
    raw = normal_images(500, 3, mean=140.0)
    value = measured("gaussian_mmd", data, raw)["gaussian_mmd"]
    means = []
    for rows in (raw, data.train.raw(3000, 0)[torch.arange(3000)]):
        means.append(torch.nn.functional.normalize(PixelExtractor()(rows), dim=1).double().mean(0))
    assert value["value"] == pytest.approx(10 * float((means[0] - means[1]).square().sum()), rel=0.02)
