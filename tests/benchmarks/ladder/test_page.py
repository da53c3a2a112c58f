"""The page about short and long trainings matches the records, and its words follow the values."""

from pathlib import Path

from benchmarks.ladder.orders import rungs
from benchmarks.ladder.page import (
    MAIN,
    TRACKS,
    answer,
    contests,
    elsewhere,
    expected,
    holds,
    of_differences,
    on_others,
    orders,
    page,
    sizes,
)
from genbench.runs.record import read_published

RESULTS = Path(__file__).parents[3] / "results"
RISING, FALLING = [1.0, 3.0, 9.0, 27.0, 81.0], [81.0, 27.0, 9.0, 3.0, 1.0]
CLOSE, MIXED = [1.0, 1.1, 1.2, 1.3, 1.4], [1.2, 1.0, 1.4, 1.1, 1.3]


def test_the_page_is_made_from_the_records():
    assert page(RESULTS) == (RESULTS / "cheap_predicts_dear.md").read_text("utf-8")


def test_tracks_that_are_not_in_the_table_have_too_few_methods_at_two_budgets():
    others = [path for path in RESULTS.glob("*-v1/records.jsonl.gz") if path.parent.name not in TRACKS]
    assert {path.parent.name for path in others} == {"maps-v1"}
    assert not any(orders(rungs(read_published(path))) for path in others)


def test_the_answer_follows_the_values(contest):
    holds, turns = contest("moons", RISING, RISING), contest("pinwheel", RISING, FALLING)
    near = contest("checkerboard", CLOSE, MIXED)
    assert "**Large differences last, small ones often do not.**" in of_differences([holds, near])
    assert "**Not even large differences last.**" in of_differences([turns])
    assert "and so do most small ones.**" in of_differences([holds, contest("checkerboard", CLOSE, CLOSE)])
    assert "10 of 10 large and" in of_differences([holds, near])
    assert "Among the 10 large differences, 7 involve " in of_differences([holds, near])


def test_a_track_that_the_answers_do_not_use_names_its_worst_task(contest):
    moons, pinwheel = contest("moons", RISING, RISING), contest("pinwheel", RISING, FALLING)
    assert [*on_others({MAIN: [pinwheel], "one": [moons], "two": [moons, pinwheel]})] == [
        "On one, 10 of 10 large and 0 of 0 small differences last.",
        "On two, 10 of 20 large and 0 of 0 small differences last.",
        "Large differences last least often on pinwheel: 0 of 10.",
    ]


def test_only_tasks_measured_later_decide(contest):
    holds, turns = contest("moons", RISING, RISING), contest("pinwheel", RISING, FALLING)
    told = of_differences([holds, turns])
    assert told.startswith("**Not even large differences last.**")
    assert "noticed on moons, where 10 of 10 large" in told
    assert "The test is on pinwheel, where 0 of 10 large" in told
    assert "No other task is measured yet." in of_differences([holds])


def test_expectations_are_refuted_by_the_values(contest):
    lasts, turns = contest("moons", RISING, RISING), contest("pinwheel", RISING, FALLING)
    assert "the first holds (10 of 10 last) and the second is refuted (10 of 10 last)" in expected(
        [lasts, contest("rings", CLOSE, CLOSE)]
    )
    assert "the first is refuted (0 of 10 last) and the second holds (0 of 0 last)" in expected([turns])
    assert expected([]).endswith("Neither is tested yet.")


def test_differences_of_one_size_are_counted_together(contest):
    *_, one, other = sizes([[contest("moons", RISING, RISING)], [contest("rings", CLOSE, MIXED)]]).splitlines()
    assert one == "| moons | 0 of 0 | 0 of 0 | 0 of 0 | 4 of 4 | 6 of 6 |"
    assert sum(int(cell.split(" of ")[1]) for cell in other.split("|")[2:-1]) == 10


def test_another_task_is_compared_with_a_short_training(contest):
    turns, other = contest("moons", RISING, FALLING), contest("pinwheel", RISING, FALLING)
    taus, draws = elsewhere(turns, other)
    assert taus == (-1, 1)
    assert set(draws) == {2}
    (more,) = (text for text in answer([turns, other]) if "another task predicts more" in text)
    assert "refute this answer if the interval then includes 0 or lies below it." in more
    holds = [contest(data, RISING, RISING) for data in ("moons", "pinwheel")]
    (no,) = (text for text in answer(holds) if "another task is not shown to predict more" in text)
    assert "refute this answer if the interval then lies above 0." in no
    assert not any("another task" in text for text in answer(holds[:1]))


def test_only_data_sets_at_the_longest_budget_are_compared(contest):
    long, short = contest("moons", RISING, RISING), contest("rings", RISING, RISING)
    ladder = {"moons": {100: long.first, 1000: long.last}, "rings": {100: short.first, 500: short.last}}
    assert [own.data for own in contests(ladder)] == ["moons"]
    assert contests({}) == contests({"moons": {100: long.first}}) == []
    few = long.last._replace(numbers={"w2": {"m0": long.last.main["m0"]}})  # a training has begun
    assert [own.long for own in contests({"moons": {**ladder["moons"], 2000: few}})] == [1000]


def test_each_two_budgets_have_an_order(contest):
    found = contest("moons", RISING, FALLING)
    rows = holds([orders({"moons": {100: found.first, 500: found.first, 1000: found.last}})]).splitlines()[2:]
    assert [row.split(" | ")[1] for row in rows] == ["100 to 500", "100 to 1,000", "500 to 1,000"]
    assert [row.split(" | ")[4] for row in rows] == ["1.00 (1.00 to 1.00)", *["-1.00 (-1.00 to -1.00)"] * 2]


def test_another_metric_is_named_only_if_it_predicts_the_headline_metric(contest):
    turns = contest("moons", RISING, FALLING)
    turns.first.numbers["oracle"] = turns.last.numbers["oracle"] = turns.last.main
    assert any(
        "**`oracle` predicts the headline metric better than the headline metric itself does**" in text
        for text in answer([turns])
    )
    holds = contest("moons", RISING, RISING)
    assert any("**No other metric is shown" in text for text in answer([holds]))
