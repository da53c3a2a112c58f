"""Presets are valid requests of every model that goes with their data, and give way to what is stated."""

import pytest

from genbench.errors import ConfigError
from genbench.runs.make_spec import make_spec
from genbench.runs.presets import PRESETS, with_preset


@pytest.mark.parametrize("model", ["cfm", "wcfm", "meanflow", "starflow", "gaussian"])
def test_a_quick_look_is_a_valid_request(model):
    metrics, settings = with_preset("quick", model, "digits", None, {"plan": {"steps": 7}})
    spec = make_spec(model, "digits", metrics=metrics, settings=settings)
    assert spec.plan["steps"] == 7
    assert {*spec.metrics} == {*PRESETS["quick"]["digits"]["metrics"]}


def test_what_is_stated_stays():
    metrics, settings = with_preset("quick", "cfm", "cifar10", ["w2"], {"evaluation": {"n": 3}})
    assert metrics == ["w2"]
    assert settings["evaluation"] == {"n": 3, "batch": 64}
    assert settings["model"]["net"]["channels"] == 24


def test_settings_that_a_model_lacks_are_left_out():
    _, settings = with_preset("quick", "gaussian", "cifar10", None, {})
    assert settings["model"] == {}


def test_other_presets_and_data_are_refused():
    with pytest.raises(ConfigError, match="no preset 'quik'; did you mean 'quick'"):
        with_preset("quik", "cfm", "digits", None, {})
    with pytest.raises(ConfigError, match="--preset quick is for cifar10 and digits, not for moons: leave it out"):
        with_preset("quick", "cfm", "moons", None, {})
