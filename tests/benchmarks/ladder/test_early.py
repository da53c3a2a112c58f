"""Early metrics: many tried metrics need a clearer gain, and separated pairs are counted."""

import numpy as np

from benchmarks.ladder.early import Number, cheap, numbers, of_numbers
from benchmarks.ladder.orders import Order


def test_more_metrics_need_a_clearer_gain():
    gain = np.where(np.arange(1000) < 10, -0.1, 0.1)  # 1 % of the draws
    with_gain, alone = (Order(5, 0.5, draws, 0, 0, ()) for draws in (gain, 0 * gain))
    lucky, *others = (Number(name, [alone], [with_gain], [alone]) for name in ("lucky", "w2", "nll"))
    assert of_numbers([lucky]).startswith("**`lucky` predicts")
    assert of_numbers([lucky, *others]).startswith("**No other metric is shown")


def test_separated_pairs_of_a_metric_are_counted_by_the_headline_metric(contest):
    """The metric has the opposite order of the headline metric at both budgets, so that none of its pairs lasts."""
    found = contest("moons", [1.0, 3.0, 9.0, 27.0, 81.0], [1.0, 3.0, 9.0, 27.0, 81.0])
    for rung in (found.first, found.last):
        rung.numbers["opposite"] = {name: {s: -v for s, v in own.items()} for name, own in rung.main.items()}
    rows = {row.split(" | ")[0]: row.split(" | ") for row in numbers(cheap([found])).splitlines()[2:]}
    assert rows["| w2"][5] == "10 of 10"
    assert rows["| opposite"][3:6] == ["1.00 (1.00 to 1.00)", "-1.00 (-1.00 to -1.00)", "0 of 10"]
