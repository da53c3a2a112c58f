"""Tuning of a track: its trials, and what they choose for the cells of its table."""

import json

import pytest

from genbench.errors import ConfigError
from genbench.sweeps.suite import load
from genbench.tuning.track_tuning import track_tuning

TRACK = """
datasets = ["moons", { name = "gaussian", dims = 3 }]
models = ["gaussian", { name = "cfm", trials = { plan = { lr = [1e-9] } } }]
metrics = ["sliced_w2"]
evaluation = { n = 256, batch = 256 }
stack = ["seed"]
budgets = [{ steps = 30, seeds = [0] }]
[track]
baseline = "gaussian"
tuning = { steps = 60, seeds = 2 }
"""


def test_the_better_candidate_on_validation_data_is_what_the_tuned_cells_have(tmp_path, cli):
    """A learning rate of 1e-9 learns nothing; beside it the default is chosen, and as a default it is replaced."""
    path = tmp_path / "some.toml"
    path.write_text(TRACK)
    results = tmp_path / "results"
    assert cli("tune", "--track", path, "--results", results)[0] == 0
    assert json.loads((tmp_path / "some.tuned.json").read_text()) == {
        "moons": {"cfm": {}},
        "gaussian dims=3": {"cfm": {}},
    }
    assert all(place["tables"] == ["default", "tuned"] for (place,) in load(path).places)

    path.write_text(TRACK.replace("1e-9", "2e-3").replace('{ name = "cfm",', '{ name = "cfm", plan = { lr = 1e-9 },'))
    assert cli("tune", "--track", path, "--results", results)[0] == 0
    track = load(path)
    rates = [
        (p["tables"], s.plan["lr"]) for s, (p,) in zip(track.specs, track.places, strict=True) if p["row"] == "cfm"
    ]
    assert rates == [(["default"], 1e-9)] * 2 + [(["tuned"], 2e-3)] * 2
    trials = json.loads((results / "tuning/some.json").read_text())
    assert {seed for each in trials for one in each["candidates"] for seed in one["values"]} == {"100", "101"}
    assert {each["budget"]["steps"] for each in trials} == {60}


def test_a_suite_that_is_no_track_has_nothing_to_tune(tmp_path, cli):
    code, _, err = cli("tune", "--track", "smoke", "--results", tmp_path)
    assert code == 2
    assert "is not a track: it has no [track]" in err
    for own in (("cfm",), ("--seeds", "9")):
        code, _, err = cli("tune", *own, "--track", "smoke")
        assert (code, "--track names a file that declares models, data sets, candidates and seeds" in err) == (2, True)
    path = tmp_path / "some.toml"
    path.write_text('datasets = ["moons"]\nmodels = [{ name = "cfm", trials = { plan = { lr = [1] } } }]\n')
    with pytest.raises(ConfigError, match=r"add \[track\]"):
        load(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [('"gaussian", {', '"gaussian", { name = "cfm", plan = { lr = 0.01 } }, {'), ('"moons",', '"moons", "moons",')],
)
def test_rows_of_one_label_are_refused(tmp_path, old, new):
    """The choice of one took the place of the other's: labels hold no plan."""
    path = tmp_path / "some.toml"
    path.write_text(TRACK.replace(old, new))
    for reader in (load, track_tuning):
        with pytest.raises(ConfigError, match=r"on moons is there twice"):
            reader(path)


def test_tables_of_a_suite_that_trials_do_not_measure_and_a_trial_of_a_default_are_left_out(tmp_path):
    (tmp_path / "some.toml").write_text(
        TRACK.replace("n = 256,", 'n = 256, curve = [2, 4], curve_metrics = ["w2"],')
        .replace('["sliced_w2"]', '["sliced_w2", "w2"]\nmetric = { sliced_w2 = { directions = 7 }, w2 = { n = 64 } }')
        .replace("[1e-9]", "[1e-3, 1e-9]")
    )
    load(tmp_path / "some.toml")
    for trials in track_tuning(tmp_path / "some.toml").trials:
        assert [candidate.settings for candidate in trials.search.candidates] == [{}, {"plan": {"lr": 1e-9}}]
        assert {spec.metrics["sliced_w2"]["directions"] for spec in trials.search.specs} == {7}
