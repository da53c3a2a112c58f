"""Scores of registered predictions: pairs with all seeds count on measured tasks; verdicts need a corrected test."""

from benchmarks.ladder.predictors import Stated
from benchmarks.ladder.scores import scores, verdicts

RISING = [1.0, 3.0, 9.0, 27.0, 81.0]


def test_predictions_are_scored_where_their_task_is_measured(contest):
    pair = "m0", "m1"
    registered = {"ratio": Stated(1000, {"moons": {pair: 0.9}, "rings": {pair: 0.9}})}
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
    fewer = {"seeds": Stated(1000, {"moons": {pair: 0.9}})} | registered
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
        "ratio": Stated(1000, {"moons": {easy: 0.9, hard: 0.1}}),
        "held": Stated(1000, {"moons": {easy: 0.9}}),
    }
    table, _ = scores(registered, [contest("moons", RISING, RISING)])
    assert "| moons | 1 of 1 | 0.010 | 0.010 |" in table


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
