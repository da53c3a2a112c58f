"""Captioned images: images show what their labels say, and held-out combinations are missing from training."""

import pytest
import torch

from genbench.data.captions import CLASSES, STYLES
from genbench.errors import ConfigError
from genbench.registry import datasets

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


def test_wordings_are_balanced(digits):
    for part in ("train", "test"):
        counts = torch.bincount(whole(digits, part)[1], minlength=90).view(3, 30)
        assert (counts.amax(0) - counts.amin(0)).max() <= 1


def test_held_out_captions_are_marked(digits):
    names = combinations(digits, torch.arange(90))
    assert {name for name, out in zip(names, digits.captions.held_out, strict=True) if out} == DEFAULT


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
            tuple(f"thick {name}" for name in CLASSES),
            "leaves no class to learn from what 'thick' means",
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
