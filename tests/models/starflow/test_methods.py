"""TARFlow and STARFlow: their sizes, published configurations, and wrong settings."""

import tomllib
from pathlib import Path

import pytest
import torch
from helpers.toy_transformer_flows import build

from genbench.core import Event, Normal
from genbench.errors import Unsupported
from genbench.registry import datasets, models
from genbench.settings import bind

PUBLISHED = {
    "tarflow-2-768-8-8": (
        "tarflow",
        Event((3, 64, 64), 1000, 2 / 256),
        {"patch": 2, "width": 768, "head": 64, "blocks": [8] * 8, "init": 0.01},
    ),
    "starflow-18(6)-2048": (
        "starflow",
        Event((4, 32, 32), 1000),
        {
            "patch": 1,
            "width": 2048,
            "head": 64,
            "blocks": [18, 2, 2, 2, 2, 2],
            "noise": 0.3,
            "conditional": True,
            "checkpoint": True,
        },
    ),
    "starflow-24(6)-3072": (
        "starflow",
        Event((4, 32, 32), 1, captions=("a photo of a frog",)),
        {
            "patch": 1,
            "width": 3072,
            "head": 64,
            "blocks": [24, 2, 2, 2, 2, 2],
            "noise": 0.3,
            "text": {"name": "transformers", "model": "google/flan-t5-xl", "shape": [128, 2048]},
            "checkpoint": True,
        },
    ),
}
"""TARFlow (patch-width-blocks-layers) on ImageNet at 64x64, and STARFlow (deep layers(blocks)-width) on the latents
of ImageNet and of captioned images at 256x256."""


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


def test_only_the_standard_normal_is_a_source():
    for source in (datasets["8gaussians-moons"].build().source, Normal((4,))):
        with pytest.raises(Unsupported, match=r"N\(0, I\)"):
            models["tarflow"].build(Event((2,)), source)


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
