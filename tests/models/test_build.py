"""All registered models: their settings, their capabilities, and how they and encoders are built."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.toy_nets import UNET

from genbench.core import Event, Model, Normal, Transport
from genbench.errors import ConfigError, Unsupported
from genbench.models.build import build_encoder, build_model
from genbench.models.flow_matching.couplings.base import Coupled
from genbench.registry import datasets, models
from genbench.runs.component import model_class, sampler
from genbench.runs.make_spec import make_spec
from genbench.runs.spec import build_data
from genbench.settings import bind, settings_of

EVENTS = {
    "vectors": Event((2,)),
    "digits": Event((1, 8, 8), 10, 2 / 17),
    "photographs": Event((3, 32, 32), 10, 2 / 256),
    "captions": Event((1, 8, 8), 2, 0.0, ("a one", "a two three")),
}
RECORDED = json.loads(Path(__file__).with_name("settings.json").read_text())


def defaults(builder):
    return {name: repr(setting.default) for name, setting in settings_of(builder).items()}


def bound(name, event):
    try:
        return bind(models[name].build, {}, name, context=event)
    except (ConfigError, Unsupported) as reason:
        return str(reason)


@pytest.mark.parametrize("name", RECORDED)
def test_settings_are_the_recorded_ones_in_the_same_order(name):
    found = {"model": defaults(models[name].build), "sample": defaults(sampler(models[name]))}
    found |= {label: bound(name, event) for label, event in EVENTS.items()}
    assert json.dumps(json.loads(json.dumps(found))) == json.dumps(RECORDED[name])


# A capability that no model has would blank a column of every table.
FLOW_MATCHING = {"cfm", "eotcfm", "fm", "otcfm", "reflow", "sbcfm", "sdcfm", "vp", "wcfm", "wcfm-balanced"}
FLOW_MAPS = {"meanflow", "shortcut", "consistency", "lagrangian", "tvm", "eulerian", "progressive", "alphaflow"}


@pytest.mark.parametrize(("capability", "able"), [(Transport, FLOW_MATCHING), (Coupled, FLOW_MATCHING | FLOW_MAPS)])
def test_these_models_and_no_others_have_the_capability(capability, able):
    own = [name for name in models if "@" not in name]  # files of other tests stay registered
    assert {name for name in own if issubclass(model_class(models[name]), capability)} == able
    dense = {name for name in own if model_class(models[name]).log_prob is not Model.log_prob}
    assert dense >= FLOW_MATCHING | {"nsf", "starflow", "tarflow"}


def test_a_model_of_latents_has_the_source_of_its_latents_and_an_encoder_that_depends_on_no_seed():
    settings = {"model": {"net": UNET, "encoder": {"name": "autoencoder", "width": 4}}}
    spec = make_spec("cfm", "digits", metrics=[], settings=settings)
    data = build_data(spec.data)
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        found.append(build_model(spec.model, spec.encoder, data))
    one, other = found
    assert one.source == Normal(one.encoder.latent.shape)
    for a, b in zip(one.encoder.parameters(), other.encoder.parameters(), strict=True):
        assert torch.equal(a, b)
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    state = torch.get_rng_state()
    build_encoder(spec.encoder, data.event)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ["gaussian", "nsf", "tarflow", "fm", "vp", "a model of latents"])
def test_models_that_start_from_the_standard_normal_refuse_other_sources(name):
    encoder, data = None, build_data(make_spec("cfm", "moons", metrics=[]).data)
    if name == "a model of latents":
        name, encoder = "cfm", {"name": "autoencoder"}
    for source in (datasets["8gaussians-moons"].build().source, Normal((4,))):
        with pytest.raises(Unsupported, match=r"starts from N\(0, I\) of the shape of its data"):
            build_model({"name": name}, encoder, replace(data, source=source))


@pytest.mark.parametrize(
    ("name", "reason"), [("tarflow", "does not support continuous conditions"), ("wcfm-balanced", "conditions")]
)
def test_models_that_would_not_keep_conditions_are_refused(name, reason):
    spec = make_spec(name, "branches", metrics=[])
    with pytest.raises(Unsupported, match=reason):
        build_model(spec.model, None, replace(build_data(spec.data), source=Normal((3,))))


@pytest.mark.parametrize(
    ("model", "data", "settings"),
    [("nsf", "moons", {"bins": 2**63 - 1}), ("cfm", "digits", {"net": {"name": "unet", "channels": 2**31}})],
)
def test_a_setting_whose_arithmetic_overflows_is_refused_in_one_line(model, data, settings):
    with pytest.raises(ConfigError, match=f"{model}: a setting is too large: "):
        make_spec(model, data, metrics=[], settings={"model": settings})
