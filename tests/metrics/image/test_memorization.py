import resource

import pytest
import torch
from helpers.pixel_features import evaluation, measured, normal_images, task
from helpers.processes import apart

from genbench.metrics.image import memorization, precision_recall
from genbench.metrics.image.memorization import CenteredMixture, fld
from genbench.metrics.image.precision_recall import nearest
from genbench.metrics.measurement import measure


def test_copies_are_found_and_shown_next_to_their_originals(data):
    train = normal_images(3000, 1)
    samples = evaluation(data, torch.cat([normal_images(190, 11), train[:10]]))
    rows = measure(samples, "memorization", {"features": "pixels"}, True)
    assert rows[0]["value"] == pytest.approx(0.05 + 0.01, abs=0.015)
    assert rows[0]["floor"] == 0.01
    assert rows[1]["value"] == pytest.approx(1, abs=0.05)
    grid = samples.image_grids["neighbours"].unflatten(0, (10, 10))
    torch.testing.assert_close(grid[:, 0], grid[:, 1], rtol=0, atol=0)  # each copy next to its original
    assert {image.numpy().tobytes() for image in grid[:, 0]} == {image.numpy().tobytes() for image in train[:10]}
    copies = measured("memorization", data, train[:200])
    assert copies["memorization"]["value"] == 1.0
    assert copies["memorization.ratio"]["value"] == 0.0


def test_test_images_that_are_training_images_are_no_baseline():
    """With them copies would be no closer to training images than 1 % of the test images, and read 0."""
    train = normal_images(3000, 1)
    leaking = task(train, torch.cat([normal_images(950, 2), train[:50]]))
    copies, fresh = (measured("memorization", leaking, raw) for raw in (train[100:300], normal_images(200, 11)))
    assert copies["memorization"]["value"] == 1.0
    assert copies["memorization"]["details"]["duplicates"] == 50
    assert copies["memorization.ratio"]["value"] == 0.0
    clean = measured("memorization", task(train, normal_images(950, 2)), normal_images(200, 11))
    assert {name: row["value"] for name, row in fresh.items()} == {name: row["value"] for name, row in clean.items()}
    (row,) = measured("memorization", task(train, train[:1000]), normal_images(200, 11)).values()
    assert row["reason"].startswith("0 test images are too few")


def growth():
    """Return by how many MB the peak of a process grows, in a search of neighbors and in the fit of a mixture."""

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000

    train, samples = torch.randn(50_000, 128), torch.randn(1500, 128)
    CenteredMixture.EPOCHS = 1
    precision_recall.ROWS = memorization.ROWS = 100
    peaks = [peak()]
    nearest(samples, train)
    peaks.append(peak())
    CenteredMixture(samples, train, torch.Generator()).nats(samples[:1000])
    return peaks[1] - peaks[0], peak() - peaks[1]


def test_fifty_thousand_images_are_compared_in_blocks():
    """Their distances from 1,500 samples take 600 MB; a mixture keeps them in single precision."""
    search, fit = apart(growth)
    assert search < 200
    assert fit < 500


def test_the_density_of_a_centered_mixture_is_that_of_torch():
    stream = torch.Generator().manual_seed(0)
    centers, points, x = (torch.randn(n, 3, generator=stream, dtype=torch.float64) for n in (5, 200, 40))
    mixture = CenteredMixture(centers, points, stream)
    own = torch.distributions.Normal(centers, (mixture.log_variance / 2).exp()[:, None].expand(-1, 3))
    exact = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.ones(5)), torch.distributions.Independent(own, 1)
    )
    assert mixture.nats(x) == pytest.approx(-float(exact.log_prob(x).mean()) / 3, rel=1e-6)


def test_the_variance_around_one_center_is_the_mean_square_of_the_points():
    stream = torch.Generator().manual_seed(0)
    points = 0.3 * torch.randn(4000, 8, generator=stream, dtype=torch.float64)
    far = torch.full((1, 8), 5.0, dtype=torch.float64)  # so far that only one component is near the points
    mixture = CenteredMixture(torch.cat([points.mean(0, keepdim=True), far]), points, stream)
    # The broad component, at 0.9 of the distance, explains most points: the variance is that of those it leaves.
    assert 0.05 < float(mixture.log_variance[0].exp()) < 0.12


def test_fld_is_small_for_fresh_images_larger_for_wrong_ones_and_its_gap_shows_copies(data, monkeypatch):
    monkeypatch.setattr(CenteredMixture, "EPOCHS", 20)

    def values(raw):
        return [value.value for value in fld(evaluation(data, raw), features="pixels")]

    fresh, copies = values(normal_images(200, 5)), values(normal_images(3000, 1)[:200])
    shifted = values((normal_images(200, 5).float() + 20).clamp(max=255).byte())
    assert abs(fresh[0]) < 0.1 * abs(shifted[0])
    assert copies[0] > 10 * abs(fresh[0])
    assert copies[1] < -10 * abs(fresh[1])


def test_fld_of_equal_samples_is_the_same_whatever_was_measured_before(data, monkeypatch):
    monkeypatch.setattr(CenteredMixture, "BATCH", 100)  # of 3,000 images, so that their order counts
    monkeypatch.setattr(CenteredMixture, "EPOCHS", 3)
    first, second = (fld(evaluation(data, normal_images(80, 5)), features="pixels") for _ in range(2))
    assert first == second
