"""The picture of a run shows samples beside data, for every kind of data, and its failure fails nothing."""

import numpy as np
import pytest
import torch
from helpers import photographs, small_pictures
from helpers.fixed_samples import normal, task_of
from matplotlib import rc_context
from PIL import Image, ImageColor

from genbench.metrics.evaluation import Evaluation
from genbench.runs.monitoring import sample_files
from genbench.runs.monitoring.sample_files import (
    COLOR,
    GAP,
    INK,
    LABEL,
    TILE,
    save_image_grid,
    save_sample_picture,
    save_samples,
)
from genbench.testing.toys import LEVELS, AffineFlow, toy_tasks


@pytest.fixture(autouse=True)
def _drawn(monkeypatch):
    monkeypatch.setattr(sample_files, "sample_picture", small_pictures.DRAW)


def picture(folder, data, x, model=None):
    path = save_sample_picture(folder, Evaluation(data, 0, x=x, model=model), data)
    return np.asarray(Image.open(path).convert("RGBA"))


def tiles(pixels):
    return [pixels[LABEL + GAP :, k : k + TILE] for k in range(0, pixels.shape[1], TILE + GAP)]


def colors(tile):
    opaque = tile[tile[..., 3] > 0, :3].astype(int)
    return {color for color in (INK, COLOR) if (np.abs(opaque - ImageColor.getrgb(color)).max(1) <= 2).any()}


def of_dimension(dims):
    x = normal(300, dims, 0)
    return task_of(x), x


SHOWN = [(1, [{INK, COLOR}]), (2, [{INK}, {COLOR}]), (7, [{INK}, {COLOR}, {COLOR}])]


def test_the_ways_of_an_ode_have_a_tile_of_their_own(tmp_path):
    data, x = of_dimension(2)
    *_, ways = tiles(picture(tmp_path, data, x, AffineFlow(data.event, data.source)))
    assert colors(ways) == {INK, COLOR}


@pytest.mark.parametrize(("dims", "shown"), SHOWN)
def test_data_and_samples_have_tiles_in_their_colors_also_where_all_are_equal_or_huge(tmp_path, dims, shown):
    data, x = of_dimension(dims)
    for change in (lambda: None, lambda: x[:5].mul_(1e30), lambda: x.fill_(3.0)):  # the data too
        change()
        found = [colors(tile) for tile in tiles(picture(tmp_path, data, x))]
        assert all(wanted <= own for wanted, own in zip(shown, found, strict=True))


def test_principal_components_are_those_of_largest_variance():
    x = np.random.default_rng(0).normal(size=(5000, 4)) * [1.0, 9.0, 0.1, 3.0] + 5
    center, axes = sample_files._principal(x)
    np.testing.assert_allclose(center, 5, atol=0.5)
    np.testing.assert_allclose(np.abs(axes), np.eye(4)[:, [1, 3]], atol=0.1)


@pytest.mark.parametrize("own", [{"savefig.dpi": 300}, {"savefig.bbox": "tight"}, {"text.usetex": True}])
def test_settings_of_matplotlib_change_no_pixel(tmp_path, own):
    data = toy_tasks()["labeled images"]
    x = data.test.take(12, 0).x
    plain = picture(tmp_path, data, x)
    with rc_context(own):
        np.testing.assert_array_equal(picture(tmp_path, data, x), plain)


def test_samples_that_are_not_finite_are_left_out_and_a_failure_is_only_reported(tmp_path, caplog):
    data, x = of_dimension(2)
    x = x.clone()
    x[0] = torch.nan
    assert save_sample_picture(tmp_path, Evaluation(data, 0, x=x), data).is_file()
    assert save_sample_picture(tmp_path, Evaluation(data, 0, x=x * torch.nan), data) is None
    assert "no picture of the samples: no sample is finite" in caplog.text


@pytest.fixture(scope="module")
def images():
    """Twelve gray images of 4 x 4, in sixteen levels."""
    data = toy_tasks()["labeled images"]
    x, label = data.test.take(12, 0)
    return Evaluation(data, 0, x=x, label=label)


def test_images_lie_in_rows_of_ten_eight_times_enlarged_in_their_colors_and_are_kept(images, tmp_path):
    save_image_grid(tmp_path / "grid.png", images, images.data)
    grid = np.asarray(Image.open(tmp_path / "grid.png"))
    raw = images.data.space.decode(images.x).numpy()
    assert grid.shape == (2 * (4 * 8 + 2), 10 * (4 * 8 + 2))
    for i in range(12):
        row, column = divmod(i, 10)
        tile = grid[34 * row + 1 : 34 * row + 33, 34 * column + 1 : 34 * column + 33]
        np.testing.assert_array_equal(tile, np.kron(raw[i, 0], np.ones((8, 8))) * (255 // (LEVELS - 1)))
    assert not grid[34:, 2 * 34 :].any()  # no images 13 to 20
    save_samples(tmp_path, images, images.data)
    with np.load(tmp_path / "samples.npz") as kept:
        assert torch.equal(images.data.space.encode(torch.from_numpy(kept["samples"])), images.x)
        assert torch.equal(torch.from_numpy(kept["label"]), images.label)
    data = photographs.task(3, 3)
    x = data.test.take(3, 0).x
    save_image_grid(tmp_path / "colors.png", Evaluation(data, 0, x=x), data)
    grid = np.asarray(Image.open(tmp_path / "colors.png"))
    np.testing.assert_array_equal(grid[1:33, 35:67].transpose(2, 0, 1), data.space.decode(x).numpy()[1])
