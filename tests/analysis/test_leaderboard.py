"""The leaderboard: ranks, mean ranks, marks and costs of results whose order is known."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from genbench.analysis.leaderboard import OTHER_BUDGET, OTHER_SEEDS, Board, Budget, Entry, leaderboard, near_best
from genbench.analysis.leaderboard import _letters as letters
from genbench.analysis.leaderboard import _standings as standings
from genbench.analysis.ranking import ranks
from genbench.analysis.suite_results import Run, SuiteResults
from genbench.errors import ConfigError
from genbench.registry import datasets, metrics
from genbench.report.formats import leaderboard as formats
from genbench.runs.requests import resolve
from genbench.runs.store import run_name

RESULTS = Path(__file__).parents[2] / "results"
NOISE = np.random.default_rng(0).normal(size=(4, 12))


def run(model, seed, value, data="moons", plan=None, curve=(), metric="w2", better="lower", settings=None):
    spec = resolve(
        model,
        data,
        seed=seed,
        metrics=["w2"],
        settings={"model": settings or {}, "plan": {"steps": 9, "batch_size": 4} | (plan or {})},
    )
    at = {"metric": metric, "floor": 0.1, "n": 64, "solver": "dopri5", "protocol": "exact", "better": better}
    rows = [at | {"point": "main", "value": value, "nfe": 100.0}]
    rows += [at | {"point": "curve", "value": y, "nfe": x, "solver": "euler"} for x, y in curve]
    labels = {"run": run_name(spec), "model": spec.model_label, "data": spec.data_label}
    cost = {"train_seconds": 2.0 + seed, "steps_per_second": 1.0, "parameters": 9, "train_peak_mib": 1.0}
    cost |= {"evaluate_peak_mib": 1.0, "evaluate_seconds": 1.0, "sample_seconds": 1.0}
    provenance = {"code": {}, "data": {"original": True}, "machine": {"device": "cpu"}, "cost": cost}
    record = {"labels": labels, "spec": spec.json(), "results": rows, "provenance": provenance}
    return Run(record, spec.model_label, None)


def suite(runs, name="tiny"):
    return SuiteResults(name, tuple(runs), ())


def known(seeds=12, datas=("moons", "circles")):
    """Cfm is .5 better than otcfm, which equals sbcfm up to noise; all share what depends on the seed."""
    runs = []
    for data in datas:
        for seed in range(seeds):
            shared = 3 + NOISE[0, seed]
            runs.append(run("cfm", seed, shared, data, curve=[(1.0, 9.0), (4.0, 3.1), (16.0, 3.0)]))
            runs.append(run("otcfm", seed, shared + 0.5 + NOISE[1, seed] / 20, data))
            runs.append(run("sbcfm", seed, shared + 0.5 + NOISE[2, seed] / 20, data))
    return runs


def entry(board, method):
    return next(e for e in board.entries if e.method == method)


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


def test_ranks_after_the_first_are_those_of_the_rest():
    jitter = NOISE[:3] / 100
    found = {name: dict(enumerate(place + row)) for name, place, row in zip("abc", (0, 1, 2), jitter, strict=True)}
    assert ranks(found, "lower") == {"a": 1, "b": 2, "c": 3}
    assert ranks(found, "higher") == {"c": 1, "b": 2, "a": 3}
    assert ranks({"a": {0: 1.0}, "b": {0: 2.0}}, "lower") == {"a": 1, "b": 1}  # one seed tells nothing


def board_of(values, data="d", better="lower"):
    """Return a board of {method: values by seed}, all ranked."""
    seeds = tuple(range(len(next(iter(values.values())))))
    entries = tuple(Entry(m, m, Budget(1, 1), dict(zip(seeds, own, strict=True)), 1) for m, own in values.items())
    return Board(data, "w2", better, "p", Budget(1, 1), seeds, {}, "", entries, True)


def test_mean_ranks_are_those_of_friedman_and_data_sets_count_equally():
    stream = np.random.default_rng(2)
    long, short = stream.normal(size=(3, 9)), stream.normal(size=(3, 4))
    found = standings(
        ["a", "b", "c"], [board_of(dict(zip("abc", x, strict=True)), str(x.shape)) for x in (long, short)]
    )
    expected = (stats.rankdata(long, axis=0).mean(1) + stats.rankdata(short, axis=0).mean(1)) / 2
    assert {s.method: s.mean for s in found} == pytest.approx(dict(zip("abc", expected, strict=True)))
    turned = standings(["a", "b", "c"], [board_of(dict(zip("abc", -long, strict=True)), better="higher")])
    plain = standings(["a", "b", "c"], [board_of(dict(zip("abc", long, strict=True)))])
    assert turned == plain


def test_methods_that_are_equal_are_told_apart_in_at_most_one_of_twenty_families():
    wrong = 0
    for seed in range(200):
        values = np.random.default_rng(seed).normal(size=(2, 3, 5))
        found = standings(list("abc"), [board_of(dict(zip("abc", x, strict=True))) for x in values])
        wrong += not set.intersection(*(set(s.letters) for s in found))
    assert wrong / 200 <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5
    assert wrong  # and the test is not idle


def test_two_methods_share_a_letter_exactly_if_they_are_not_told_apart():
    stream = np.random.default_rng(1)
    for _ in range(50):
        pairs = [(a, b) for a in range(6) for b in range(a) if stream.random() < 0.5]
        found = letters(list(range(6)), pairs)
        for a in range(6):
            for b in range(a):
                assert bool(set(found[a]) & set(found[b])) == ((a, b) not in pairs)


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


def test_a_method_is_represented_by_its_fewest_settings_unless_all_are_asked_for():
    runs = known(2, ["moons"]) + [run("cfm", seed, 0.5, settings={"sigma": 0.5}) for seed in range(2)]
    found = leaderboard([suite(runs)])
    assert (entry(found.boards[0], "cfm").label, found.variants) == ("cfm", 1)
    found = leaderboard([suite(runs)], variants=True)
    assert {e.method for e in found.boards[0].entries} == {"cfm", "cfm sigma=0.5", "otcfm", "sbcfm"}
    assert found.variants == 0


def test_a_run_of_two_suites_counts_once():
    assert leaderboard([suite(known()), suite(known(), "again")]) == leaderboard([suite(known())])


def test_mean_ranks_use_the_data_sets_with_most_comparisons():
    runs = known(2, ["moons", "circles", "pinwheel"]) + [run("cfm", s, 1.0, "spirals") for s in range(2)]
    runs += [run("vp", s, 9.0, "moons") for s in range(2)]
    found = leaderboard([suite(runs)])
    assert set(found.over) == {"moons", "circles", "pinwheel"}  # three pairs on each of three, not six on one
    assert {standing.method for standing in found.standings} == {"cfm", "otcfm", "sbcfm"}


def test_steps_to_quality_are_where_the_curve_is_within_5_percent_of_its_best():
    (board,) = leaderboard([suite([run("cfm", 0, 2.9, curve=[(1.0, 9.0), (4.0, 3.1), (16.0, 3.0)])])]).boards
    assert entry(board, "cfm").nfe == 16  # 3.0 <= 1.05 x 2.9 < 3.1
    rows = suite([run("cfm", 0, 0.9, curve=[(1.0, 0.5), (4.0, 0.86)], better="higher")]).values
    assert near_best(rows) == 4  # .86 >= .95 x .9
    assert near_best(rows[:1]) is None


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


def test_an_unknown_data_set_is_refused():
    with pytest.raises(ConfigError, match="no results on a data set called 'moon'"):
        leaderboard([suite(known(2))], ["moon"])


def test_a_headline_metric_without_a_direction_has_no_board():
    runs = [run("cfm", seed, 1.0 + seed, better="none") for seed in range(2)]
    assert not leaderboard([suite(runs)]).boards


def test_of_records_that_contradict_one_another_the_first_counts(caplog):
    runs = known(2, ["moons"])
    changed = run("cfm", 0, 0.001)
    again = dataclasses.replace(
        changed, record=changed.record | {"labels": changed.record["labels"] | {"run": "later"}}
    )
    found = leaderboard([suite([*runs, again])])
    assert entry(found.boards[0], "cfm").values == entry(leaderboard([suite(runs)]).boards[0], "cfm").values
    assert caplog.text.count("later contradicts an earlier value of w2 for cfm") == 1
