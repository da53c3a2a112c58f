"""Flows conditioned on captions."""

import json

import pytest
import torch
from helpers.toy_captions import EVENT, WORDS, build_text, flow
from helpers.toy_transformer_flows import points
from torch.testing import assert_close

from genbench.core import Batch, Event
from genbench.errors import ConfigError
from genbench.models.starflow.decoding import RULES, Guidance, sequential, weights
from genbench.runs.make_spec import make_spec, restore_spec


def test_guidance_moves_away_from_the_empty_caption():
    model = flow(WORDS)
    assert [block.net.conditioned for block in model.flow.blocks] == [True, False]  # only the deep block sees captions
    x0, label = points(EVENT, 4), torch.arange(4)
    assert_close(model.sample(x0, label=label, guidance=1e-9).x, model.sample(x0, label=label).x)
    block, u = model.flow.blocks[0], model.flow.patches.split(x0)
    guide = Guidance(model._null(4, x0.device), RULES["tarflow"], weights(1.0, 4, "constant"))

    def first(label, guide=None):
        """Return the token that is decoded first, which depends on the caption only."""
        with torch.no_grad():
            return block.inverse(u, model._prefix(label, x0), sequential, guide).u[:, 0]

    given, guided, null = first(label), first(label, guide), first(None)
    assert (((guided - given) * (given - null)).sum(1) > 0).all()
    assert_close(first(torch.full((4,), -1), guide), null)


@pytest.mark.parametrize("encoder", ["words", "transformers"])
def test_a_gradient_reaches_every_parameter(encoder, request):
    text = WORDS if encoder == "words" else {"name": encoder, "model": request.getfixturevalue("t5")}
    model = flow(text)
    model.classes.prepare()
    model.loss(model.draw(Batch(points(EVENT, 6), torch.arange(6) % 4), torch.Generator()))["loss"].backward()
    for place, weight in model.named_parameters():
        assert weight.grad is not None, place
        assert weight.grad.isfinite().all(), place
        assert weight.grad.abs().max() > 0, place


def test_text_needs_captions_and_a_prefix():
    with pytest.raises(ConfigError, match="needs data with captions"):
        build_text(Event((1, 4, 4), classes=4), 16, "words")
    with pytest.raises(ConfigError, match="needs data with captions"):
        make_spec("starflow", "digits", settings={"model": {"text": "words"}})
    with pytest.raises(ConfigError, match=r"model\.text needs model\.inject=prefix"):
        flow(WORDS, "tarflow", inject="add")
    with pytest.raises(ConfigError, match=r"heads=3 must divide model\.width=16"):
        build_text(EVENT, 16, {"name": "words", "heads": 3})
    with pytest.raises(ConfigError, match="no text encoder 'wrods'; did you mean 'words'"):
        build_text(EVENT, 16, "wrods")
    with pytest.raises(ConfigError, match="captions need a model with a text encoder"):
        flow(None, conditional=True).labels(["a cat"])


def test_a_spec_with_text_survives_json_and_defaults_do_not_count():
    def key(text):
        return make_spec("starflow", "digits-captions", metrics=[], settings={"model": {"text": text}}).train_key

    assert key("words") == key({"layers": 1}) == key({"name": "words", "heads": 4})
    assert len({key("words"), key(None), key({"layers": 2})}) == 3
    spec = make_spec("starflow", "digits-captions", metrics=[], settings={"model": {"text": "words"}})
    assert restore_spec(json.loads(json.dumps(spec.json()))) == spec


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
    x0 = points(EVENT, 1).expand(3, -1, -1, -1)
    one, two, none = model.sample(x0, label=model.labels(["a small dog", "a dog", ""])).x
    assert (one - two).abs().max() > 1e-4
    assert_close(none, model.sample(x0[:1]).x[0])


@pytest.mark.parametrize(
    ("caption", "message"),
    [
        ("a bigg cat", "the vocabulary lacks 'bigg'; did you mean 'big'"),
        ("a zebra", "the vocabulary lacks 'zebra'; known: a, big, cat, dog, small, the"),
        ("a big small cat", "has 4 words; write at most 3, as in training"),
    ],
)
def test_a_caption_that_cannot_be_encoded_is_an_error_and_leaves_the_table_unchanged(caption, message):
    model = flow(WORDS)
    with pytest.raises(ConfigError, match=message):
        model.labels(["a dog", "a small dog", caption])
    assert model.labels(["a small dog"]).tolist() == [4]
