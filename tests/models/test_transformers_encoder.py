"""Frozen pretrained text encoders, with random weights in a local folder."""

import json
import shutil

import pytest
import torch
from helpers.toy_captions import CAPTIONS, EVENT, build_text, save_text_encoder
from helpers.toy_transformer_flows import SMALL, points
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from genbench.core import Batch, Event, Normal
from genbench.errors import ConfigError
from genbench.models import transformers_encoder
from genbench.registry import models
from genbench.settings import bind, call


def test_pretrained_states_are_those_of_the_encoder(t5):
    """The oracle is transformers' own pipeline, one caption at a time."""
    from transformers import AutoTokenizer, T5EncoderModel

    text = build_text(EVENT, 16, {"name": "transformers", "model": t5})
    text.prepare()
    net, tokenizer = T5EncoderModel.from_pretrained(t5).eval(), AutoTokenizer.from_pretrained(t5)
    assert text.states.shape == (5, 5, 12)  # "the dog , small </s>"
    for row, caption in enumerate(("", *CAPTIONS)):
        with torch.no_grad():
            states = net(tokenizer(caption, return_tensors="pt").input_ids).last_hidden_state[0]
        assert text.length[row] == len(states)
        assert_close(text.states[row, : len(states)], states, atol=1e-5, rtol=1e-5)
        prefix = text(torch.tensor([row - 1]))[0]
        assert_close(prefix[: len(states)], text.projection(states), atol=1e-5, rtol=1e-5)
        assert_close(prefix[len(states) :], text.padding.expand(5 - len(states), -1))


@pytest.mark.parametrize("kind", ["bert", "gpt2", "clip"])
def test_other_encoders_give_their_last_hidden_states(kind, tmp_path):
    import transformers as hf

    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    if kind == "bert":
        net = hf.BertModel(hf.BertConfig(vocab_size=10, **small))
    elif kind == "gpt2":
        net = hf.GPT2Model(hf.GPT2Config(vocab_size=10, n_embd=8, n_layer=1, n_head=2, n_positions=16))
    else:
        text = {"vocab_size": 10, "max_position_embeddings": 16, "eos_token_id": 1, **small}
        net = hf.CLIPModel(hf.CLIPConfig(text_config=text, vision_config={"image_size": 8, "patch_size": 4, **small}))
    folder = save_text_encoder(tmp_path, net)
    (states,) = transformers_encoder.encode(folder, None, ["the big dog"])
    read = net.text_model if kind == "clip" else net
    with torch.no_grad():
        expected = read(input_ids=torch.tensor([[4, 5, 8, 1]])).last_hidden_state[0]
    assert_close(states, expected, atol=1e-5, rtol=1e-5)
    text = build_text(EVENT, 16, {"name": "transformers", "model": folder})
    text.prepare()
    assert text.states.shape == (5, 5, 8)


def test_a_trained_model_has_no_captions_in_its_weights_and_reads_them_from_the_cache(t5, tmp_path, monkeypatch):
    event, build_flow = EVENT, models["starflow"].build
    bound = bind(build_flow, {**SMALL, "text": {"name": "transformers", "model": t5}}, "starflow", context=event)
    assert bound["text"]["shape"] == [5, 12]
    model = call(build_flow, event, Normal(event.shape), settings=bound)
    x, label = points(EVENT, 4), torch.arange(4)
    assert model.loss(Batch(x, label))["loss"].isfinite()
    assert {name for name in model.state_dict() if "classes" in name} == {
        f"classes.{name}" for name in ("padding", "projection.weight", "projection.bias")
    }
    save_file(model.state_dict(), tmp_path / "model.safetensors")

    def gone(*_):
        raise AssertionError("the encoder was asked for")

    monkeypatch.setattr(transformers_encoder, "_load", gone)
    transformers_encoder.tokenize.cache_clear()
    again = call(build_flow, event, Normal(event.shape), settings=json.loads(json.dumps(bound)))
    again.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert_close(again.log_prob(x, label=label), model.log_prob(x, label=label), atol=0, rtol=0)
    with pytest.raises(AssertionError, match="asked for"):
        again.labels(["a small cat"])


def test_new_captions_are_read_by_the_encoder(t5):
    text = build_text(EVENT, 16, {"name": "transformers", "model": t5})
    text.prepare()
    assert text.labels(["a small dog", "a cat"]).tolist() == [4, 0]
    other = build_text(Event(EVENT.shape, 1, captions=("a small dog",)), 16, {"name": "transformers", "model": t5})
    other.prepare()
    assert_close(text.states[5, :4], other.states[1, :4], atol=1e-5, rtol=1e-5)
    with pytest.raises(ConfigError, match="caption 'the big big small cat' has 6 tokens; this model takes at most 5"):
        text.labels(["the big big small cat"])


def test_missing_files_are_errors_of_one_line(t5, tmp_path, monkeypatch):
    def refusal(**settings):
        with pytest.raises(ConfigError) as error:
            build_text(EVENT, 16, {"name": "transformers", **settings})
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "caption 'the dog, small' has 5 tokens: raise model.text.tokens=4" in refusal(model=t5, tokens=4)
    assert "the folder lacks config.json" in refusal(model=str(tmp_path))
    folder = shutil.copytree(t5, tmp_path / "t5")
    (folder / "model.safetensors").unlink()
    text = build_text(EVENT, 16, {"name": "transformers", "model": str(folder)})
    with pytest.raises(ConfigError, match=r"the folder lacks \*\.safetensors"):
        text.prepare()
    monkeypatch.setattr(transformers_encoder.importlib.util, "find_spec", lambda name: None)
    transformers_encoder.tokenize.cache_clear()
    assert "pip install 'genbench[text]'" in refusal(model=t5)
