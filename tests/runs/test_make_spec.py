import re

import pytest

from genbench.errors import ConfigError
from genbench.runs.make_spec import make_spec, repeatable_spec, restore_spec


def test_the_settings_of_a_spec_request_the_same_run():
    own = {"model": {"encoder": {"name": "autoencoder", "width": 4}, "sigma": 0.1}, "metric": {"norm": {"n": 20}}}
    spec = make_spec("cfm", "digits", seed=3, metrics=["norm"], settings=own | {"sample": {"tol": 0.1}})
    assert make_spec("cfm", "digits", seed=3, metrics=["norm"], settings=spec.settings) == spec


def test_a_spec_of_which_a_metric_is_not_installed_is_restored_in_part_and_repeated_never():
    record = make_spec("cfm", "moons", metrics=["norm"]).json()
    record["metrics"]["own"] = {"name": "own", "version": 1}
    assert list(restore_spec(record).metrics) == ["norm"]
    with pytest.raises(ConfigError, match="own"):
        repeatable_spec(record)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("evaluation", {"curve_metrics": None}, "curve_metrics: None is wrong"),
        ("evaluation", {"curve_metrics": [["w2"]]}, "curve_metrics: [['w2']] is wrong"),
        ("model", {"version": 99}, "made with version 99 of model 'wcfm'"),
        ("stack", [{"seed": 0}, {"seed": None}], "a member of a stack needs a seed"),
        ("stack", [{"seed": 0}, {"seed": 1, "kapa": 2.0}], "wcfm has no setting 'kapa'; did you mean 'kappa'?"),
    ],
)
def test_a_spec_that_none_of_ours_can_be_is_refused_in_one_line(part, value, message):
    spec = make_spec("wcfm", "moons", metrics=[]).json()
    with pytest.raises(ConfigError, match=rf"^[^\n]*{re.escape(message)}[^\n]*$"):
        restore_spec(spec | {part: value if part == "stack" else spec[part] | value})


@pytest.mark.parametrize("seed", [-1, 2**63, True])
def test_a_seed_that_no_table_holds_is_refused(seed):
    with pytest.raises(ConfigError, match="a seed is a whole number from 0 on, below"):
        make_spec("cfm", "moons", seed=seed)


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("starflow", {"sample": {"guidance": 2.0}}, "sample.guidance needs labels and a model trained on them"),
        ("starflow", {"sample": {"denoise": True}}, "sample.denoise needs a model trained with Gaussian noise"),
        ("cfm", {"sample": {"guidance": 2.0}}, "sample.guidance needs labels and a model trained on them"),
    ],
)
def test_what_sampling_would_refuse_is_refused_before_training(model, settings, message):
    with pytest.raises(ConfigError, match=message):
        make_spec(model, "digits", metrics=[], settings=settings)
    make_spec(
        model,
        "digits",
        metrics=[],
        settings=settings | {"model": {"conditional": True} | ({"noise": 0.1} if model == "starflow" else {})},
    )


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("meanflow", {}, "the loss of meanflow depends on targets from its own"),
        ("consistency", {}, "the loss of consistency depends on targets from its own"),
        ("shortcut", {}, "the loss of shortcut depends on targets from its own"),
        ("reflow", {}, "reflow has no loss on validation data"),
        ("sdcfm", {}, "sdcfm has no loss on validation data"),
        (
            "shortcut",
            {"coupling": {"name": "semidiscrete", "points": 50}},
            "semidiscrete has no loss on validation data",
        ),
    ],
)
def test_a_model_that_has_no_loss_to_choose_weights_by_is_refused(model, settings, message):
    plan = {"plan": {"validate_every": 10, "stop": "validation"}}
    with pytest.raises(ConfigError, match=rf"{message}[^\n]*; choose plan\.stop=steps$"):
        make_spec(model, "digits", metrics=[], settings=plan | {"model": settings})
    make_spec(model, "digits", metrics=[], settings={"model": settings, "plan": {"validate_every": 10}})


@pytest.mark.parametrize("model", ["cfm", "otcfm", "wcfm", "tarflow"])
def test_a_model_that_has_a_loss_on_validation_data_may_be_chosen_by_it(model):
    make_spec(model, "digits", metrics=[], settings={"plan": {"validate_every": 10, "stop": "validation"}})


def test_released_weights_are_trained_for_no_steps():
    plan = {"released": 64 * "a", "steps": 0}
    kept = make_spec("cfm", "moons", metrics=[], settings={"plan": plan}).json()
    with pytest.raises(ConfigError, match=r"set plan\.steps=0"):
        make_spec("cfm", "moons", metrics=[], settings={"plan": plan | {"steps": 5}})
    with pytest.raises(ConfigError, match=r"set plan\.steps=0"):
        restore_spec(kept | {"plan": kept["plan"] | {"steps": 5}})
