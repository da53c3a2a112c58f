"""Grids: every sample at its place, in the colors of its raw data. Samples that return from their file."""

import numpy as np
import pytest
import torch
from helpers import photographs
from PIL import Image

from genbench.metrics.evaluation import Evaluation
from genbench.runs.monitoring.image_grids import save_image_grid, save_samples
from genbench.testing.toys import LEVELS, toy_tasks


@pytest.fixture(scope="module")
def images():
    """Twelve gray images of 4 x 4, in sixteen levels."""
    data = toy_tasks()["labeled images"]
    x, label = data.test.take(12, 0)
    return Evaluation(data, 0, x=x, label=label)


def test_images_lie_in_rows_of_ten_eight_times_enlarged(images, tmp_path):
    save_image_grid(tmp_path / "grid.png", images, images.data)
    grid = np.asarray(Image.open(tmp_path / "grid.png"))
    raw = images.data.space.decode(images.x).numpy()
    assert grid.shape == (2 * (4 * 8 + 2), 10 * (4 * 8 + 2))
    for i in range(12):
        row, column = divmod(i, 10)
        tile = grid[34 * row + 1 : 34 * row + 33, 34 * column + 1 : 34 * column + 33]
        np.testing.assert_array_equal(tile, np.kron(raw[i, 0], np.ones((8, 8))) * (255 // (LEVELS - 1)))
    assert not grid[34:, 2 * 34 :].any()  # no images 13 to 20


def test_colors_are_kept(tmp_path):
    data = photographs.task(3, 3)
    x = data.test.take(3, 0).x
    save_image_grid(tmp_path / "grid.png", Evaluation(data, 0, x=x), data)
    grid = np.asarray(Image.open(tmp_path / "grid.png"))
    np.testing.assert_array_equal(grid[1:33, 35:67].transpose(2, 0, 1), data.space.decode(x).numpy()[1])


def test_samples_return_from_their_file(images, tmp_path):
    save_samples(tmp_path, images, images.data)
    with np.load(tmp_path / "samples.npz") as kept:
        assert torch.equal(images.data.space.encode(torch.from_numpy(kept["samples"])), images.x)
        assert torch.equal(torch.from_numpy(kept["label"]), images.label)
