"""The text encoder with a vocabulary of the captions' own words."""

import pytest
import torch
from helpers.toy_captions import EVENT, WORDS, build_text, flow, points
from torch.testing import assert_close

from genbench.errors import ConfigError


def test_a_caption_is_its_words_padded_and_the_empty_one_is_padding():
    text = build_text(EVENT, 16, WORDS | {"layers": 0})
    prefix = text(torch.tensor([0, 1, 2, 3, -1])) - text.position
    assert prefix.shape == (5, 3, 16)
    word = {name: prefix[row, place] for name, row, place in [("a", 0, 0), ("cat", 0, 1), ("big", 1, 1), ("dog", 3, 1)]}
    padding = prefix[4, 0]
    assert_close(prefix[0], torch.stack([word["a"], word["cat"], padding]))
    assert_close(prefix[1], torch.stack([word["a"], word["big"], word["cat"]]))
    assert_close(prefix[2, 1], word["dog"])  # the comma is no word
    assert_close(prefix[4], padding.expand(3, -1))


def test_layers_are_bidirectional_and_a_prefix_does_not_depend_on_its_batch():
    text = build_text(EVENT, 16, WORDS | {"layers": 2})
    both = text(torch.tensor([0, 3]))
    assert (both[0, 0] - both[1, 0]).abs().max() > 1e-3  # "a" before "cat" is not "a" before "dog"
    assert_close(text(torch.tensor([3]))[0], both[1])


def test_new_captions_of_known_words_get_labels_of_their_own():
    model = flow(WORDS)
    label = model.labels(["a dog", "a small dog", "", "a big dog", "a small dog"])
    assert label.tolist() == [3, 4, -1, 5, 4]
    assert model.labels(["a big dog"]).tolist() == [5]
    x0 = points(1).expand(3, -1, -1, -1)
    one, two, none = model.sample(x0, label=model.labels(["a small dog", "a dog", ""])).x
    assert (one - two).abs().max() > 1e-4
    assert_close(none, model.sample(x0[:1]).x[0])


@pytest.mark.parametrize(
    ("caption", "message"),
    [
        ("a bigg cat", "the vocabulary lacks 'bigg'; did you mean 'big'"),
        ("a zebra", "the vocabulary lacks 'zebra'; known: a, big, cat, dog, small, the"),
        ("a big small cat", "has 4 words; the longest in training had 3"),
    ],
)
def test_a_caption_that_cannot_be_encoded_is_an_error_and_leaves_the_table_unchanged(caption, message):
    model = flow(WORDS)
    with pytest.raises(ConfigError, match=message):
        model.labels(["a dog", "a small dog", caption])
    assert model.labels(["a small dog"]).tolist() == [4]
