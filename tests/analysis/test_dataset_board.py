"""A board: which methods it compares, by which metric, and what it says of the others."""

import dataclasses
import math

import pytest
from helpers.leaderboards import known, run, suite
from helpers.reports import refusal, row

from genbench.analysis.dataset_board import BASELINE, nfe_to_target
from genbench.analysis.leaderboard import leaderboard
from genbench.analysis.values import Failure
from genbench.registry import datasets, metrics


def board_of(runs, failures=(), **options):
    (board,) = leaderboard([dataclasses.replace(suite(runs), failures=tuple(failures))], **options).boards
    return board


def test_no_method_is_dropped_and_what_was_measured_otherwise_says_how():
    """Methods with fewer seeds were not ranked, and those with another n were left out without a word."""
    runs = known(datas=["moons"])
    runs += [run("vp", seed, 1.0 + seed / 99, plan={"steps": 90}) for seed in range(12)]
    runs += [run("fm", seed, 1.0 + seed / 99) for seed in range(3)]
    runs += [run("sdcfm", seed, 1.0 + seed / 99, n=32) for seed in range(12)] + [run("reflow", 0, 0.5)]
    runs += [run("meanflow", seed, 1.0 + seed / 99) for seed in range(10)]
    failures = [Failure("meanflow", "moons", seed, "the loss is not finite") for seed in (10, 11)]
    failures += [Failure("shortcut", "moons", seed, "the loss is not finite") for seed in (0, 0, 1)]
    board = board_of(runs, failures)
    assert {e.method: e.note for e in board.entries if e.note} == {
        "vp": "90 steps of 4",
        "fm": "3 of 12 seeds",
        "sdcfm": "n = 32",
        "reflow": "1 of 12 seeds: too few",
        "meanflow": "failed 2 of 12 seeds",
        "shortcut": "failed 2 of 2 seeds",
    }
    assert board.compared.keys() == {"cfm", "otcfm", "sbcfm", "fm", "reflow"}
    assert board.pairs.pairs["fm", "cfm"].pairs == 3
    assert board.pairs.letters["reflow"] == ""  # its mean is the best, but one seed tells nothing
    assert board.entry("meanflow").mean == pytest.approx(1.0 + 4.5 / 99)


@pytest.mark.parametrize(
    ("section", "far", "near", "label"),
    [("settings", {"kappa": 0.0902}, {"kappa": 0.5}, "wcfm kappa=0.5"),
     ("settings", {"kappa": 5.0}, {"kappa": 0.5}, "wcfm kappa=0.5"),
     ("sample", {"tol": 1e-2}, {"tol": 1e-6}, "wcfm tol=1e-06")],
)  # fmt: skip
@pytest.mark.parametrize("reverse", [False, True])
def test_of_settings_with_as_many_changes_the_nearest_to_the_defaults_represents_a_method(
    section, far, near, label, reverse
):
    """The first among the records did, which on digits was the kappa of W-CFM with twice the excess."""
    pairs = sorted([(far, 1.0), (near, 2.0)], key=str, reverse=reverse)
    wcfm = [run("wcfm", seed, value, **{section: own}) for own, value in pairs for seed in (0, 1)]
    assert board_of([*known(2, ["moons"]), *wcfm]).entry("wcfm").label == label


def test_a_method_that_cannot_have_the_metric_says_why():
    refused = [
        v._replace(model="flow", label="flow") for v in (refusal("flow", 0, "no flow"), refusal("flow", 1, "no flow"))
    ]
    found = suite(known(2, ["moons"]))
    found.__dict__["values"] = [*found.values, *refused]
    (board,) = leaderboard([found]).boards
    assert (board.entry("flow").values, board.entry("flow").note) == ({}, "unsupported: no flow")


def test_failures_of_another_budget_do_not_count_where_the_seed_finished():
    failures = [Failure("cfm", "moons", seed, "on fire") for seed in (0, 0, 1)]
    board = board_of(known(2, ["moons"]), failures)
    assert (board.entry("cfm").note, board.entry("cfm").compared) == ("", True)
    for budget, note in (((20_000, 4), ""), ((9, 4), "failed 1 of 3 seeds")):  # the runs have 9 steps of 4
        board = board_of(known(2, ["moons"]), [Failure("cfm", "moons", 7, "on fire", budget)])
        assert board.entry("cfm").note == note


