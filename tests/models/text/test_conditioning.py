"""Text conditioning: captions become prefixes, and flows learn what they say."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from genbench.core import Batch, Event, Normal
from genbench.errors import ConfigError
from genbench.metrics.noise import noise
from genbench.models.starflow.guidance import RULES, Guidance, weights
from genbench.models.starflow.jacobi_decoding import sequential
from genbench.models.starflow.model import Example
from genbench.models.text import transformers_encoder
from genbench.models.text.conditioning import build
from genbench.registry import models
from genbench.runs.spec import resolve, restore
from genbench.settings import bind, call

CAPTIONS = ("a cat", "a big cat", "the dog, small", "a dog")
EVENT = Event((1, 4, 4), classes=4, captions=CAPTIONS)
SMALL = {"patch": 2, "width": 16, "head": 8, "blocks": [2, 1]}
WORDS = {"name": "words", "heads": 2}


def flow(text, name="starflow", **settings):
    torch.manual_seed(0)
    builder = models[name].build
    bound = bind(builder, {**SMALL, "text": text, **settings}, name, context=EVENT)
    model = call(builder, EVENT, Normal(EVENT.shape), settings=bound)
    stream = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=stream))
    return model


def points(n, dtype=torch.float32):
    return noise(Normal(EVENT.shape), n, 7).to(dtype)


def saved(folder, model):
    """Save a net of random weights with a tokenizer of words, as the hub has them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    spelled = ["<pad>", "</s>", "<unk>", "a", "the", "big", "small", "cat", "dog", ","]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(spelled)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    fast.save_pretrained(folder)
    model.eval().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def t5(tmp_path_factory):
    """A whole T5, encoder and decoder."""
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    config = T5Config(vocab_size=10, d_model=12, d_kv=4, d_ff=16, num_layers=2, num_heads=2, decoder_start_token_id=0)
    return saved(tmp_path_factory.mktemp("t5"), T5ForConditionalGeneration(config))


def test_a_caption_is_its_words_padded_and_the_empty_one_is_padding():
    text = build(EVENT, 16, WORDS | {"layers": 0})
    prefix = text(torch.tensor([0, 1, 2, 3, -1])) - text.position
    assert prefix.shape == (5, 3, 16)
    word = {name: prefix[row, place] for name, row, place in [("a", 0, 0), ("cat", 0, 1), ("big", 1, 1), ("dog", 3, 1)]}
    padding = prefix[4, 0]
    assert_close(prefix[0], torch.stack([word["a"], word["cat"], padding]))
    assert_close(prefix[1], torch.stack([word["a"], word["big"], word["cat"]]))
    assert_close(prefix[2, 1], word["dog"])  # the comma is no word
    assert_close(prefix[4], padding.expand(3, -1))


def test_layers_look_both_ways_and_a_prefix_does_not_depend_on_its_batch():
    text = build(EVENT, 16, WORDS | {"layers": 2})
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
        ("a bigg cat", "training knew no word 'bigg'; close: big"),
        ("a zebra", "training knew no word 'zebra'; known: a, big, cat, dog, small, the"),
        ("a big small cat", "has 4 words; the longest in training had 3"),
    ],
)
def test_a_caption_that_cannot_be_read_is_refused_and_leaves_the_table_alone(caption, message):
    model = flow(WORDS)
    with pytest.raises(ConfigError, match=message):
        model.labels(["a dog", "a small dog", caption])
    assert model.labels(["a small dog"]).tolist() == [4]


@pytest.mark.parametrize("name", ["starflow", "tarflow"])
@pytest.mark.parametrize("positions", ["rope", "learned"])
def test_the_inverse_is_exact_given_a_caption(name, positions):
    model = flow(WORDS, name, inject="prefix", positions=positions).double()
    x, label = points(5, torch.float64), torch.tensor([0, 1, 2, 3, -1])
    with torch.no_grad():
        z = model._latents(x, label).z
        assert_close(model.sample(z, label=label).x, x, atol=1e-10, rtol=1e-10)
        assert (model.sample(z, label=label.roll(1)).x - x).abs().amax((1, 2, 3)).min() > 1e-4
        assert_close(model.log_prob(x[4:]), model.log_prob(x, label=label)[4:])


