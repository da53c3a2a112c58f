import pytest
import torch
from pixel_features import evaluation, measured, normal_images

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
