"""The leaderboard: ranks, mean ranks and costs of results whose order is known."""

import dataclasses

import pytest
from helpers.leaderboards import NOISE, entry, known, run, suite
from scipy import stats

from genbench.analysis.leaderboard import Failed, leaderboard
from genbench.analysis.values import Failure
from genbench.errors import ConfigError


def test_ranks_have_ties_where_the_paired_test_sees_no_difference():
    found = leaderboard([suite(known())])
    for board in found.boards:
        assert {e.method: e.rank for e in board.entries} == {"cfm": 1, "otcfm": 2, "sbcfm": 2}
        assert (board.metric, board.better, board.budget, board.seeds) == ("w2", "lower", (9, 4), tuple(range(12)))
        assert entry(board, "cfm").mean == pytest.approx(3 + NOISE[0].mean())
        assert entry(board, "cfm").half == pytest.approx(stats.sem(NOISE[0]) * stats.t.ppf(0.975, 11))
        assert entry(board, "cfm").train_seconds == 2 + 5.5
    first, second, third = found.standings
    assert (first.method, first.mean, first.low, first.high, first.letters) == ("cfm", 1, 1, 1, "a")
    assert {second.letters, third.letters} == {"b"}
    assert second.low < 2.5 < third.high


def test_a_method_is_represented_by_its_fewest_settings_unless_all_are_asked_for():
    runs = known(2, ["moons"]) + [run("cfm", seed, 0.5, settings={"sigma": 0.5}) for seed in range(2)]
    found = leaderboard([suite(runs)])
    assert (entry(found.boards[0], "cfm").label, found.variants) == ("cfm", 1)
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


def test_mean_ranks_use_the_data_sets_with_most_comparisons():
    runs = known(2, ["moons", "mixture", "branches"]) + [run("cfm", s, 1.0, "gaussian") for s in range(2)]
    runs += [run("vp", s, 9.0, "moons") for s in range(2)]
    found = leaderboard([suite(runs)])
    assert set(found.over) == {"moons", "mixture", "branches"}  # three pairs on each of three, not six on one
    assert {standing.method for standing in found.standings} == {"cfm", "otcfm", "sbcfm"}


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
    assert not entry(board, "cfm").mark
    assert entry(board, "fm").mark


def test_mean_ranks_are_over_data_sets_with_the_same_seeds():
    runs = [*known(datas=["moons", "mixture"]), *known(seeds=5, datas=["8gaussians"])]
    ranking = leaderboard([suite(runs)])
    assert set(ranking.over) == {"moons", "mixture"}
    assert [board.data for board in ranking.boards][-1] == "8gaussians"


def test_data_sets_of_changed_settings_come_last():
    changed = [
        run(model, seed, 3 + number + NOISE[number, seed], "mixture", settings={"net": {"name": "mlp", "width": 8}})
        for number, model in enumerate(["cfm", "otcfm", "sbcfm", "fm"])
        for seed in range(12)
    ]
    ranking = leaderboard([suite([*changed, *known(datas=["moons"])])])
    assert [board.data for board in ranking.boards] == ["moons", "mixture"]


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
    assert (entry(found.boards[0], "cfm").label, entry(found.boards[0], "cfm").mean, found.variants) == ("cfm", 2.0, 2)


def test_a_grid_of_sampling_settings_that_differs_between_seeds_loses_no_seed():
    runs = [run("cfm", seed, 2.0 + seed) for seed in range(2)] + [run("cfm", 1, 9.0, sample={"tol": 1e-3})]
    (board,) = leaderboard([suite(runs)]).boards
    assert entry(board, "cfm").values == {0: 2.0, 1: 3.0}
