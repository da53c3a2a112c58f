"""The answers about short and long trainings: counts, the registered answer, other tasks and other tracks."""

import pytest

from benchmarks.ladder.answers import (
    LATER,
    MAIN,
    answer,
    by_rule,
    elsewhere,
    expected,
    foretold,
    judged,
    of_differences,
    of_one_task,
    of_other_tasks,
    on_one_task,
    on_others,
    without_gaps,
)
from benchmarks.ladder.orders import among

RISING, FALLING = [1.0, 3.0, 9.0, 27.0, 81.0], [81.0, 27.0, 9.0, 3.0, 1.0]
CLOSE, MIXED = [1.0, 1.1, 1.2, 1.3, 1.4], [1.2, 1.0, 1.4, 1.1, 1.3]


def test_the_answer_counts_the_tasks_that_were_predicted(contest):
    holds, turns = contest("moons", RISING, RISING), contest("pinwheel", RISING, FALLING)
    near = contest("rings", CLOSE, MIXED)
    said = of_differences([holds, near], [holds, near, turns])
    assert said.startswith("**10 of 10 large and 6 of 10 small differences last.**")
    assert "predicted in advance, on moons and rings. No order was predicted on pinwheel." in said
    assert "Small differences: 6 of 10 last if the two methods are separated after 100 steps, 0 of 0 if they" in said
    assert " are not. On single tasks, 100 to 100 % of the large and 60 to 60 %" in said
    assert of_differences([], [holds]) == "**No task that was predicted is measured yet.**"


def test_only_methods_that_were_predicted_count(contest):
    """Methods with a failed seed were not predicted. Counted later, they turned the registered answer around."""
    made = [contest("rings", RISING, RISING), contest("pinwheel", CLOSE, MIXED)]
    said = next(answer(made, {"rings": {"m0", "m1", "m2"}, "pinwheel": {"m0", "m1"}}))
    assert said.startswith("**3 of 3 large and 0 of 1 small differences last.**")
    assert len(made[0].first.main) == 5


def test_the_majority_of_the_other_tasks_orders_the_differences_of_a_task(contest):
    rising, falling = contest("moons", FALLING, RISING), contest("pinwheel", RISING, FALLING)
    more = contest("rings", CLOSE, RISING)
    assert foretold(rising, [rising, more]) == (10, 0)
    assert foretold(rising, [rising, falling]) == (0, 0)
    assert foretold(rising, [rising, falling, more]) == (5, 0)  # ties
    assert foretold(more, [rising, more]) == (0, 10)


def test_other_tracks_state_their_budgets(contest):
    moons, pinwheel = contest("moons", RISING, RISING), contest("pinwheel", RISING, FALLING)
    later = moons._replace(short=500)
    assert [*on_others({MAIN: [pinwheel], "one": [moons, later], "two": [moons, pinwheel], "three": []})] == [
        "On one (100 to 1,000 steps, 5 methods), 10 of 10 large and 0 of 0 small differences last.",
        "From 500 steps, 10 of 10 large and 0 of 0 small differences last.",
        "On two (100 to 1,000 steps, 5 methods), 10 of 20 large and 0 of 0 small differences last.",
        "A majority vote of its other tasks is right for 0 and 0 of them.",
    ]


def test_a_track_without_large_differences_says_which_small_ones_last(contest):
    near = contest("moons", CLOSE, MIXED)
    assert [*on_others({"one": [near, near._replace(short=500)]})] == [
        f"{where}, no difference is large: 6 of 10 differences between separated methods last, and 0 of 0 others."
        for where in ("On one (100 to 1,000 steps, 5 methods)", "From 500 steps")
    ]


def test_the_registered_answer_needs_large_differences_that_last_and_small_ones_that_do_not(contest):
    small = [*RISING[:3], 10.0, 12.0]
    lasts, turns = contest("moons", small, RISING), contest("rings", small, FALLING)
    assert judged([lasts]) == ("7 of 7 (100.0 %)", "3 of 3 (100.0 %)", "refuted", "none")
    assert judged([turns]) == ("0 of 7 (0.0 %)", "0 of 3 (0.0 %)", "refuted", "none")
    both = judged([lasts, contest("spirals", CLOSE, MIXED)])
    assert both[:3] == ("7 of 7 (100.0 %)", "9 of 13 (69.2 %)", "not refuted")


