"""The script that made the shipped weights gives classifiers as good."""

import pytest
import torch

from benchmarks.features import train


@pytest.mark.slow
def test_trained_again_it_is_as_accurate_as_what_is_shipped():
    held_out = train.RECIPES["digits_cnn"].images()[1]
    shipped = train.blank("digits_cnn").load()
    _, accuracy = train.trained("digits_cnn")
    assert accuracy >= shipped.accuracy(held_out.x, held_out.label) - 0.01
    assert accuracy > 0.97
    image = torch.zeros(300, 1, 8, 8, dtype=torch.uint8)
    image[:, :, 4, 5] = 9
    place = train.shifted(image, 1).flatten(1).argmax(1)
    rows, columns = place // 8, place % 8  # images are shifted by at most a pixel
    assert {*rows.tolist()} == {3, 4, 5}
    assert {*columns.tolist()} == {4, 5, 6}
