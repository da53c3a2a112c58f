"""Tuning of a track: parts of it, earlier choices, and rows without a choice."""

import json

import numpy as np
import pytest
from helpers.tracks import written

from genbench.analysis.tuning.track_tuning import track_tuning
from genbench.errors import ConfigError
from genbench.suites import find
from genbench.sweeps import execution
from genbench.sweeps.suite import load

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
    path = written(tmp_path, TRACK)
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
    _, latest = sorted((results / "tuning").glob("some-*.json"), key=lambda path: path.stat().st_mtime_ns)
    trials = json.loads(latest.read_text())
    assert {seed for each in trials for one in each["candidates"] for seed in one["values"]} == {"100", "101"}
    assert {each["budget"]["steps"] for each in trials} == {60}


def test_options_that_a_track_sets_are_refused(cli):
    code, _, err = cli("tune", "--seeds", "9", "--track", "smoke")
    assert (code, "omit --over, --metric, --seeds and --set" in err) == (2, True)


@pytest.mark.parametrize(
    ("old", "new"),
    [('"gaussian", {', '"gaussian", { name = "cfm", plan = { lr = 0.01 } }, {'), ('"moons",', '"moons", "moons",')],
)
def test_rows_of_one_label_are_refused(tmp_path, old, new):
    """The choice of one took the place of the other's: labels hold no plan."""
    path = written(tmp_path, TRACK.replace(old, new))
    for reader in (load, track_tuning):
        with pytest.raises(ConfigError, match=r"(on moons|moons is listed twice): remove one"):
            reader(path)


def test_tables_of_a_suite_that_trials_do_not_measure_and_a_trial_of_a_default_are_left_out(tmp_path):
    text = (
        TRACK.replace("n = 256,", 'n = 256, curve = [2, 4], curve_metrics = ["w2"],')
        .replace('["sliced_w2"]', '["sliced_w2", "w2"]\nmetric = { sliced_w2 = { directions = 7 }, w2 = { n = 64 } }')
        .replace("[1e-9]", "[1e-3, 1e-9]")
    )
    load(written(tmp_path, text))
    for trials in track_tuning(tmp_path / "some.toml").trials:
        assert [candidate.settings for candidate in trials.search.candidates] == [{}, {"plan": {"lr": 1e-9}}]
        assert {spec.metrics["sliced_w2"]["directions"] for spec in trials.search.specs} == {7}