def test_only_the_deep_block_of_starflow_sees_the_caption():
    model = flow(WORDS)
    assert [block.net.conditioned for block in model.flow.blocks] == [True, False]


def test_guidance_moves_away_from_the_empty_caption():
    model = flow(WORDS)
    x0, label = points(4), torch.arange(4)
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


def test_label_dropout_puts_the_empty_caption():
    model = flow(WORDS, label_dropout=1.0)
    batch = Batch(points(4), torch.arange(4))
    example = model.draw(batch, torch.Generator().manual_seed(0))
    dropped = model.loss(example)["loss"]
    as_empty = model.loss(example._replace(label=model.labels([""] * 4)))["loss"]
    as_given = model.loss(example._replace(label=batch.label))["loss"]
    assert_close(dropped, as_empty)
    assert (dropped - as_given).abs() > 1e-5


@pytest.mark.parametrize("encoder", ["words", "transformers"])
def test_a_gradient_reaches_every_parameter(encoder, request):
    text = WORDS if encoder == "words" else {"name": encoder, "model": request.getfixturevalue("t5")}
    model = flow(text)
    model.classes.prepare()
    model.loss(model.draw(Batch(points(6), torch.arange(6) % 4), torch.Generator()))["loss"].backward()
    for place, weight in model.named_parameters():
        assert weight.grad is not None, place
        assert weight.grad.isfinite().all(), place
        assert weight.grad.abs().max() > 0, place


def test_text_needs_captions_and_a_prefix():
    with pytest.raises(ConfigError, match="needs data with captions"):
        build(Event((1, 4, 4), classes=4), 16, "words")
    with pytest.raises(ConfigError, match="needs data with captions"):
        resolve("starflow", "digits", settings={"model": {"text": "words"}})
    with pytest.raises(ConfigError, match=r"model\.text needs model\.inject=prefix"):
        flow(WORDS, "tarflow", inject="add")
    with pytest.raises(ConfigError, match=r"heads=3 must divide model\.width=16"):
        build(EVENT, 16, {"name": "words", "heads": 3})
    with pytest.raises(ConfigError, match="no text encoder 'wrods'; did you mean 'words'"):
        build(EVENT, 16, "wrods")
    with pytest.raises(ConfigError, match="captions need a model with a text encoder"):
        flow(None, conditional=True).labels(["a cat"])


def test_captions_without_text_are_labels_as_before():
    model = flow(None, conditional=True)
    assert model.classes.table.shape == (4, 16)


def test_a_spec_with_text_survives_json_and_defaults_do_not_count():
    def key(text):
        return resolve("starflow", "digits-captions", metrics=[], settings={"model": {"text": text}}).train_key

    assert key("words") == key({"layers": 1}) == key({"name": "words", "heads": 4})
    assert len({key("words"), key(None), key({"layers": 2})}) == 3
    spec = resolve("starflow", "digits-captions", metrics=[], settings={"model": {"text": "words"}})
    assert restore(json.loads(json.dumps(spec.json()))) == spec


def test_pretrained_states_are_those_of_the_encoder(t5):
    """The oracle is transformers' own pipeline, one caption at a time."""
    from transformers import AutoTokenizer, T5EncoderModel

    text = build(EVENT, 16, {"name": "transformers", "model": t5})
    text.prepare()
    net, tokenizer = T5EncoderModel.from_pretrained(t5).eval(), AutoTokenizer.from_pretrained(t5)
    assert text.states.shape == (5, 5, 12)  # "the dog , small </s>"
    for row, caption in enumerate(("", *CAPTIONS)):
        with torch.no_grad():
            states = net(**tokenizer(caption, return_tensors="pt")).last_hidden_state[0]
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
    folder = saved(tmp_path, net)
    (states,) = transformers_encoder.encode(folder, None, ["the big dog"])
    read = net.text_model if kind == "clip" else net
    with torch.no_grad():
        expected = read(input_ids=torch.tensor([[4, 5, 8, 1]])).last_hidden_state[0]
    assert_close(states, expected, atol=1e-5, rtol=1e-5)
    assert build(EVENT, 16, {"name": "transformers", "model": folder}).states.shape == (5, 5, 8)


