"""Splits of collections: what is held out of train."""

import numpy as np
import pytest
from helpers.image_trees import build, raw, write_images

from genbench.errors import ConfigError

pytestmark = pytest.mark.usefixtures("own_home")


def test_held_out_images_are_disjoint_and_always_the_same(tmp_path):
    made = write_images(tmp_path / "tree", {"a": 30, "b": 30})
    first, second = (build(tmp_path / "tree", valid=0.2, test=0.3) for _ in range(2))
    parts = [raw(split)[0] for split in (first.train, first.valid, first.test)]
    assert len({item.tobytes() for part in parts for item in part}) == len(made)
    for part, split in zip(parts, (second.train, second.valid, second.test), strict=True):
        np.testing.assert_array_equal(part, raw(split)[0])


def test_too_few_images_to_hold_some_out_are_refused(tmp_path):
    write_images(tmp_path / "tree", {"a": 30, "b": 3})
    with pytest.raises(ConfigError, match=r"class 'b' has 3 images in train, too few"):
        build(tmp_path / "tree", test=0.1)
    with pytest.raises(ConfigError, match=r"33 of 33 training images are to be held out for valid and test"):
        build(tmp_path / "tree", test=0.6, valid=0.4)
