"""A board: which methods it compares, by which metric, and what it says of the others."""

from helpers.leaderboards import entry, known, run, suite

from genbench.analysis.dataset_board import OTHER_BUDGET, OTHER_SEEDS, near_best
from genbench.analysis.leaderboard import leaderboard
from genbench.registry import datasets, metrics
from genbench.report.formats import leaderboard as formats


def test_methods_with_another_budget_or_other_seeds_are_marked_and_not_ranked():
    runs = known(datas=["moons"])
    runs += [run("vp", seed, 1.0 + seed / 99, plan={"steps": 90}) for seed in range(12)]
    runs += [run("fm", seed, 1.0 + seed / 99) for seed in range(3)]
    (board,) = leaderboard([suite(runs)]).boards
    assert {e.method: e.mark for e in board.entries if e.rank is None} == {"vp": OTHER_BUDGET, "fm": OTHER_SEEDS}
    assert entry(board, "cfm").rank == 1
    text = "\n".join(formats.lines(leaderboard([suite(runs)])))
    assert "† 90 steps of 4: not ranked. ‡ 3 seeds: not ranked." in text


def test_more_seeds_than_the_others_are_no_advantage():
    runs = [r for r in known(datas=["moons"]) if r.seed < 5 or r.model == "cfm"]
    (board,) = leaderboard([suite(runs)]).boards
    assert board.seeds == (0, 1, 2, 3, 4)
    assert entry(board, "cfm").values.keys() == {0, 1, 2, 3, 4}
    assert {e.mark for e in board.entries} == {""}


def test_steps_to_quality_are_where_the_curve_is_within_5_percent_of_its_best():
    (board,) = leaderboard([suite([run("cfm", 0, 2.9, curve=[(1.0, 9.0), (4.0, 3.1), (16.0, 3.0)])])]).boards
    assert entry(board, "cfm").nfe == 16  # 3.0 <= 1.05 x 2.9 < 3.1
    rows = suite([run("cfm", 0, 0.9, curve=[(1.0, 0.5), (4.0, 0.86)], better="higher")]).values
    assert near_best(rows) == 4  # .86 >= .95 x .9
    assert near_best(rows[:1]) is None


def test_curves_are_those_of_the_runs_that_are_ranked():
    """Runs of another budget, whose curves have another metric, change nothing of what is said of these."""
    runs = known(datas=["moons"])
    for each in runs:
        each.record["results"][1:] = [row | {"metric": "sliced_w2"} for row in each.record["results"][1:]]
    (alone,) = leaderboard([suite(runs)]).boards
    others = [run("cfm", seed, 3.0, plan={"steps": 90}, curve=[(1.0, 3.0), (4.0, 3.0)]) for seed in range(12)]
    (board,) = leaderboard([suite([*runs, *others])]).boards
    assert (alone.curve, board.curve) == ("sliced_w2", "sliced_w2")
    assert entry(board, "cfm").nfe == entry(alone, "cfm").nfe


def test_a_single_seed_has_no_rank():
    (board,) = leaderboard([suite(r for r in known(datas=["moons"]) if r.seed == 0)]).boards
    assert {e.rank for e in board.entries} == {None}
    assert not any(e.mark for e in board.entries)


def test_the_headline_metric_of_every_data_set_is_one_that_it_measures_and_has_a_direction():
    for name in datasets:
        headline = datasets[name].traits["headline"]
        assert metrics[headline.partition(".")[0]].traits["better"] in ("lower", "higher")
    for name in ("moons", "mixture", "digits", "8gaussians-moons"):
        assert datasets[name].traits["headline"] in datasets[name].build().metrics


def test_a_headline_metric_without_a_direction_has_no_board():
    runs = [run("cfm", seed, 1.0 + seed, better="none") for seed in range(2)]
    assert not leaderboard([suite(runs)]).boards