def test_a_trained_model_is_loaded_without_its_encoder(t5, tmp_path, monkeypatch):
    event, build_flow = EVENT, models["starflow"].build
    bound = bind(build_flow, {**SMALL, "text": {"name": "transformers", "model": t5}}, "starflow", context=event)
    assert bound["text"]["shape"] == [5, 12]
    model = call(build_flow, event, Normal(event.shape), settings=bound)
    x, label = points(4), torch.arange(4)
    assert model.loss(Example(x, label))["loss"].isnan()  # nothing was read yet, and nothing is made up
    model.classes.prepare()
    assert model.log_prob(x, label=label).isfinite().all()
    save_file(model.state_dict(), tmp_path / "model.safetensors")

    def gone(*_):
        raise AssertionError("the encoder was asked for")

    monkeypatch.setattr(transformers_encoder.hub, "folder", gone)
    monkeypatch.setattr(transformers_encoder, "_installed", gone)
    transformers_encoder.tokens_of.cache_clear()
    again = call(build_flow, event, Normal(event.shape), settings=json.loads(json.dumps(bound)))
    again.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert_close(again.log_prob(x, label=label), model.log_prob(x, label=label), atol=0, rtol=0)
    with pytest.raises(AssertionError, match="asked for"):
        again.labels(["a small cat"])


def test_new_captions_are_read_by_the_encoder(t5):
    text = build(EVENT, 16, {"name": "transformers", "model": t5})
    text.prepare()
    assert text.labels(["a small dog", "a cat"]).tolist() == [4, 0]
    other = build(Event(EVENT.shape, 1, captions=("a small dog",)), 16, {"name": "transformers", "model": t5})
    other.prepare()
    assert_close(text.states[5, :4], other.states[1, :4], atol=1e-5, rtol=1e-5)
    with pytest.raises(ConfigError, match="caption 'the big big small cat' has 6 tokens; a prefix of this model has 5"):
        text.labels(["the big big small cat"])


def test_what_is_missing_is_said_in_a_line(t5, tmp_path, monkeypatch):
    def refusal(**settings):
        with pytest.raises(ConfigError) as error:
            build(EVENT, 16, {"name": "transformers", **settings})
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "caption 'the dog, small' has 5 tokens, more than model.text.tokens=4" in refusal(model=t5, tokens=4)
    assert "the folder has no config.json" in refusal(model=str(tmp_path))
    assert "is of names on the hub" in refusal(model=t5, revision="main")
    assert "neither a folder nor a name on the hub" in refusal(model="no/such/folder/here")
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    said = refusal()
    assert "google/flan-t5-xl" in said
    assert "HF_HUB_OFFLINE is set" in said
    assert "model.text=words works without" in said
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "ENDPOINT", "http://127.0.0.1:9")  # nobody answers there
    assert "no network" in refusal()
    monkeypatch.setattr(transformers_encoder.importlib.util, "find_spec", lambda name: None)
    transformers_encoder.tokens_of.cache_clear()
    assert "pip install 'genbench[text]'" in refusal(model=t5)


def test_weights_that_are_missing_are_told_before_training(t5, tmp_path):
    import shutil

    folder = tmp_path / "t5"
    shutil.copytree(t5, folder)
    (folder / "model.safetensors").unlink()
    text = build(EVENT, 16, {"name": "transformers", "model": str(folder)})
    with pytest.raises(ConfigError, match=r"the folder has no \*\.safetensors"):
        text.prepare()
