"""Scores of registered predictions: measured pairs count, one task has a p value, and several have a corrected test."""

from itertools import combinations, permutations

import numpy as np
import pytest

from benchmarks.ladder.predictors import Stated
from benchmarks.ladder.scores import Score, by_order, met_by, scores, verdicts

RISING = [1.0, 3.0, 9.0, 27.0, 81.0]
TASKS = ("moons", "rings", "spirals")


def rows_of(table):
    return [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in table.splitlines()[2:]]


def test_predictions_are_scored_where_their_task_is_measured(contest):
    pair = "m0", "m1"
    ratio = Stated(1000, {(data, "w2"): {pair: 0.9} for data in TASKS})
    (table,) = scores({"ratio": ratio}, [])
    assert rows_of(table)[0] == ["moons", "0 of 1", "", "not scored"]
    fewer = {"seeds": Stated(1000, {("moons", "w2"): {pair: 0.9}}), "ratio": ratio}
    (table,) = scores(fewer, [contest(data, RISING, RISING) for data in TASKS[:2]])
    assert rows_of(table) == [
        ["moons", "1 of 1", "5", "0.010", "0.010"],
        ["rings", "1 of 1", "5", "not predicted", "0.010"],
        ["spirals", "0 of 1", "", "not predicted", "not scored"],
    ]
    (table,) = scores({"ratio": ratio._replace(long=2000)}, [contest("moons", RISING, RISING)])
    assert rows_of(table)[0] == ["moons", "0 of 1", "", "not scored"]


def test_means_and_tests_need_three_tasks_and_are_of_predictors_of_all_tasks(contest):
    """Means of two tasks had intervals beyond all possible scores, and predictors were compared on different tasks."""
    ratio = Stated(1000, {(data, "w2"): {("m0", "m1"): 0.9} for data in TASKS})
    both = {"ratio": ratio, "held": Stated(1000, {(data, "w2"): {("m0", "m1"): 0.1} for data in TASKS})}
    found = [contest(data, RISING, RISING) for data in TASKS]
    assert len([*scores(both, found[:2])]) == 1
    table, said = scores(both, found)
    assert rows_of(table)[-1] == ["mean of 3 tasks", "", "", "0.01000 ± 0", "0.8100 ± 0"]
    assert said.startswith("The tests compare `ratio` and `held` on the 3 tasks. Better than the probability 1/2: ")
    table, said = scores(both | {"seeds": Stated(1000, {("moons", "w2"): {("m0", "m1"): 0.9}})}, found)
    assert rows_of(table)[-1] == ["mean of 3 tasks", "", "", "0.01000 ± 0", "0.8100 ± 0", ""]
    assert said.startswith("The tests compare `ratio` and `held` on the 3 tasks. ")


def test_one_task_has_the_share_of_orders_that_score_as_low(contest):
    means = range(5)
    sure = {(f"m{i}", f"m{j}"): 1.0 for i in means for j in means if i < j}
    lucky = sure | {("m0", "m1"): 0.0}  # five of 120 orders have one pair wrong or none: p = 0.04
    registered = {
        name: Stated(1000, dict.fromkeys([("moons", "w2"), ("moons", "w2, NFE 1")], own))
        for name, own in (("ratio", sure), ("held", lucky))
    }
    found = contest("moons", RISING, RISING)
    found.last.numbers["w2, NFE 1"] = dict(zip(found.last.main, reversed(found.last.main.values()), strict=True))
    table, *_, said = scores(registered, [found])
    first, second = rows_of(table)
    assert first[:3] == ["moons, w2", "10 of 10", "5"]
    assert first[3].startswith("0.000 (p = 0.00")
    assert first[4].startswith("0.100 (p = 0.04")
    assert second[3] == "1.000 (p = 1.0000)"
    assert said == "By the registered rule, on w2: better than chance: `ratio`.\n"


