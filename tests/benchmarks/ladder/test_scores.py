"""Scores of registered predictions: pairs with all seeds count on measured tasks; verdicts need a corrected test."""

from benchmarks.ladder.predictors import Stated
from benchmarks.ladder.scores import scores, verdicts

RISING = [1.0, 3.0, 9.0, 27.0, 81.0]


def test_predictions_are_scored_where_their_task_is_measured(contest):
    pair = "m0", "m1"
    registered = {"ratio": Stated(1000, {("moons", "w2"): {pair: 0.9}, ("rings", "w2"): {pair: 0.9}})}
    (table,) = scores(registered, [])
    assert "| moons | 0 of 1 | not measured |" in table
    table, said = scores(registered | {"held": registered["ratio"]}, [contest("moons", RISING, RISING)])
    assert "| moons | 1 of 1 | 0.010 | 0.010 |" in table
    assert "| rings | 0 of 1 | not measured | not measured |" in table
    assert said == "Better than a coin: `ratio`, `held`. One task allows no test.\n"
    _, said = scores(registered, [contest("moons", RISING[::-1], RISING[::-1])])
    assert said.startswith("No prediction is better than a coin.")
    _, said = scores(registered, [contest("rings", RISING, RISING)])  # the second task first
    assert said.startswith("Better than a coin: `ratio`.")
    table, means = scores(registered, [contest(data, RISING, RISING) for data in ("moons", "rings")])
    assert "| mean |  | 0.010" in table
    assert means.count("Better than") == 1  # without other tasks to learn from
    fewer = {"seeds": Stated(1000, {("moons", "w2"): {pair: 0.9}})} | registered
    both = [contest(data, RISING, RISING) for data in ("moons", "rings")]
    table, said = scores(fewer, both)
    assert "| moons | 1 of 1 | 0.010 | 0.010 |" in table
    assert "| rings | 1 of 1 | not predicted | 0.010 |" in table
    assert "| mean |  |  | 0.010" in table  # a predictor with one task, or none, does not hide the means of others
    assert "(2 tasks) |" in table
    assert said.startswith("Means are over the tasks with a score, ")
    (table,) = scores({"ratio": registered["ratio"]._replace(long=2000)}, [contest("moons", RISING, RISING)])
    assert "| moons | 0 of 1 | not measured |" in table


def test_predictors_are_scored_on_the_pairs_that_all_of_them_predict(contest):
    """A predictor of the easy pairs alone seemed to be better than one of all pairs."""
    easy, hard = ("m0", "m1"), ("m1", "m2")
    registered = {
        "ratio": Stated(1000, {("moons", "w2"): {easy: 0.9, hard: 0.1}}),
        "held": Stated(1000, {("moons", "w2"): {easy: 0.9}}),
    }
    table, _ = scores(registered, [contest("moons", RISING, RISING)])
    assert "| moons | 1 of 1 | 0.010 | 0.010 |" in table


def test_each_metric_is_scored_by_its_own_values(contest):
    """Metrics of a task were merged and scored by the headline metric. Here the other one has the opposite order."""
    found = [contest(data, RISING, RISING) for data in ("moons", "rings")]
    for one in found:
        one.last.numbers["w2, NFE 1"] = dict(zip(one.last.main, reversed(one.last.main.values()), strict=True))
    pairs = {("m0", "m1"): 0.9, ("m1", "m2"): 0.9}
    named = [(one.data, metric) for one in found for metric in ("w2", "w2, NFE 1")]
    table, *said = scores({"ratio": Stated(1000, dict.fromkeys(named, pairs))}, found[:1])
    assert [line.split(" | ") for line in table.splitlines()[2:]] == [
        ["| moons, w2", "2 of 2", "0.010 |"],
        ["| rings, w2", "0 of 2", "not measured |"],
        ["| moons, w2, NFE 1", "2 of 2", "0.810 |"],
        ["| rings, w2, NFE 1", "0 of 2", "not measured |"],
    ]
    assert said == [
        "w2: Better than a coin: `ratio`. One task allows no test.\n",
        "w2, NFE 1: No prediction is better than a coin. One task allows no test.\n",
    ]
    table, *said = scores({"ratio": Stated(1000, dict.fromkeys(named, pairs))}, found)
    means = [line.split(" | ") for line in table.splitlines() if line.startswith("| mean")]
    assert [(name, float(value.partition(" ")[0])) for name, _, value in means] == [
        ("| mean, w2", 0.01),
        ("| mean, w2, NFE 1", 0.81),
    ]
    assert [text.partition(": Means are over")[0] for text in said] == ["w2; w2, NFE 1"]  # the same is said of both


def test_equal_scores_have_no_interval(contest):
    """A mean ± 0 over two tasks said that the score of any other task is known."""
    named = {(data, "w2"): {("m0", "m1"): 0.9} for data in ("moons", "rings")}
    table, _ = scores({"ratio": Stated(1000, named)}, [contest(data, RISING, RISING) for data in ("moons", "rings")])
    assert table.splitlines()[-1] == "| mean |  | 0.01000 |"


def test_a_predictor_beats_a_coin_only_in_a_corrected_test():
    tasks = range(4)
    values = {
        "ratio": dict(zip(tasks, [0.1, 0.11, 0.12, 0.1], strict=True)),
        "held": dict(zip(tasks, [0.1, 0.4, 0.2, 0.1], strict=True)),
        "elsewhere": dict(zip(tasks, [0.3, 0.31, 0.32, 0.31], strict=True)),
    }
    coin, elsewhere, _ = verdicts(values)
    assert coin == "Better than a coin: `ratio`. Worse: `elsewhere`."
    assert elsewhere == "Better than `elsewhere`: `ratio`. Worse: none."
    shorter = {"held": {0: values["held"][0]}} | {"ratio": values["ratio"]}
    assert next(verdicts(shorter)) == "Better than a coin: `ratio`. Worse: none."
    two = {name: {task: own[task] for task in range(2)} for name, own in values.items()}
    assert next(verdicts(two)) == "Better than a coin: none. Worse: none."
