"""The script that made the shipped weights gives classifiers as good."""

import importlib.util
from pathlib import Path

import pytest
import torch

PATH = Path(__file__).parents[2] / "benchmarks" / "features" / "train.py"


@pytest.fixture(scope="module")
def train():
    spec = importlib.util.spec_from_file_location("train_features", PATH)
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["train_features"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits_cnn", "captions_cnn", "mnist5k_cnn"])
def test_trained_again_it_is_as_accurate_as_what_is_shipped(train, name):
    held_out = train.RECIPES[name].images()[1]
    shipped = train.RECIPES[name].blank().load()
    _, accuracy = train.trained(name)
    assert accuracy >= shipped.accuracy(held_out.x, held_out.label) - 0.01
    assert accuracy > 0.97


def test_images_are_shifted_by_at_most_a_pixel(train):
    image = torch.zeros(300, 1, 8, 8, dtype=torch.uint8)
    image[:, :, 4, 5] = 9
    place = train.shifted(image, 1).flatten(1).argmax(1)
    assert set(zip((place // 8).tolist(), (place % 8).tolist(), strict=True)) == {
        (row, column) for row in (3, 4, 5) for column in (4, 5, 6)
    }