def test_p_counts_all_orders_of_few_methods_and_draws_orders_of_many(monkeypatch):
    """With random orders alone, 19 of 720 orders of six methods met a rule that 17 meet."""
    stream, methods = np.random.default_rng(0), [f"m{i}" for i in range(5)]
    pairs = {(one, other): stream.random() for i, one in enumerate(methods) for other in methods[i + 1 :]}
    every = by_order(pairs, methods, np.array([*permutations(range(5))], dtype=float))
    for tolerance in (0, 0.02):
        for means in permutations(range(5)):
            score = Score(pairs, 2, dict(zip(methods, map(float, means), strict=True)))
            assert score.p() == pytest.approx((every <= score.brier + 1e-9).mean(), abs=tolerance)
        monkeypatch.setattr("benchmarks.ladder.scores.LISTED", 1)


def test_who_decides_the_rule_is_said_before_anything_is_measured():
    """Pairs with m4 are sure, others are not: each order that meets the rule has m4 last."""
    methods = [f"m{i} net=mlp" for i in range(5)]
    pairs = {pair: 0.97 if "m4 net=mlp" in pair else 0.55 for pair in combinations(methods, 2)}
    said = met_by("ratio", pairs, 0.05)
    every = [dict(zip(methods, map(float, means), strict=True)) for means in permutations(range(5))]
    met = [means for means in every if Score(pairs, 2, means).p() < 0.05]
    assert said == (
        f"With `ratio`, p can be below 0.05 only if m4 is last; then it is for {len(met)} of the 24 orders "
        "of the others."
    )
    assert all(means["m4 net=mlp"] == 4 for means in met)
    fair = dict.fromkeys(pairs, 0.5)
    assert met_by("held", fair, 0.05) == ""
    many = {(f"m{i}", f"m{i + 1}"): 0.9 for i in range(9)}
    assert met_by("ratio", many, 0.05) == ""


def test_predictors_are_scored_on_the_pairs_that_all_of_them_predict(contest):
    """A predictor of the easy pairs alone seemed to be better than one of all pairs."""
    easy, hard = ("m0", "m1"), ("m1", "m2")
    registered = {
        name: Stated(1000, {(data, "w2"): pairs for data in ("moons", "rings")})
        for name, pairs in (("ratio", {easy: 0.9, hard: 0.1}), ("held", {easy: 0.9}))
    }
    (table,) = scores(registered, [contest("moons", RISING, RISING)])
    assert rows_of(table)[0] == ["moons", "1 of 1", "5", "0.010", "0.010"]


def test_methods_that_were_not_predicted_change_no_score(contest):
    """One of them that failed on a seed left out the seed for all, and could end the test."""
    own = {("moons", "w2"): {(f"m{i}", f"m{j}"): 0.9 for i in range(4) for j in range(i + 1, 4)}}
    found = contest("moons", RISING, RISING)
    alone = [*scores({"ratio": Stated(1000, own)}, [found])]
    assert rows_of(alone[0])[0][:3] == ["moons", "6 of 6", "5"]
    del found.last.main["m4"][1]
    assert [*scores({"ratio": Stated(1000, own)}, [found])] == alone


def test_nothing_is_tested_if_a_predicted_method_has_too_few_seeds(contest):
    """The four other methods would have a score, and a p value that is not registered."""
    methods = range(5)
    own = {(f"m{i}", f"m{j}"): 1.0 for i in methods for j in methods if i < j}
    found = contest("moons", RISING, RISING)
    found.last.main["m4"] = {0: 81.0}
    table, *_, said = scores({"ratio": Stated(1000, {("moons", "w2"): own})}, [found])
    assert rows_of(table) == [["moons", "6 of 10", "5", "0.000"]]
    assert said == (
        "By the registered rule, on w2: nothing is tested, because too few seeds have all predicted methods.\n"
    )


def test_a_predictor_is_better_only_in_a_corrected_test():
    tasks = range(4)
    values = {
        "ratio": dict(zip(tasks, [0.1, 0.11, 0.12, 0.1], strict=True)),
        "held": dict(zip(tasks, [0.1, 0.4, 0.2, 0.1], strict=True)),
        "elsewhere": dict(zip(tasks, [0.3, 0.31, 0.32, 0.31], strict=True)),
    }
    coin, elsewhere, _ = verdicts(values)
    assert coin == "Better than the probability 1/2: `ratio`; worse: `elsewhere`."
    assert elsewhere == "Better than `elsewhere`: `ratio`; worse: none."
    two = {name: {task: own[task] for task in range(2)} for name, own in values.items()}
    assert next(verdicts(two)) == "Better than the probability 1/2: none; worse: none."