def test_trials_hold_out_images_where_the_track_trains_on_all_of_them(tmp_path, cli):
    """All candidates of cifar10-v1 were measured on no image, later on fewer images than Inception has features."""
    assert all(spec.data["valid"] == 0 for spec in load(find("cifar10-v1")).specs)
    searches = [trials.search for trials in track_tuning(find("cifar10-v1")).trials]
    specs = [spec for search in searches for candidate in search.candidates for spec in candidate.specs]
    assert {(spec.data["valid"], spec.evaluation["split"]) for spec in specs} == {(10_000, "valid")}
    assert {spec.evaluation["n"] for spec in specs} == {10_000}
    text = find("cifar10-v1").read_text().replace(", data = { valid = 10_000 }", "")
    (tmp_path / "cifar10-v2.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"data\.valid=0: .*tuning = \{ data"):
        track_tuning(tmp_path / "cifar10-v2.toml")
    words = ("tune", "cfm", "--dataset", "cifar10", "--set", "data.valid=0", "--over", "plan.lr=[1e-4,2e-4]")
    code, _, err = cli(*words, "--results", tmp_path)
    assert (code, "data.valid=0: tuning measures candidates on validation data: omit data.valid" in err) == (2, True)


def test_trials_on_the_test_split_are_refused_and_the_split_of_the_tables_is_not_theirs(tmp_path, cli):
    """Candidates were measured on validation data, whatever split their settings stated."""
    path = written(tmp_path, TRACK.replace("n = 256,", 'n = 256, split = "test",'))
    (specs, *_) = [trials.search.specs for trials in track_tuning(path).trials]
    assert {spec.evaluation["split"] for spec in specs} == {"valid"}
    path.write_text(TRACK.replace("seeds = 2 }", 'seeds = 2, evaluation = { split = "test" } }'))
    code, _, err = cli("tune", "--track", path, "--results", tmp_path)
    said = "genbench: evaluation.split=test: tuning measures candidates on validation data: omit the split\n"
    assert (code, err) == (2, said)


def test_paths_in_the_data_of_trials_are_relative_to_the_track(tmp_path, monkeypatch):
    """They were relative to the working folder, unlike all other paths of a suite."""
    for name in ("tables.npy", "trials.npy"):
        np.save(tmp_path / name, np.random.default_rng(0).normal(size=(200, 2)))
    text = TRACK.replace('"moons", { name = "gaussian", dims = 3 }', '{ name = "points", path = "tables.npy" }')
    (tmp_path / "some.toml").write_text(text.replace("seeds = 2 }", 'seeds = 2, data = { path = "trials.npy" } }'))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (trials,) = track_tuning(tmp_path / "some.toml").trials
    assert {spec.data["path"] for spec in trials.search.specs} == {str(tmp_path / "trials.npy")}


RATES = TRACK.replace(
    '"gaussian", { name', '"gaussian", { name = "otcfm", trials = { plan = { lr = [1e-9] } } }, { name'
)


def test_a_track_is_tuned_in_parts_and_every_part_keeps_the_choices_of_the_others(tmp_path, cli):
    path, chosen, results = written(tmp_path, RATES), tmp_path / "some.tuned.json", tmp_path / "results"

    def tune(*words):
        code, out, err = cli("tune", *words, "--track", path, "--results", results)
        assert code == 0, err
        return out, err

    out, err = tune("cfm", "--dataset", "moons")
    assert "4 runs to do" in err
    assert json.loads(chosen.read_text()) == {"moons": {"cfm": {}}}
    assert "some: sliced_w2 on the validation split of moons" in " ".join(out.split())
    assert "otcfm" not in out
    # Choices that are no longer trials are removed; choices from another results folder stay.
    old = {"nowhere": {"cfm": {}}, "gaussian dims=3": {"cfm": {"plan": {"lr": 1e-9}}, "otcfm": {"plan": {"lr": 0.5}}}}
    chosen.write_text(json.dumps(json.loads(chosen.read_text()) | old))
    _, err = tune("otcfm", "--dataset", "moons")
    assert "4 runs to do" in err
    assert "left out: this track has no row cfm on nowhere" in err
    assert "left out: {'plan': {'lr': 0.5}} is not a trial of otcfm on gaussian dims=3" in err
    kept = {"gaussian dims=3": {"cfm": {"plan": {"lr": 1e-9}}}, "moons": {"cfm": {}, "otcfm": {}}}
    assert json.loads(chosen.read_text()) == kept
    (trials,) = (results / "tuning").glob("some-*.json")
    assert [each["model"] for each in json.loads(trials.read_text())] == ["otcfm", "cfm"]
    load(path)
    assert "0 runs to do" in tune("--dataset", "moons")[1]
    chosen.write_text("{}")
    tune("cfm", "--dataset", "moons")
    assert json.loads(chosen.read_text()) == {"moons": {"cfm": {}}}  # trials of others may be running elsewhere
    for wrong, hint in ((("cmf",), "no trials of 'cmf'; did you mean 'cfm'?"), (("--dataset", "moon"), "'moons'")):
        code, _, err = cli("tune", *wrong, "--track", path, "--results", results)
        assert (code, hint in err) == (2, True)


def test_two_tunings_at_once_keep_the_choices_of_both(tmp_path, cli, monkeypatch):
    """The file is read again before it is written: the other tuning has other results."""
    path, chosen = written(tmp_path, RATES), tmp_path / "some.tuned.json"
    whole = execution.run_job

    def with_another(job, store, on_event):
        chosen.write_text('{"moons": {"otcfm": {"plan": {"lr": 1e-9}}}}')
        return whole(job, store, on_event)

    monkeypatch.setattr(execution, "run_job", with_another)
    assert cli("tune", "cfm", "--dataset", "moons", "--track", path, "--results", tmp_path / "results")[0] == 0
    assert json.loads(chosen.read_text()) == {"moons": {"cfm": {}, "otcfm": {"plan": {"lr": 1e-9}}}}


def test_a_row_without_a_value_costs_no_other_row_its_choice(tmp_path, cli):
    path = written(tmp_path, RATES.replace('"otcfm",', '"otcfm", plan = { lr = 1e18 },').replace("[1e-9]", "[1e19]", 1))
    code, out, err = cli("tune", "--dataset", "moons", "--track", path, "--results", tmp_path / "results")
    assert (code, "no candidate has a value for every seed: otcfm on moons" in err) == (1, True)
    assert "No candidate has a value for every seed: otcfm." in " ".join(out.split())
    assert json.loads((tmp_path / "some.tuned.json").read_text()) == {"moons": {"cfm": {}}}
    (path,) = (tmp_path / "results/tuning").glob("some-*.json")
    trials = json.loads(path.read_text())
    assert [(each["model"], [*each["chosen"]]) for each in trials] == [("otcfm", []), ("cfm", ["cfm"])]


def test_an_unsupported_row_keeps_its_defaults_and_is_no_failure(tmp_path, cli):
    row = 'models = [{ name = "nsf", trials = { model = { bins = [4] } } }, '
    path = written(
        tmp_path,
        TRACK.replace('["moons", { name = "gaussian", dims = 3 }]', '["moons-8gaussians"]')
        .replace('models = ["gaussian", ', row)
        .replace('"gaussian"', '"cfm"'),
    )
    code, out, _ = cli("tune", "--track", path, "--results", tmp_path / "results")
    assert (code, "Unsupported: nsf." in out, "No candidate" in out) == (0, True, False)
    assert json.loads((tmp_path / "some.tuned.json").read_text()) == {"moons-8gaussians": {"cfm": {}, "nsf": {}}}
    assert all(place["tables"] == ["default", "tuned"] for (place,) in load(path).places)