def test_a_method_that_decides_alone_is_named(contest):
    """Without m0, all pairs last, so that the share of small ones is above the registered one."""
    found = [contest("moons", CLOSE, [1.35, *CLOSE[1:]]), contest("rings", RISING, RISING)]
    assert judged(found) == ("10 of 10 (100.0 %)", "7 of 10 (70.0 %)", "not refuted", "`m0`")


def test_each_rule_counts_its_own_pairs(contest):
    found = [contest("moons", CLOSE, [1.35, *CLOSE[1:]]), contest("rings", RISING, RISING)]
    del found[0].last.main["m0"][0], found[1].first.main["m1"][1]
    assert [{*without_gaps(one).first.main} for one in found] == [{"m1", "m2", "m3", "m4"}, {"m0", "m2", "m3", "m4"}]
    rows = by_rule([among(one, {"m0", "m1", "m2"}) for one in found], found).splitlines()[2:]
    verdicts = [
        "6 of 6 (100.0 %) | 6 of 6 (100.0 %) | refuted | none |",
        "3 of 3 (100.0 %) | 1 of 3 (33.3 %) | not refuted | `m0` |",
        "10 of 10 (100.0 %) | 7 of 10 (70.0 %) | not refuted | `m0` |",
    ]
    assert [row.split(" | ", 2)[2] for row in rows] == verdicts * 2


def test_tasks_that_were_predicted_later_are_not_in_the_test_that_was_registered(contest):
    lasts, later = contest("moons", RISING, RISING), contest(LATER[0], CLOSE, CLOSE)
    assert expected([lasts, later]).startswith("**The first registered answer is not refuted.** After the values on")
    assert expected([lasts._replace(data="two"), later._replace(data="one")]).startswith(
        "**The first registered answer is ref"
    )
    rows = by_rule([lasts, later], [lasts, later]).splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == [*["| first 1"] * 3, *["| all 2"] * 3]
    assert [row.split(" | ")[4] for row in rows] == [*["not refuted"] * 3, *["refuted"] * 3]
    assert expected([]).startswith("**The first registered answer is not tested yet.**")


def test_the_second_registered_answer_is_about_one_other_task(contest):
    """The order lasts on three tasks, and turns on the fourth, whose methods without a seed do not count."""
    main = [contest(data, RISING, RISING) for data in ("moons", "pinwheel", "rings")]
    assert on_one_task(main) == (1, 1)
    main.append(contest("spirals", RISING, FALLING))
    assert on_one_task(main) == (0.5, 0)
    del main[-1].last.main["m0"][0], main[-1].last.main["m4"][0]
    main[-1].last.main["m1"], main[-1].last.main["m2"] = (main[-1].last.main[name] for name in ("m2", "m1"))
    own, there = on_one_task(main)
    assert own == pytest.approx((9 + 3 * (-1 / 3)) / 12)
    assert there == pytest.approx((6 + 6 * (-1 / 3)) / 12)
    said = of_one_task(main[:2], main)
    assert "On the 2 tasks that the track had then, it is 1.00 for the long run and 1.00 for the short run: ref" in said
    assert "On all 4, it is 0.33 for the long run and 0.67 for the short run: refuted." in said


def test_other_tasks_are_compared_with_a_short_training(contest):
    main = [contest(data, RISING, FALLING) for data in ("moons", "pinwheel", "rings")]
    assert [elsewhere(own, main) for own in main] == [(-1, 1)] * 3
    main += [contest("spirals", RISING, [81.0, 27.0, 9.0, 1.0, 3.0])]
    assert elsewhere(main[-1], main) == (-0.8, 0.8)
    said = of_other_tasks(main)
    assert said.startswith("**Long training runs on other tasks predict better than a short run on the task itself.**")
    assert "is -0.95 for the short run. For the mean rank on the other tasks it is 0.95, which is higher" in said
    own = [contest(data, *[means] * 2) for data, means in (("moons", RISING), ("rings", FALLING), ("two", CLOSE))]
    assert elsewhere(own[1], own) == (1, -1)
    assert "**It is undecided which predicts better: " in of_other_tasks([main[0], *own])
