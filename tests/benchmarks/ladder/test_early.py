"""Early metrics: many tried metrics need a clearer gain, and separated pairs are counted."""

import numpy as np

from benchmarks.ladder.early import Number, cheap, numbers, of_numbers
from benchmarks.ladder.orders import Order


def test_metrics_are_tested_over_tasks_with_a_correction():
    """The gain of `lucky` has p = 0.03: of one metric it counts, of two it does not."""

    def of(taus):
        return [Order(5, tau, np.zeros(9), 0, 0, 0, ()) for tau in taus]

    def number(name, gains):
        return Number(name, of(gains), of(gains), of([0.0] * 4))

    lucky, worse = number("lucky", [0.1, 0.2, 0.3, 0.1]), number("nll", [-0.5, -0.5, -0.51, -0.5])
    itself = number("w2", [0.0] * 4)
    assert of_numbers([itself, lucky], "w2", "1 to 2 steps").startswith(
        "**After a short run, `lucky` predicts the order by"
    )
    said = of_numbers([itself, lucky, worse], "w2", "1 to 2 steps")
    assert said.startswith("**After a short run, no other metric is shown to predict the order")
    assert "itself does** (1 to 2 steps). These metrics predict it worse: `nll`. For these, no difference" in said
    assert " is shown: `lucky`. Paired t tests over 4 tasks, Bonferroni over 2 metrics. These tests were" in said


def test_separated_pairs_of_a_metric_are_counted_by_the_headline_metric(contest):
    """The metric has the opposite order of the headline metric at both budgets, so that none of its pairs lasts."""
    found = contest("moons", [1.0, 3.0, 9.0, 27.0, 81.0], [1.0, 3.0, 9.0, 27.0, 81.0])
    for rung in (found.first, found.last):
        rung.numbers["opposite"] = {name: {s: -v for s, v in own.items()} for name, own in rung.main.items()}
    rows = {row.split(" | ")[0]: row.split(" | ") for row in numbers(cheap([found])).splitlines()[2:]}
    assert rows["| w2"][5] == "10 of 10"
    assert rows["| opposite"][3:6] == ["1.00 (1.00 to 1.00)", "-1.00 (-1.00 to -1.00)", "0 of 10"]


def test_a_metric_whose_values_are_equal_separates_no_pairs_and_four_values_have_no_order(contest):
    """The straightness of some paths is 0 for each method and seed."""
    found = contest("moons", [1.0, 3.0, 9.0, 27.0, 81.0], [1.0, 3.0, 9.0, 27.0, 81.0])
    for rung in (found.first, found.last):
        rung.numbers["straightness"] = {name: dict.fromkeys(own, 0.0) for name, own in rung.main.items()}
        rung.numbers["bits"] = {name: own for name, own in rung.main.items() if name != "m4"}
    table = numbers(cheap([found]))
    assert "| straightness | 1 | 5 | 0.00 (0.00 to 0.00) | 0.00 (0.00 to 0.00) | 0 of 0 |" in table
    assert "bits" not in table
