"""Whether images show what their captions say: real images do, and what is wrong with others is told apart."""

from dataclasses import replace

import pytest
import torch

from genbench.core import Event
from genbench.errors import Unsupported
from genbench.metrics.classifiers.captions_cnn import judge, seen
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.measurement import measure
from genbench.registry import datasets


@pytest.fixture(scope="module")
def data():
    return datasets["digits-captions"].build()


@pytest.fixture(scope="module")
def test(data):
    return data.test.take(1500, 0)


def read(data, x, label, name="caption_accuracy"):
    rows = measure(Evaluation(data, 0, x=x, label=label), name, {}, True)
    return {row["metric"].removeprefix("caption_accuracy."): row for row in rows}


def test_the_classifier_tells_class_and_look_apart(data):
    assert judge(data).accuracy["class"] > 0.97
    assert judge(data).accuracy["look"] > 0.99
    assert judge(data).accuracy["both"] > 0.96


def test_it_is_the_same_whatever_is_held_out(data):
    """Otherwise numbers of two choices could not be compared, and held-out combinations not be judged at all."""
    other = datasets["digits-captions"].build(held_out=("thick one", "inverted eight"))
    assert judge(other).classifier.sha256 == judge(data).classifier.sha256


def test_an_attribute_is_judged_whatever_the_other_is():
    probability = torch.tensor([[0.3, 0.0, 0.0], [0.2, 0.25, 0.25]]).flatten()[None].double()
    found = seen(probability, {"class": 2, "look": 3})
    assert found["class"].tolist() == [1]
    assert found["look"].tolist() == [0]


def test_real_images_show_what_their_captions_say(data, test):
    rows = read(data, test.x, test.label)
    for part in ("class", "look", "both", "held_out_class", "held_out_look", "held_out_both"):
        assert rows[part]["value"] > 0.96
        assert rows[part]["value"] == rows[part]["floor"]  # these are the images of the floor
    assert rows["both"]["n"] == 1250
    assert rows["held_out_both"]["n"] == 250
    assert (rows["classes_above_80"]["value"], rows["classes_above_80"]["n"]) == (10, 1250)


def test_a_wrong_class_and_a_wrong_look_are_told_apart(data, test):
    block = test.label // 30 * 30
    kind, look = test.label % 10, test.label // 10 % 3
    other_class = read(data, test.x, block + look * 10 + (kind + 1) % 10)
    assert other_class["class"]["value"] < 0.03
    assert other_class["look"]["value"] > 0.99
    assert other_class["both"]["value"] < 0.03
    assert other_class["classes_above_80"]["value"] == 0
    other_look = read(data, test.x, block + (look + 1) % 3 * 10 + kind)
    assert other_look["class"]["value"] > 0.96
    assert other_look["look"]["value"] < 0.01
    some_sevens = (kind == 7) & (torch.arange(len(kind)) % 2 == 0)
    asked_as_eights = read(
        data, test.x, test.label + some_sevens.long()
    )  # a third of what is asked as an eight is none
    assert asked_as_eights["classes_above_80"]["value"] == 9


def test_training_images_have_no_held_out_combination_to_be_judged_on(data):
    train = data.train.take(500, 0)
    rows = read(data, train.x, train.label)
    assert set(rows) == {"class", "look", "both", "classes_above_80"}
    assert rows["both"]["floor"] == pytest.approx(judge(data).accuracy["both"], abs=0.01)


def test_the_distance_leaves_held_out_combinations_out(data, test):
    row = read(data, test.x, test.label, "fd-captions_cnn")["fd-captions_cnn"]
    assert row["value"] == pytest.approx(0, abs=1e-3)
    assert row["n"] == row["details"]["n_reference"] == 1250
    assert row["floor"] > 1
    train = data.train.take(900, 1)
    near = read(data, train.x, train.label, "fd-captions_cnn")["fd-captions_cnn"]["value"]
    plain = datasets["digits"].build().train.take(900, 0)
    missing = read(data, plain.x, None, "fd-captions_cnn")["fd-captions_cnn"]["value"]
    assert near < 2 * row["floor"]
    assert missing > 10 * row["floor"]


def test_other_data_is_refused_with_a_reason(data, test):
    rows = read(data, test.x, None)
    assert rows["caption_accuracy"]["reason"] == "its samples were not asked for by caption"
    with pytest.raises(Unsupported, match="not captions"):
        judge(datasets["digits"].build())
    with pytest.raises(Unsupported, match="8x8"):
        judge(replace(data, event=Event((3, 32, 32), 90, captions=data.event.captions)))
    captions = replace(data.captions, attributes={"class": ("a",), "size": ("small",)})
    with pytest.raises(Unsupported, match="class and size apart"):
        judge(replace(data, captions=captions))
    assert "knows no captions" in read(data, test.x, test.label, "fd-digits_cnn")["fd-digits_cnn"]["reason"]
