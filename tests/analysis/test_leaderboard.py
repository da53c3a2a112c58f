"""The leaderboard: methods, effects and choices of results whose order is known."""

import dataclasses

import pytest
from helpers.leaderboards import NOISE, known, run, suite
from scipy import stats

from genbench.analysis.leaderboard import Failed, leaderboard
from genbench.analysis.values import Failure
from genbench.errors import ConfigError


def test_letters_and_effects_say_what_was_planted():
    found = leaderboard([suite(known())])
    for board in found.boards:
        assert board.pairs.letters == {"cfm": "a", "otcfm": "b", "sbcfm": "b"}
        assert (board.metric, board.better, board.budget, board.seeds) == ("w2", "lower", (9, 4), tuple(range(12)))
        entry = board.entry("cfm")
        assert entry.mean == pytest.approx(3 + NOISE[0].mean())
        assert entry.half == pytest.approx(stats.sem(NOISE[0]) * stats.t.ppf(0.975, 11))
    assert found.effects.scored == ("moons", "mixture")
    excess = 2.9 + NOISE[0].mean()  # the floor is 0.1
    ratios = {summary.method: summary.ratio for summary in found.effects.summaries}
    planted = {"otcfm": 0.5 + NOISE[1].mean() / 20, "sbcfm": 0.5 + NOISE[2].mean() / 20, "cfm": 0}
    assert ratios == pytest.approx({method: 1 + more / excess for method, more in planted.items()})
    assert found.methods[0] == "cfm"


def test_a_method_is_represented_by_its_fewest_settings_unless_all_are_asked_for():
    runs = known(2, ["moons"]) + [run("cfm", seed, 0.5, settings={"sigma": 0.5}) for seed in range(2)]
    found = leaderboard([suite(runs)])
    assert (found.boards[0].entry("cfm").label, found.variants) == ("cfm", 1)
    found = leaderboard([suite(runs)], variants=True)
    assert {e.method for e in found.boards[0].entries} == {"cfm", "cfm sigma=0.5", "otcfm", "sbcfm"}
    assert found.variants == 0


def test_a_run_of_two_suites_counts_once():
    assert leaderboard([suite(known()), suite(known(), "again")]) == leaderboard([suite(known())])


def test_a_seed_counts_once_however_often_it_failed():
    """One that failed with one budget and finished with another was two of three seeds."""
    failures = tuple(Failure("cfm", "moons", seed, "on fire") for seed in (0, 0, 5))
    found = leaderboard([dataclasses.replace(suite(known(2)), failures=failures)])
    assert found.failed == (Failed("cfm", "moons", 2, 3),)


def test_the_table_takes_the_data_sets_on_which_most_methods_are_compared():
    runs = known(2, ["moons", "mixture", "branches"]) + [run("cfm", s, 1.0 + s / 99, "gaussian") for s in range(2)]
    runs += [run("vp", s, 9.0 + s / 99, "mixture") for s in range(2)]
    found = leaderboard([suite(runs)], most=2)
    assert [board.data for board in found.boards][::3] == ["mixture", "gaussian"]
    assert (found.shown, len(found.effects.scored) + len(found.effects.unscored)) == (2, 2)


def test_an_unknown_data_set_is_refused():
    with pytest.raises(ConfigError, match="no results on a data set called 'moon'"):
        leaderboard([suite(known(2))], ["moon"])


def test_more_methods_with_fewer_seeds_do_not_replace_a_budget_with_more_runs():
    few = [
        run(model, seed, 3 + number + NOISE[number, seed], plan={"steps": 8})
        for number, model in enumerate(["cfm", "otcfm", "sbcfm", "fm"])
        for seed in range(3)
    ]
    (board,) = leaderboard([suite(known(datas=["moons"])), suite(few, "few")]).boards
    assert (board.budget.steps, len(board.seeds)) == (9, 12)
    assert board.entry("cfm").compared
    assert not board.entry("fm").compared


def test_evaluations_of_one_run_with_other_sampling_settings_are_methods_of_their_own():
    """Their values, curves and labels are those of one evaluation, whichever of them comes last."""
    tolerances = {1e-3: 5.0, 1e-5: 2.0, 1e-7: 3.0}
    runs = [
        run("cfm", seed, value, curve=[(1.0, 4 * value), (16.0, value)], sample={"tol": tol})
        for tol, value in tolerances.items()
        for seed in range(2)
    ]
    assert len({each.record["labels"]["run"] for each in runs}) == 2
    (board,) = leaderboard([suite(runs)], variants=True).boards
    assert {e.label: e.mean for e in board.entries} == {"cfm tol=0.001": 5.0, "cfm": 2.0, "cfm tol=1e-07": 3.0}
    for each in board.entries:
        assert {v.value for v in each.points} == {each.mean, 4 * each.mean}
    found = leaderboard([suite(runs)])
    assert (found.boards[0].entry("cfm").label, found.boards[0].entry("cfm").mean, found.variants) == ("cfm", 2.0, 2)


def test_a_grid_of_sampling_settings_that_differs_between_seeds_loses_no_seed():
    runs = [run("cfm", seed, 2.0 + seed) for seed in range(2)] + [run("cfm", 1, 9.0, sample={"tol": 1e-3})]
    (board,) = leaderboard([suite(runs)]).boards
    assert board.entry("cfm").values == {0: 2.0, 1: 3.0}
