"""Tuning: equal budgets, and a selection that cannot read the test split."""

import json
from dataclasses import replace

import pytest
import torch

from genbench.analysis.tuning import grid_search, track_tuning
from genbench.cli.tune import table_of
from genbench.core import Data, Split
from genbench.errors import ConfigError, RunFailed
from genbench.metrics.measurement import validation_as_test
from genbench.registry import datasets
from genbench.runs import spec as specs
from genbench.runs.make_spec import make_spec
from genbench.runs.run import run
from genbench.runs.store import Store
from genbench.sweeps.executors import execute, local
from genbench.sweeps.suite import load

QUICK = {"plan": {"steps": 12, "batch_size": 32}, "evaluation": {"n": 128, "batch": 128}}


class OutOfReach(Split):
    """A split that must not be read."""

    size = None

    def batch(self, *arguments):
        raise AssertionError("the test split was looked at")

    take = batch


@pytest.fixture
def without_test(monkeypatch):
    """Every data set loses its test split."""
    build = specs._build_data

    def blinded(text, stamp) -> Data:
        return replace(build(text, stamp), test=OutOfReach())

    monkeypatch.setattr(specs, "_build_data", blinded)


def measured(search, store):
    execute(list(search.missing(store).values()), store, local(store, 1), lambda event: None)
    return search.measured(store)


def test_tuning_never_reads_the_test_split(without_test, tmp_path):
    over = {"model": {"kappa": [0.5, 2.0]}}
    search = grid_search(["wcfm"], "8gaussians", over, metric="sliced_w2", seeds=2, settings=QUICK)
    found = measured(search, Store(tmp_path))
    assert [candidate.text for candidate in found.candidates] == ["model.kappa=0.5", "model.kappa=2.0"]
    means = {c.text: sum(c.values("sliced_w2").values()) / 2 for c in found.candidates}
    assert found.chosen()["wcfm"].text == min(means, key=means.__getitem__)
    assert not found.missing(Store(tmp_path))
    protocols = {row["protocol"] for c in found.candidates for r in c.records for row in r["results"]}
    assert all("the validation split taking the place of the test split" in protocol for protocol in protocols)
    for setting in ("valid", "test"):  # the requested split is ignored
        search = grid_search(["cfm"], "moons", {"plan": {"lr": [0.1]}}, settings={"evaluation": {"split": setting}})
        assert search.candidates[0].specs[0].evaluation["split"] == "valid"
    data = datasets["moons"].build()
    assert torch.equal(validation_as_test(data).test.take(9, 3).x, data.valid.take(9, 3).x)
    assert validation_as_test(data) is validation_as_test(data)  # what is known of a task is computed once
    usual = make_spec("cfm", "moons", metrics=["sliced_w2"], settings=QUICK)
    with pytest.raises(AssertionError, match="looked at"):
        run(usual, Store(tmp_path / "tables"))


def test_images_are_compared_with_those_of_the_validation_split(tmp_path):
    rate, settings = {"plan": {"lr": [1e-3]}}, QUICK | {"metric": {"kid": {"split": "train"}}}
    search = grid_search(["cfm"], "digits", rate, metric="kid", seeds=1, settings=settings)  # the split is ignored
    ((row,),) = [record["results"] for record in measured(search, Store(tmp_path)).candidates[0].records]
    held_out = datasets["digits"].build().valid.size
    assert f"against {held_out} test images" in row["protocol"]
    assert row["details"]["n_reference"] == held_out
    published = {"metric": {"fid-legacy": {"statistics": __file__}}}
    with pytest.raises(ConfigError, match="compares with the validation split: omit the file"):
        grid_search(["cfm"], "digits", rate, metric="fid-legacy", settings=published)


