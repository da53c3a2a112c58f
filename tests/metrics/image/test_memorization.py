import subprocess
import sys

import pytest
import torch
from helpers.pixel_features import evaluation, measured, normal_images, task

from genbench.metrics.image.memorization import CenteredMixture, fld
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


AT_SIZE = """
import resource

import torch

from genbench.metrics.image.memorization import CenteredMixture
from genbench.metrics.image.precision_recall import nearest

torch.manual_seed(0)
train, samples = torch.randn(50_000, 2048), torch.randn(3000, 2048)
nearest(samples[:500], train)
CenteredMixture.EPOCHS = 1
CenteredMixture(samples, train, torch.Generator()).nats(samples[:1000])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.slow
def test_fifty_thousand_images_of_2048_features_are_compared_in_blocks():
    """The distances of 3,000 samples to them take 1.2 GB as a whole; the process holds 2.8 GB, 0.4 GB of it images."""
    done = subprocess.run([sys.executable, "-c", AT_SIZE], check=True, capture_output=True, text=True)
    assert float(done.stdout) < 3.5


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


def test_fld_is_small_for_fresh_images_larger_for_wrong_ones_and_its_gap_shows_copies(data):
    def values(raw):
        return [value.value for value in fld(evaluation(data, raw), features="pixels")]

    fresh, copies = values(normal_images(300, 5)), values(normal_images(3000, 1)[:300])
    shifted = values((normal_images(300, 5).float() + 20).clamp(max=255).byte())
    assert abs(fresh[0]) < 0.1 * abs(shifted[0])
    assert copies[0] > 10 * abs(fresh[0])
    assert copies[1] < 10 * fresh[1] < 0


def test_fld_of_equal_samples_is_the_same_whatever_was_measured_before(data, monkeypatch):
    monkeypatch.setattr(CenteredMixture, "BATCH", 100)  # of 3,000 images, so that their order counts
    first, second = (fld(evaluation(data, normal_images(80, 5)), features="pixels") for _ in range(2))
    assert first == second
