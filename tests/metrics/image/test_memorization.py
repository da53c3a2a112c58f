import resource

import pytest
import torch
from helpers.pixel_features import evaluation, measured, normal_images, task
from helpers.processes import apart

from genbench.metrics.image import precision_recall
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
    """Return by how many MB the peak of a process grows in a search of neighbors."""

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000

    train, samples = torch.randn(50_000, 128), torch.randn(1500, 128)
    precision_recall.ROWS = 100
    before = peak()
    nearest(samples, train)
    return peak() - before


def test_fifty_thousand_images_are_compared_in_blocks():
    """Their distances from 1,500 samples take 600 MB."""
    assert apart(growth) < 200
