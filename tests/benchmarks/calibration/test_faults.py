"""Faults have the size that their names state."""

import pytest
import torch

from benchmarks.calibration import faults
from benchmarks.calibration.faults import Pool, Real

N = 4000


@pytest.fixture
def stream():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def points(stream):
    x, label = torch.randn(N, 2, generator=stream), torch.arange(N) % 8
    return Real(Pool.of(x, label), Pool.of(x + 100, label), 0)


@pytest.fixture
def images(stream):
    x = torch.randint(3, 14, (N // 4, 1, 8, 8), generator=stream, dtype=torch.uint8)
    label = torch.arange(N // 4) % 10
    return Real(Pool.of(x, label), Pool.of(torch.full_like(x, 16), label), 17)


def shares(pool, n=20_000):
    label = pool.draw(n, torch.Generator().manual_seed(1)).label
    return torch.bincount(label, minlength=int(pool.label.max()) + 1) / n


def test_exchanged_labels_keep_their_numbers(points, stream):
    before, after = points.pool.label, faults.mispair(points, 0.2, stream).label
    assert torch.equal(before.sort().values, after.sort().values)
    # Of 8 classes with equal odds, 1 in 8 exchanged labels is the same again.
    assert float((before != after).double().mean()) == pytest.approx(0.2 * 7 / 8, abs=0.02)


def test_moments_of_points_change_as_stated(points, stream):
    x = points.pool.x
    torch.testing.assert_close(faults.shift(points, 0.3, stream).x.mean(0) - x.mean(0), torch.tensor([0.3, 0.0]))
    scaled = faults.scale(points, 0.1, stream).x
    torch.testing.assert_close(scaled.std(0), 1.1 * x.std(0))
    torch.testing.assert_close(scaled.mean(0), x.mean(0), atol=1e-6, rtol=0)
    torch.testing.assert_close((faults.noise(points, 0.5, stream).x - x).std(), torch.tensor(0.5), atol=0.02, rtol=0)


def test_images_change_by_less_than_a_level_on_average_too(images, stream):
    x = images.pool.x.double()
    assert torch.equal(faults.shift(images, 0.0, stream).x, images.pool.x)
    brighter = faults.shift(images, 0.02, stream).x
    assert float((brighter - x).mean()) == pytest.approx(0.02 * 16, abs=0.01)
    noisy = faults.noise(images, 0.05, stream).x
    rounding = 1 / 6  # on average over the place between two levels, f (1 - f)
    assert float((noisy - x).var()) == pytest.approx((0.05 * 16) ** 2 + rounding, rel=0.05)
    flat = faults.scale(images, -0.2, stream).x.double()
    assert float(flat.mean()) == pytest.approx(float(x.mean()), abs=0.02)
    assert float(flat.var()) == pytest.approx(0.64 * float(x.var()) + rounding, rel=0.05)


def test_a_blur_keeps_the_mean_and_takes_variance_as_its_kernel_does(images, stream):
    sigma = 0.5
    blurred = faults.blur(images, sigma, stream).x.double()
    taps = torch.exp(-(torch.arange(-3.0, 4.0) ** 2) / (2 * sigma**2))
    kept = float((taps / taps.sum()).square().sum()) ** 2  # of independent pixels, away from the edges
    inner, before = blurred[..., 3:5, 3:5], images.pool.x.double()
    assert float(inner.mean()) == pytest.approx(float(before.mean()), abs=0.1)
    assert float(inner.var()) == pytest.approx(kept * float(before.var()) + 1 / 6, rel=0.08)


def test_odds_of_classes(points, stream):
    dropped = shares(faults.drop(points, 1.5, stream))
    torch.testing.assert_close(dropped, torch.tensor([0, 0.5, *[1.0] * 6]) / 6.5, atol=0.01, rtol=0)
    uneven = shares(faults.imbalance(points, 0.4, stream))
    torch.testing.assert_close(uneven, torch.tensor([1.4, 0.6] * 4) / 8, atol=0.01, rtol=0)


def test_copies_repeats_and_wrong_labels_have_their_share(points, stream):
    copied = faults.copy(points, 0.3, stream).draw(20_000, stream).x
    assert float((copied[:, 0] > 50).double().mean()) == pytest.approx(0.3, abs=0.01)
    assert len(faults.repeat(points, 50, stream).draw(2000, stream).x.unique(dim=0)) == 50
    wrong = faults.mislabel(points, 0.1, stream).label != points.pool.label
    assert float(wrong.double().mean()) == pytest.approx(0.1, abs=0.02)