def test_all_seeds_of_a_method_count_and_pairs_take_the_common_ones():
    board = board_of([r for r in known(datas=["moons"]) if r.seed < 5 or r.model == "cfm"])
    assert board.seeds == tuple(range(12))
    assert board.pairs.pairs["cfm", "otcfm"].pairs == 5
    assert {e.note for e in board.entries} == {"", "5 of 12 seeds"}


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_the_nfe_to_a_target_lies_on_a_line_in_logarithms(better):
    """Along value = 8 / NFE (or its inverse) the target is reached where the line says, between measured points."""
    law = (lambda nfe: 8 / nfe) if better == "lower" else (lambda nfe: nfe / 8)
    curve = [row("m", s, law(nfe), point="curve", nfe=float(nfe), better=better) for nfe in (1, 4, 16) for s in (0, 1)]
    curve += [row("m", s, law(64), nfe=64.0 + s, better=better) for s in (0, 1)]
    for nfe in (1, 3, 4, 11):
        assert nfe_to_target(curve, law(nfe)) == (pytest.approx(nfe), False)
    assert nfe_to_target(curve, law(0.5)) == (1, False)  # no flow has fewer
    assert nfe_to_target([v for v in curve if v.nfe != 1], law(3)) == (4, True)  # at most the first measured point
    assert nfe_to_target(curve, law(99)) == (math.inf, False)
    assert nfe_to_target(curve[:2], law(1)) is None
    shifted = [v._replace(value=v.value - 1) for v in curve]  # not positive: the first measured point that reaches it
    assert nfe_to_target(shifted, law(11) - 1) in ((16, True), (64, True))


def test_all_methods_have_the_target_of_the_baseline():
    runs = [run(BASELINE, s, 1.09 + s / 50, curve=[(1.0, 9.0), (4.0, 1.2), (16.0, 1.15)]) for s in (0, 1)]
    runs += [run("otcfm", s, 1.5, curve=[(1.0, 1.6), (4.0, 1.2)]) for s in (0, 1)]
    board = board_of(runs)  # the floor is 0.1, so the target is 0.1 + 1.1 x 1.0 = 1.2
    assert (board.nfe(BASELINE), board.nfe("otcfm")) == ((pytest.approx(4), False), (pytest.approx(4), False))
    assert board_of([each for each in runs if each.model == "otcfm"]).nfe("otcfm") is None
    otherwise = [Failure(BASELINE, "moons", 2, "on fire")]
    assert board_of(runs, otherwise).nfe("otcfm") is None  # the baseline is compared with no other


@pytest.mark.parametrize("mean", [0.02, 0.1, 0.13])
def test_a_baseline_that_is_not_clearly_above_the_floor_sets_no_target(mean):
    """Below the floor of 0.1, ten percent more excess was a target that the baseline itself did not reach."""
    runs = [run(BASELINE, s, mean + (s - 0.5) / 50, curve=[(1.0, 9.0), (4.0, mean)]) for s in (0, 1)]
    assert board_of(runs).nfe(BASELINE) is None


def test_curves_are_those_of_the_runs_that_are_compared():
    """Runs of another budget, whose curves have another metric, change nothing of what is said of these."""
    runs = known(datas=["moons"])
    for each in runs:
        each.record["results"][1:] = [row | {"metric": "sliced_w2"} for row in each.record["results"][1:]]
    others = [run("cfm", seed, 3.0, plan={"steps": 90}, curve=[(1.0, 3.0), (4.0, 3.0)]) for seed in range(12)]
    alone, board = board_of(runs), board_of([*runs, *others])
    assert (alone.curve, board.curve) == ("sliced_w2", "sliced_w2")
    assert board.entry("cfm").points == alone.entry("cfm").points


def test_the_headline_metric_of_every_data_set_is_one_that_it_measures_and_has_a_direction():
    for name in datasets:
        headline = datasets[name].traits["headline"]
        assert metrics[headline.partition(".")[0]].traits["better"] in ("lower", "higher")
    for name in ("moons", "mixture", "digits", "8gaussians-moons"):
        assert datasets[name].traits["headline"] in datasets[name].build().metrics


def test_a_headline_metric_without_a_direction_has_no_board():
    runs = [run("cfm", seed, 1.0 + seed, better="none") for seed in range(2)]
    assert not leaderboard([suite(runs)]).boards
