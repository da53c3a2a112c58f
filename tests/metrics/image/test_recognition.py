from dataclasses import replace

import pytest
import torch

from genbench.core import Event
from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.image.classifier import caption_classifier
from genbench.metrics.measurement import measure
from genbench.registry import datasets


@pytest.fixture(scope="module")
def real(captioned):
    return captioned.test.take(1500, 0)


def read(captioned, x, label, name="caption_accuracy"):
    rows = measure(Evaluation(captioned, 0, x=x, label=label), name, {}, True)
    return {row["metric"].removeprefix("caption_accuracy."): row for row in rows}


def test_real_images_show_what_their_captions_say(captioned, real):
    rows = read(captioned, real.x, real.label)
    for part in ("class", "look", "both", "held_out_class", "held_out_look", "held_out_both"):
        assert rows[part]["value"] > 0.96
        assert rows[part]["value"] == rows[part]["floor"]  # these are the images of the floor
    assert rows["both"]["n"] == 1250
    assert rows["held_out_both"]["n"] == 250
    assert (rows["classes_above_80"]["value"], rows["classes_above_80"]["n"]) == (10, 1250)


def test_a_wrong_class_and_a_wrong_look_are_told_apart(captioned, real):
    block = real.label // 30 * 30
    kind, look = real.label % 10, real.label // 10 % 3
    other_class = read(captioned, real.x, block + look * 10 + (kind + 1) % 10)
    assert other_class["class"]["value"] < 0.03
    assert other_class["look"]["value"] > 0.99
    assert other_class["both"]["value"] < 0.03
    assert other_class["classes_above_80"]["value"] == 0
    other_look = read(captioned, real.x, block + (look + 1) % 3 * 10 + kind)
    assert other_look["class"]["value"] > 0.96
    assert other_look["look"]["value"] < 0.01
    some_sevens = (kind == 7) & (torch.arange(len(kind)) % 2 == 0)
    asked_as_eights = read(
        captioned, real.x, real.label + some_sevens.long()
    )  # a third of what is asked as an eight is none
    assert asked_as_eights["classes_above_80"]["value"] == 9


def test_training_images_have_no_held_out_combinations(captioned):
    train = captioned.train.take(500, 0)
    rows = read(captioned, train.x, train.label)
    assert set(rows) == {"class", "look", "both", "classes_above_80"}
    assert rows["both"]["floor"] == pytest.approx(caption_classifier(captioned).accuracy["both"], abs=0.01)


def test_other_data_is_refused_with_a_reason(captioned, real):
    rows = read(captioned, real.x, None)
    assert rows["caption_accuracy"]["reason"] == "its samples have no captions"
    with pytest.raises(Unsupported, match="not captions"):
        caption_classifier(datasets["digits"].build())
    with pytest.raises(Unsupported, match="8x8"):
        caption_classifier(replace(captioned, event=Event((3, 32, 32), 90, captions=captioned.event.captions)))
    captions = replace(captioned.captions, attributes={"class": ("a",), "size": ("small",)})
    with pytest.raises(Unsupported, match="class and size"):
        caption_classifier(replace(captioned, captions=captions))
    rows = read(captioned, real.x, real.label, "fd-digits_cnn")
    assert "not for captions" in rows["fd-digits_cnn"]["reason"]


def test_class_balance_and_accuracy_follow_the_classes_of_the_samples(digits):
    def values(x, label=None):
        rows = measure(Evaluation(digits, 0, x=x, label=label), "class_balance", {}, True)
        return {row["metric"]: row["value"] for row in rows}

    x, label = digits.train.take(500, 3)
    assert values(x) == pytest.approx({"class_balance": 0.96}, abs=0.03)
    whole = digits.train.take(1197, 0)
    assert values(whole.x[whole.label == 1]) == pytest.approx({"class_balance": 0.1}, abs=0.02)
    assert values(x, label)["class_balance.accuracy"] > 0.98
    assert values(x, (label + 1) % 10)["class_balance.accuracy"] < 0.02


def test_the_floor_of_accuracy_is_that_of_test_images(digits):
    """The classifier was trained on the training images."""
    x, label = digits.test.take(digits.test.size, 0)
    _, row = measure(Evaluation(digits, 0, x=x, label=label), "class_balance", {}, True)
    assert row["metric"] == "class_balance.accuracy"
    assert row["floor"] == pytest.approx(row["value"], abs=1e-9)
    assert row["floor"] < 1
