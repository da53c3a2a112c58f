"""The page about cheap and dear numbers: made again from the records, it is the same. Its words follow the values."""

from pathlib import Path

from benchmarks.ladder.page import agreement, answer, contests, page, scores, sizes, verdicts
from benchmarks.ladder.predictors import Stated

RESULTS = Path(__file__).parents[3] / "results"
RISING, FALLING = [1.0, 3.0, 9.0, 27.0, 81.0], [81.0, 27.0, 9.0, 3.0, 1.0]
CLOSE, MIXED = [1.0, 1.1, 1.2, 1.3, 1.4], [1.2, 1.0, 1.4, 1.1, 1.3]


def test_the_page_is_made_from_the_records():
    assert page(RESULTS) == (RESULTS / "cheap_predicts_dear.md").read_text("utf-8")


def test_the_answer_follows_the_values(contest):
    holds, turns = contest("moons", RISING, RISING), contest("pinwheel", RISING, FALLING)
    near = contest("rings", CLOSE, MIXED)
    assert "**Large differences predict, small ones hardly do.**" in next(answer([holds, near], set()))
    assert "**Not even large differences predict" in next(answer([turns], set()))
    assert "small ones do as well.**" in next(answer([holds, contest("rings", CLOSE, CLOSE)], set()))
    assert "10 of 10 pairs keep their order" in next(answer([holds, near], set()))
    assert "10 of 20 pairs keep their order" in next(answer([holds, turns], set()))


def test_tasks_that_were_predicted_in_advance_are_counted_apart(contest):
    holds, turns = contest("moons", RISING, RISING), contest("pinwheel", RISING, FALLING)
    *_, told = answer([holds, turns], {"pinwheel"})
    assert "0 of 10 large differences hold" in told
    *_, told = answer([holds], {"pinwheel"})
    assert "No task that was predicted in advance is measured yet." in told


def test_differences_of_one_size_are_counted_together(contest):
    ladders = {"plane-v1": [contest("moons", RISING, RISING), contest("rings", CLOSE, MIXED)], "digits": []}
    *_, known, told = sizes(ladders, {"rings"}).splitlines()
    assert known == "| plane-v1, known when predicted | 0 of 0 | 0 of 0 | 0 of 0 | 4 of 4 | 6 of 6 |"
    assert told.startswith("| plane-v1, predicted in advance |")
    assert sum(int(cell.split(" of ")[1]) for cell in told.split("|")[2:-1]) == 10


def test_another_task_is_compared_with_a_short_training(contest):
    turns, other = contest("moons", RISING, FALLING), contest("pinwheel", RISING, FALLING)
    assert agreement(turns, [turns, other]) == 1
    assert agreement(turns, [turns]) is None
    assert any("Another task predicts more than" in text for text in answer([turns, other], set()))
    holds = [contest(data, RISING, RISING) for data in ("moons", "pinwheel")]
    assert any("Another task predicts no more than" in text for text in answer(holds, set()))


def test_predictions_are_scored_where_their_task_is_measured(contest):
    pair = "m0", "m1"
    registered = {"ratio": Stated(1000, {"moons": {pair: 0.9}, "rings": {pair: 0.9}})}
    (table,) = scores(registered, [])
    assert "| moons | not measured | 0.250 |" in table
    table, means = scores(registered | {"elsewhere": registered["ratio"]}, [contest("moons", RISING, RISING)])
    assert "| moons | 0.010 | 0.010 | 0.250 |" in table
    assert "| rings | not measured | not measured | 0.250 |" in table
    assert "Better than 'all tied': none." in means
    (table,) = scores({"ratio": registered["ratio"]._replace(long=2000)}, [contest("moons", RISING, RISING)])
    assert "| moons | not measured | 0.250 |" in table


def test_only_data_sets_at_the_longest_budget_are_compared(contest):
    long, short = contest("moons", RISING, RISING), contest("rings", RISING, RISING)
    ladder = {"moons": {100: long.first, 1000: long.last}, "rings": {100: short.first, 500: short.last}}
    assert [own.data for own in contests(ladder)] == ["moons"]
    assert contests({}) == contests({"moons": {100: long.first}}) == []


def test_a_predictor_beats_a_coin_only_if_its_interval_excludes_it():
    said = [*verdicts({"ratio": [0.1, 0.11, 0.12], "held": [0.1, 0.4, 0.2], "elsewhere": [0.3, 0.31, 0.32]})]
    assert said == [
        "Better than 'all tied': `ratio`.",
        "Worse than 'all tied': `elsewhere`.",
        "Better than `elsewhere`: `ratio`.",
        "Worse than `elsewhere`: none.",
    ]


def test_a_cheap_number_is_praised_only_if_it_predicts_the_headline(contest):
    turns = contest("moons", RISING, FALLING)
    turns.first.numbers["oracle"] = turns.last.numbers["oracle"] = turns.last.main
    assert any(
        "**`oracle` predicts the headline metric better than itself.**" in text for text in answer([turns], set())
    )
    holds = contest("moons", RISING, RISING)
    assert any("**No other cheap number" in text for text in answer([holds], set()))
