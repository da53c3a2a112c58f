"""The design of transformer flows: its numbers of parameters, published configurations, and wrong settings."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.toy_transformer_flows import NAMES, build

from genbench.core import Event
from genbench.errors import ConfigError
from genbench.models.starflow.design import STARFLOW, TARFLOW
from genbench.registry import models
from genbench.settings import bind

LATENTS, DEEP = Event((4, 32, 32), 1000), {"patch": 1, "head": 64, "noise": 0.3, "checkpoint": True}
CAPTIONED, T5 = Event((4, 32, 32), 1, captions=("a photo of a frog",)), "google/flan-t5-xl"
TEXT = {"name": "transformers", "model": T5, "shape": [128, 2048]}
PUBLISHED = {
    "tarflow-2-768-8-8": (
        "tarflow",
        Event((3, 64, 64), 1000, 2 / 256),
        {"patch": 2, "width": 768, "head": 64, "blocks": [8] * 8, "init": 0.01},
    ),
    "starflow-18(6)-2048": ("starflow", LATENTS, DEEP | {"width": 2048, "blocks": [18, *[2] * 5], "conditional": True}),
    "starflow-24(6)-3072": ("starflow", CAPTIONED, DEEP | {"width": 3072, "blocks": [24, *[2] * 5], "text": TEXT}),
}
"""TARFlow (patch-width-blocks-layers) on ImageNet at 64x64, and STARFlow (deep layers(blocks)-width) on the latents
of ImageNet and of captioned images at 256x256."""


@pytest.mark.parametrize(("dims", "tokens"), [(2, 2), (8, 4), (10, 2), (11, 11)])
def test_a_vector_has_two_to_four_tokens_by_default_where_it_can(dims, tokens):
    assert TARFLOW.patches(Event((dims,))).count == tokens


def test_both_methods_have_equal_layers_and_parameters_by_default():
    for event in (Event((2,)), Event((1, 8, 8)), Event((1, 28, 28)), Event((3, 32, 32))):
        resolved = [bind(models[name].build, {}, name, context=event) for name in NAMES]
        assert sum(resolved[0]["blocks"]) == sum(resolved[1]["blocks"])
        counts = [sum(p.numel() for p in build(name, event).parameters()) for name in NAMES]
        assert abs(counts[0] / counts[1] - 1) < 0.05


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patch": 5}, "patch=5 does not divide"),
        ({"head": 48}, "head=48 must be even and divide"),
        ({"order": []}, "order"),
        ({"blocks": []}, "blocks"),
        ({"conditional": True}, "needs data with classes"),
        ({"patch": 8, "first": "shift"}, "would copy the only token"),
        ({"noise": -0.1}, "noise"),
        ({"width": 18, "head": 6}, "rotary=published cannot divide the 3 pairs of model.head=6 among 2 positions"),
    ],
)
def test_wrong_settings_are_errors(settings, message):
    with pytest.raises(ConfigError, match=message):
        build("starflow", Event((1, 8, 8)), **settings)


@pytest.mark.parametrize(
    ("head", "conditional", "pairs"),
    [
        (64, True, (12, 12, 8)),  # as published
        (32, True, (4, 4, 8)),  # as the papers' code has it (the golden numbers)
        (16, True, (3, 3, 2)),
        (64, False, (16, 16)),
        (6, False, None),
        (8, True, None),
    ],
)
def test_rotated_pairs_are_divided_as_published(head, conditional, pairs):
    design = replace(STARFLOW, width=head, head=head, conditional=conditional)
    event = Event((3, 8, 8), classes=2)
    if pairs is None:
        with pytest.raises(ConfigError, match=f"head={head} among"):
            design.architecture(event)
    else:
        assert design.architecture(event).pairs == pairs


@pytest.mark.parametrize(
    ("name", "millions"),
    [("tarflow-2-768-8-8", (460.1, 0.05)), ("starflow-18(6)-2048", (1410, 5)), ("starflow-24(6)-3072", (3800, 70))],
)
def test_published_configurations_have_the_published_number_of_parameters(name, millions):
    model, event, settings = PUBLISHED[name]
    with torch.device("meta"):
        built = build(model, event, **settings)
    count = sum(weight.numel() for weight in built.parameters())
    assert abs(count / 1e6 - millions[0]) < millions[1]


@pytest.mark.parametrize(
    ("suite", "published"), [("imagenet64", "tarflow-2-768-8-8"), ("imagenet256", "starflow-18(6)-2048")]
)
def test_suites_of_published_configurations_agree_with_them(suite, published):
    path = Path(__file__).parents[3] / "genbench/suites" / f"{suite}.toml"
    (first, *_) = tomllib.loads(path.read_text())["models"]
    model, event, settings = PUBLISHED[published]
    own = {name: value for name, value in first.items() if name not in ("name", "encoder", "sample", "checkpoint")}
    chosen, known = (
        bind(models[model].build, table, model, context=event) for table in (own, settings | {"checkpoint": False})
    )
    assert first["name"] == model
    assert chosen == known
