"""The picture: labels keep their order and a distance, and each method is named."""

import numpy as np
import pytest

from benchmarks.ladder.picture import apart, slopes


def test_labels_keep_their_order_and_their_distance():
    heights = np.sort(np.random.default_rng(0).random(12))
    moved = np.array(apart(heights, 0.05))
    assert (np.diff(moved) >= 0.05 - 1e-9).all()
    assert np.abs(moved - heights).max() < 0.3
    assert apart([0.1, 0.3, 0.9], 0.2) == pytest.approx([0.1, 0.3, 0.9])
    assert apart([0.5] * 3, 0.2) == pytest.approx([0.3, 0.5, 0.7])
    assert apart([0.05, 0.06], 0.2) == pytest.approx([0.0, 0.2])  # not over the axis


def test_every_method_is_named_and_colors_suit_dark_paper(contest):
    svg = slopes([contest("moons", [1, 2, 4, 8, 16], [0.5, 1, 2, 8, 4])]).decode()
    assert all(f">m{i}<" in svg for i in range(5))
    assert "prefers-color-scheme:dark" in svg
    assert ">moons, w2<" in svg