def test_an_equal_budget_is_enforced():
    over = {"wcfm": {"kappa": [0.5, 1.0]}, "plan": {"lr": [1e-3, 3e-3]}}
    with pytest.raises(ConfigError, match="the same number of candidates: cfm has 2, wcfm has 4"):
        grid_search(["cfm", "wcfm"], "moons", over)
    search = grid_search(["cfm", "wcfm"], "moons", {**over, "cfm": {"sigma": [0.0, 0.1]}}, settings=QUICK)
    assert len(search.candidates) == 8
    assert {spec.seed for spec in search.specs} == {100, 101, 102}  # which no table reports
    assert {(s.plan["steps"], s.plan["batch_size"]) for c in search.candidates for s in c.specs} == {(12, 32)}
    assert search.candidates[-1].text == "model.kappa=1.0 plan.lr=0.003"
    with pytest.raises(ConfigError, match="every candidate needs the same budget"):
        grid_search(["cfm"], "moons", {"plan": {"steps": [10, 20]}})
    with pytest.raises(ConfigError, match=r"'steps': 20, .*its teacher included"):
        grid_search(["cfm", "reflow"], "moons", {"plan": {"lr": [0.1]}}, settings={"plan": {"steps": 10}})
    with pytest.raises(ConfigError, match="did you mean 'sigma'"):
        grid_search(["cfm"], "moons", {"model": {"sigam": [1.0]}})
    with pytest.raises(ConfigError, match=r"candidate cfm model.sigma=0.0 is there twice"):
        grid_search(["cfm"], "moons", {"model": {"sigma": [0, 0.0]}})
    with pytest.raises(ConfigError, match="neither lower nor higher"):
        grid_search(["cfm"], "moons", {"model": {"sigma": [0.0]}}, metric="norm")


def test_a_candidate_without_a_value_for_every_seed_is_not_chosen(tmp_path):
    search = grid_search(["cfm"], "moons", {"plan": {"lr": [1e-3, 1e18]}}, metric="sliced_w2", settings=QUICK)
    store = Store(tmp_path)
    found = measured(search, store)
    assert found.chosen()["cfm"].text == "plan.lr=0.001"
    assert len(found.candidates[1].values("sliced_w2")) < 3
    assert "Excluded, without a value for every seed: cfm plan.lr=1e+18." in " ".join(table_of(found).legend)
    lost = grid_search(["cfm"], "moons", {"plan": {"lr": [1e18]}}, metric="sliced_w2", settings=QUICK).measured(store)
    with pytest.raises(RunFailed, match="no candidate of cfm has a value"):
        lost.chosen()


def test_candidates_are_compared_after_training_with_the_main_solver(tmp_path):
    """Values along a curve or during training, which records hold too, decide nothing."""
    settings = {"plan": QUICK["plan"] | {"eval_every": 4}, "evaluation": QUICK["evaluation"] | {"curve": [1]}}
    search = grid_search(["cfm"], "moons", {"plan": {"lr": [1e-3, 1e-2]}}, metric="sliced_w2", settings=settings)
    found = measured(search, Store(tmp_path))
    for candidate in found.candidates:
        rows = [(r["spec"]["seed"], row) for r in candidate.records for row in r["results"]]
        assert {row["point"] for _, row in rows} == {"main", "curve", "training"}
        assert candidate.values("sliced_w2") == {seed: row["value"] for seed, row in rows if row["point"] == "main"}
    assert table_of(found).rows


def with_values(default, other, better="sliced_w2"):
    """Return a search whose second candidate, sigma = 0, is the default, with these values by seed."""
    search = grid_search(["cfm"], "moons", {"model": {"sigma": [0.1, 0.0]}}, metric=better, seeds=len(default))
    rows = ([(s.seed, value) for s, value in zip(c.specs, values, strict=True)]
            for c, values in zip(search.candidates, (other, default), strict=True))  # fmt: skip
    records = [
        tuple({"spec": {"seed": seed}, "results": [{"metric": better, "point": "main", "value": x}]} for seed, x in own)
        for own in rows
    ]
    candidates = [replace(c, records=own) for c, own in zip(search.candidates, records, strict=True)]
    return replace(search, candidates=tuple(candidates))


@pytest.mark.parametrize(
    ("default", "other", "chosen"),
    [
        ([1.0, 1.2, 1.4], [1.1, 1.1, 1.2], "0.0"),  # better on average, by less than the error of the difference
        ([1.1, 1.3, 1.5], [1.0, 1.2, 1.4], "0.1"),  # better for each seed, by the same: seeds vary more, but in common
        ([1.0, 1.2, 1.4], [1.4, 1.2, 1.5], "0.0"),
        ([1.0], [0.9], "0.1"),  # one seed states no error
        ([1.0], [1.0], "0.0"),
    ],
)
def test_a_tie_within_one_standard_error_goes_to_the_default(default, other, chosen):
    assert with_values(default, other).chosen()["cfm"].text == f"model.sigma={chosen}"


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
        with pytest.raises(ConfigError, match=r"on moons: remove one"):
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
