"""Grid search: equal budgets, and a selection that cannot read the test split."""

from dataclasses import replace

import pytest
import torch

from genbench.analysis.tuning.grid_search import grid_search
from genbench.core import Data, Split
from genbench.errors import ConfigError
from genbench.metrics.measurement import validation_as_test
from genbench.registry import datasets
from genbench.report.tuning_table import candidates_table
from genbench.runs import spec as specs
from genbench.runs.make_spec import make_spec
from genbench.runs.run import run
from genbench.runs.store import Store
from genbench.sweeps.execution import execute

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
    execute(list(search.missing(store).values()), store, 1, lambda event: None)
    return search.measured(store)


def test_tuning_never_reads_the_test_split(without_test, tmp_path):
    over = {"model": {"kappa": [0.5, 2.0]}}
    search = grid_search(["wcfm"], "8gaussians", over, metric="sliced_w2", seeds=2, settings=QUICK)
    found = measured(search, Store(tmp_path))
    assert [candidate.text for candidate in found.candidates] == ["model.kappa=0.5", "model.kappa=2.0"]
    means = {c.text: sum(c.values("sliced_w2").values()) / 2 for c in found.candidates}
    assert found.chosen()["wcfm"].candidate.text == min(means, key=means.__getitem__)
    assert not found.missing(Store(tmp_path))
    protocols = {row["protocol"] for c in found.candidates for r in c.records for row in r["results"]}
    assert all("the validation split taking the place of the test split" in protocol for protocol in protocols)
    with pytest.raises(ConfigError, match=r"evaluation\.split=test: .* on validation data: omit the split"):
        grid_search(["cfm"], "moons", {"plan": {"lr": [0.1]}}, settings={"evaluation": {"split": "test"}})
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
    with pytest.raises(ConfigError, match=r"candidate cfm model.sigma=0.0 is listed twice"):
        grid_search(["cfm"], "moons", {"model": {"sigma": [0, 0.0]}})
    with pytest.raises(ConfigError, match="neither lower nor higher"):
        grid_search(["cfm"], "moons", {"model": {"sigma": [0.0]}}, metric="norm")


def test_a_candidate_without_a_value_for_every_seed_is_not_chosen(tmp_path):
    search = grid_search(["cfm"], "moons", {"plan": {"lr": [1e-3, 1e18]}}, metric="sliced_w2", settings=QUICK)
    store = Store(tmp_path)
    found = measured(search, store)
    assert found.chosen()["cfm"].candidate.text == "plan.lr=0.001"
    assert len(found.candidates[1].values("sliced_w2")) < 3
    assert "Excluded, without a value for every seed: cfm plan.lr=1e+18." in " ".join(candidates_table(found).legend)
    lost = grid_search(["cfm"], "moons", {"plan": {"lr": [1e18]}}, metric="sliced_w2", settings=QUICK).measured(store)
    assert (lost.chosen(), lost.lost) == ({}, ["cfm"])


def test_candidates_are_compared_after_training_with_the_main_solver(tmp_path):
    """Values along a curve or during training, which records hold too, decide nothing."""
    settings = {"plan": QUICK["plan"] | {"eval_every": 4}, "evaluation": QUICK["evaluation"] | {"curve": [1]}}
    search = grid_search(["cfm"], "moons", {"plan": {"lr": [1e-3, 1e-2]}}, metric="sliced_w2", settings=settings)
    found = measured(search, Store(tmp_path))
    for candidate in found.candidates:
        rows = [(r["spec"]["seed"], row) for r in candidate.records for row in r["results"]]
        assert {row["point"] for _, row in rows} == {"main", "curve", "training"}
        assert candidate.values("sliced_w2") == {seed: row["value"] for seed, row in rows if row["point"] == "main"}
    assert candidates_table(found).rows


def test_with_one_seed_no_rule_on_standard_errors_is_stated(tmp_path):
    search = grid_search(["cfm"], "moons", {"model": {"sigma": [0.1, 0.0]}}, seeds=1, settings=QUICK, defaults=True)
    legend = candidates_table(measured(search, Store(tmp_path))).legend
    assert "One seed has no standard error: the best candidate is chosen." in legend
    assert not [line for line in legend if "within one standard error" in line]


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
    assert with_values(default, other).chosen()["cfm"].candidate.text == f"model.sigma={chosen}"


def test_a_choice_says_its_difference_from_the_default_and_where_nothing_more_was_tried():
    search = with_values([1.0, 1.2], [0.9, 1.0])
    search = replace(search, candidates=(search.candidates[0], replace(search.candidates[1], default=True)))
    (choice,) = search.chosen().values()
    assert choice.difference("sliced_w2") == pytest.approx((-0.15, 0.05))
    assert choice.edges == ("no larger model.sigma than 0.1 was tried",)
    (first, default), more = search.candidates, grid_search(["cfm"], "moons", {"model": {"sigma": [0.2]}}, seeds=2)
    wider = replace(search, candidates=(first, default, *more.candidates))  # its runs failed
    assert wider.chosen()["cfm"].edges == ()
    best = with_values([1.0, 1.2], [1.1, 1.3])
    best = replace(best, candidates=(best.candidates[0], replace(best.candidates[1], default=True)))
    assert best.json()["chosen"]["cfm"] == {
        "chosen": "model.sigma=0.0",
        "best": "model.sigma=0.0",
        "best_minus_default": None,
        "standard_error": None,
        "edges": ["no smaller model.sigma than 0 was tried"],
    }


def test_words_have_no_edge():
    search = grid_search(["wcfm"], "moons", {"model": {"kappa": ["elbow", 1.0, 2.0]}}, metric="sliced_w2", seeds=1)
    rows = [{"metric": "sliced_w2", "point": "main", "value": value} for value in (0.1, 0.2, 0.3)]
    records = [({"spec": {"seed": 100}, "results": [row]},) for row in rows]
    given = [replace(c, records=own) for c, own in zip(search.candidates, records, strict=True)]
    assert replace(search, candidates=tuple(given)).chosen()["wcfm"].edges == ()
