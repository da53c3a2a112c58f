"""Drawing: marks lie where the numbers say."""

import numpy as np
from scipy.ndimage import gaussian_filter

from genbench.runs.monitoring import drawing


def test_a_point_is_drawn_at_its_place_and_one_outside_is_not():
    frame = np.array([-1.0, 1.0, -1.0, 1.0])
    drawn = drawing.scatter(np.array([[0.5, 0.75], [9.0, 0.0]]), frame, 80).astype(float)
    down, right = np.indices(drawn.shape)
    assert abs((down * drawn).sum() / drawn.sum() - (1 - 0.75) / 2 * 80) < 1
    assert abs((right * drawn).sum() / drawn.sum() - (0.5 + 1) / 2 * 80) < 1


def test_a_line_joins_its_ends():
    path = np.array([[[-1.0, 1.0]], [[1.0, -1.0]]])  # from the top left to the bottom right
    drawn = drawing.lines(path, np.array([-1.0, 1.0, -1.0, 1.0]), 60)
    assert (np.diag(drawn)[1:-1] > 100).all()
    assert not drawn[:20, 40:].any()


def test_the_blur_is_that_of_scipy_on_dark_ground():
    image = np.random.default_rng(0).random((40, 30))
    np.testing.assert_allclose(drawing.blurred(image, 1.1), gaussian_filter(image, 1.1, mode="constant"), atol=2e-3)


def test_a_histogram_is_a_density_and_reaches_both_ends():
    heights = drawing.histogram(np.random.default_rng(0).random(50_000), (0.0, 1.0), 237)
    assert len(heights) == 237
    np.testing.assert_allclose(heights, 1.0, atol=0.1)


def test_a_frame_is_square_and_holds_its_points():
    left, right, bottom, top = drawing.square([np.array([[0.0, 0.0], [4.0, 1.0]])], margin=1.5)
    assert (left, right, bottom, top) == (-1.0, 5.0, -2.5, 3.5)
    left, right, *_ = drawing.square([np.zeros((2, 2))])  # of equal points
    assert right > left
