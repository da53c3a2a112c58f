import pytest
import torch
from helpers.pixel_features import evaluation, measured, normal_images

from genbench.metrics.image.memorization import share_of_test
from genbench.metrics.measurement import measure


def test_copies_are_found_and_shown_next_to_their_originals(data):
    train = normal_images(3000, 1)
    samples = evaluation(data, torch.cat([normal_images(190, 11), train[:10]]))
    rows = measure(samples, "memorisation", {"features": "pixels"}, True)
    assert rows[0]["value"] == pytest.approx(0.05 + 0.01, abs=0.015)
    assert rows[0]["floor"] == 0.01
    assert rows[1]["value"] == pytest.approx(1, abs=0.05)
    grid = samples.image_grids["neighbours"].unflatten(0, (10, 10))
    torch.testing.assert_close(grid[:, 0], grid[:, 1], rtol=0, atol=0)  # each copy next to its original
    assert {image.numpy().tobytes() for image in grid[:, 0]} == {image.numpy().tobytes() for image in train[:10]}
    copies = measured("memorisation", data, train[:200])
    assert copies["memorisation"]["value"] == 1.0
    assert copies["memorisation.ratio"]["value"] == 0.0


def test_the_ratio_is_one_for_copies_and_a_half_for_fresh_images(data):
    train, test = normal_images(3000, 1), normal_images(1000, 2)

    def ratio(raw):
        return measured("copy_ratio", data, raw)["copy_ratio"]

    fresh = ratio(normal_images(1000, 5))
    assert fresh["value"] == pytest.approx(0.5, abs=0.05)
    assert fresh["floor"] == pytest.approx(0.5, abs=0.1)
    assert ratio(train)["value"] > 0.6
    assert ratio(test)["value"] == pytest.approx(0, abs=1e-6)
    x = train[:100].flatten(1).float()
    assert share_of_test(x, test[:100].flatten(1).float(), x)[0] == pytest.approx(1, abs=1e-9)
