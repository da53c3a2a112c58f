"""Captioned images: images show what their labels say, and held-out combinations are missing from training."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from genbench.data.captions import DIGITS
from genbench.data.transforms import TRANSFORMS
from genbench.errors import ConfigError
from genbench.registry import datasets
from genbench.testing import check_dataset

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


def test_captions_are_english(digits):
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


def test_a_caption_names_its_attributes(digits):
    for caption, label in zip(digits.event.captions, range(90), strict=True):
        look, kind = combinations(digits, torch.tensor([label]))[0].split()
        assert kind in caption
        assert (look in caption) == (look != "plain")


def test_every_image_of_a_split_comes_once_in_every_style_that_is_not_held_out(digits):
    plain = datasets["digits"].build()
    for part in ("train", "valid", "test"):
        raw, label = whole(plain, part)
        wanted = []
        for look in ("plain", "inverted", "thick"):
            shown = TRANSFORMS[look](raw, 16)
            names = [f"{look} {digits.captions.attributes['class'][i]}" for i in label.tolist()]
            wanted += [
                (name, image.numpy().tobytes())
                for name, image in zip(names, shown, strict=True)
                if part == "test" or name not in DEFAULT
            ]
        images, label = whole(digits, part)
        found = [(n, image.numpy().tobytes()) for n, image in zip(combinations(digits, label), images, strict=True)]
        assert sorted(found) == sorted(wanted)


def test_wordings_are_balanced(digits):
    for part in ("train", "test"):
        counts = torch.bincount(whole(digits, part)[1], minlength=90).view(3, 30)
        assert (counts.amax(0) - counts.amin(0)).max() <= 1


def test_held_out_captions_are_marked_and_missing_from_training_only(digits):
    held = {
        name for name, out in zip(combinations(digits, torch.arange(90)), digits.captions.held_out, strict=True) if out
    }
    assert held == DEFAULT
    assert not held & set(combinations(digits, whole(digits, "train")[1]))
    assert not held & set(combinations(digits, whole(digits, "valid")[1]))
    assert held < set(combinations(digits, whole(digits, "test")[1]))


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
        (("plain two",), "'plain two' is plain; training needs every plain class"),
        (
            tuple(f"thick {name}" for name in DIGITS),
            "leaves no class from which to learn what 'thick' means",
        ),
    ],
)
def test_impossible_combinations_are_refused(held_out, message):
    with pytest.raises(ConfigError, match=message):
        datasets["digits-captions"].build(held_out=held_out)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Ten classes of noise, in which no two images agree."""
    folder = tmp_path_factory.mktemp("photographs")
    stream = np.random.default_rng(0)
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    for part, count in (("train", 18), ("test", 9)):
        for name in names:
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = stream.integers(256, size=(32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{i:02}.png")
    return folder


def test_every_photograph_has_one_style_and_its_class_has_all_that_are_allowed(photographs):
    data = datasets["cifar10-captions"].build(path=str(photographs), valid=0, flip=False)
    plain = datasets["cifar10"].build(path=str(photographs), valid=0, flip=False)
    held = {"inverted cat", "inverted frog", "inverted truck", "grey horse", "grey ship"}
    for part in ("train", "test"):
        raw, kind = whole(plain, part)
        images, label = whole(data, part)
        names = combinations(data, label)
        assert len(images) == len(raw)
        kinds = data.captions.attributes["class"]
        for image, name in zip(images, names, strict=True):
            look, shown = name.split()
            same_class = TRANSFORMS[look](raw[kind == kinds.index(shown)], 255)
            assert (same_class == image).flatten(1).all(1).sum() == 1
        counts = {name: names.count(name) for name in set(names)}
        assert (held & set(names) == set()) == (part == "train")
        for name in kinds:
            own = [n for combination, n in counts.items() if combination.endswith(name)]
            assert max(own) == min(own)
            assert sum(own) == (18 if part == "train" else 9)
    assert "a photo of a frog" in data.event.captions
    assert "an inverted picture of an airplane" in data.event.captions
    assert "an image that shows a ship, grey" in data.event.captions


def test_styles_of_photographs_are_made_once_for_each_choice(photographs, monkeypatch):
    from genbench.data import captions

    first = datasets["cifar10-captions"].build(path=str(photographs), valid=10, flip=False)
    before = whole(first, "train")
    monkeypatch.setattr(captions, "_transformed", None)
    again = whole(datasets["cifar10-captions"].build(path=str(photographs), valid=10, flip=False), "train")
    assert_close(again, before)
    other = datasets["cifar10-captions"].build(path=str(photographs), valid=10, flip=False, held_out=("grey cat",))
    with pytest.raises(TypeError, match="not callable"):
        whole(other, "train")


def test_captioned_photographs_conform(photographs):
    assert check_dataset("cifar10-captions", {"path": str(photographs), "valid": 20})
