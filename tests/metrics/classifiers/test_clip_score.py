"""CLIPScore is the cosine that CLIP's own forward pass gives, and a wrong folder is an error before training."""

import json
from string import ascii_lowercase

import pytest
import torch
from helpers.command_line import genbench
from torchmetrics.functional.multimodal import clip_score as of_torchmetrics
from torchmetrics.multimodal import CLIPScore

from genbench.errors import ConfigError
from genbench.metrics.classifiers.clip_score import Projected, check
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.measurement import measure
from genbench.registry import metrics

NAME = "torchmetrics:CLIPScore"
SMALL = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Save a CLIP of random weights, whose tokens are letters, as the hub has it."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("clip")
    letters = [letter + end for end in ("", "</w>") for letter in ascii_lowercase]
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters]
    (place / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (place / "merges.txt").write_text("#version: 0.2\n")
    text = {"vocab_size": len(tokens), "max_position_embeddings": 64, "eos_token_id": 1, **SMALL}
    vision = {"image_size": 8, "patch_size": 4, **SMALL}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=6)).save_pretrained(place)
    images = CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    CLIPProcessor(images, CLIPTokenizer.from_pretrained(place)).save_pretrained(place)
    return str(place)


def score(data, settings, n=8):
    x, label = data.test.take(n, 0)
    (row,) = measure(Evaluation(data, 0, x=x, label=label), NAME, {"revision": None, "n": None, **settings}, True)
    return row


def test_it_is_that_of_torchmetrics_and_of_the_network(captioned, folder):
    from transformers import CLIPModel, CLIPProcessor

    row = score(captioned, {"model": folder})
    net, processor = CLIPModel.from_pretrained(folder).eval(), CLIPProcessor.from_pretrained(folder)
    x, label = captioned.test.take(8, 0)
    images = list((captioned.space.decode(x).double() * 255 / 16).round().to(torch.uint8).expand(-1, 3, -1, -1))
    texts = [captioned.event.captions[i] for i in label]
    library = CLIPScore(lambda: (Projected(net), processor))
    library.update(images, texts)
    net.requires_grad_(False)
    assert row["value"] == pytest.approx(float(library.compute()), rel=1e-5)
    assert row["value"] == pytest.approx(float(of_torchmetrics(images, texts, lambda: (Projected(net), processor))))
    with torch.no_grad():
        inputs = processor(text=texts, images=images, return_tensors="pt", padding=True)
        inputs = {name: inputs[name] for name in ("input_ids", "attention_mask", "pixel_values")}
        cosines = net(**inputs).logits_per_image.diagonal() / net.logit_scale.exp()
    assert row["value"] == pytest.approx(max(100 * float(cosines.mean()), 0.0), rel=1e-4)
    assert row["details"]["standard_error"] == pytest.approx(100 * float(cosines.std()) / 8**0.5, rel=1e-3)
    assert row["floor"] is not None
    assert "CLIPScore of torchmetrics" in row["protocol"]
    assert row["better"] == "higher"


def test_other_data_and_samples_without_captions_have_none(captioned, folder, digits):
    assert "with captions" in score(digits, {"model": folder})["reason"]
    blank = Evaluation(captioned, 0, x=captioned.test.take(2, 0).x)
    settings = {"model": folder, "revision": None, "n": None}
    assert "no captions" in measure(blank, NAME, settings, False)[0]["reason"]


def test_a_folder_without_a_clip_is_an_error(folder, tmp_path, monkeypatch):
    assert NAME in metrics
    with pytest.raises(ConfigError, match=r"the folder has no \*\.safetensors"):
        check({"model": str(tmp_path), "revision": None})
    (tmp_path / "model.safetensors").write_text("none")
    with pytest.raises(ConfigError, match="holds no CLIP of transformers"):
        check({"model": str(tmp_path), "revision": None})
    monkeypatch.setenv("GENBENCH_OFFLINE", "1")
    with pytest.raises(ConfigError, match="is not a local folder, not in the hub's cache"):
        check({"model": "owner/name", "revision": None})


def test_it_is_one_line_before_training(tmp_path):
    (empty := tmp_path / "empty").mkdir()
    arguments = ("--model", "cfm", "--dataset", "digits-captions", "--metric", NAME, "--results", tmp_path)
    done = genbench("run", *arguments, "--set", f"metric.{NAME}.model={empty}", code=2)
    assert "the folder has no *.safetensors" in done.stderr
    assert "Traceback" not in done.stderr
