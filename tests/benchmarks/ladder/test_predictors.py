"""Predictors of orders: closed forms and limits. Registered predictions follow from the tasks known then."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel

from benchmarks.ladder.orders import Rung
from benchmarks.ladder.page import MAIN, read_ladders
from benchmarks.ladder.predictors import (
    PREDICTORS,
    better,
    brier,
    by_elsewhere,
    by_held,
    by_ratio,
    predictions,
    read_predictions,
    scored,
)
from genbench.errors import ConfigError

RESULTS = Path(__file__).parents[3] / "results"
KNOWN = ("moons", "checkerboard")
"""Tasks that were known at both budgets when the first predictions were registered."""


def exact(*means):
    return {f"m{i}": {0: mean, 1: mean} for i, mean in enumerate(means)}


def test_the_chance_of_an_order_is_the_p_value_of_a_one_sided_test(measured):
    values = measured([0.0, 0.5])
    one, other = values["m0"], values["m1"]
    p = ttest_rel([*one.values()], [*other.values()], alternative="greater").pvalue
    assert better(one, other) == pytest.approx(p)
    assert better(other, one) == pytest.approx(1 - p)
    assert better(one, one) == 0.5


def test_an_order_holds_as_often_as_separated_pairs_did_elsewhere(measured):
    rising = measured(100.0 * np.arange(8))
    falling = measured(-100.0 * np.arange(8))
    sure, never, half = (
        by_held(rising, known)["m0", "m1"]
        for known in ([(rising, rising)], [(rising, falling)], [(rising, rising), (rising, falling)])
    )
    assert (sure, never, half) == pytest.approx((29 / 30, 1 / 30, 1 / 2), abs=1e-4)  # of 28 pairs, and 56
    close = measured(1e-3 * np.arange(8))
    assert by_held(rising, [(close, close)])["m0", "m1"] == pytest.approx(0.5)  # no pair is separated


def test_the_ratio_keeps_its_order_as_often_as_equal_ratios_did_elsewhere():
    held, turned = (exact(1.0, 3.0), exact(1.0, 2.0)), (exact(1.0, 3.0), exact(2.0, 1.0))
    own = by_ratio(exact(2.0, 6.0, 54.0), [held, held, held, turned])
    assert own["m0", "m1"] == pytest.approx(0.75, abs=1e-4)
    assert own["m1", "m2"] == pytest.approx(0.9, abs=1e-4)  # odds of 3 for a ratio of 3, so 9 for 9


def test_elsewhere_counts_the_other_data_sets_and_not_the_values():
    up, down = (exact(), exact(1.0, 2.0)), (exact(), exact(2.0, 1.0))
    assert by_elsewhere(exact(9.0, 1.0), [up, up, down])["m0", "m1"] == 3 / 5
    assert by_elsewhere(exact(9.0, 1.0), [(exact(), exact(1.0))])["m0", "m1"] == 1 / 2


def test_the_score_is_0_for_sure_and_right_and_a_quarter_for_a_coin():
    pair = "m0", "m1"
    assert [brier({pair: p}, exact(1.0, 2.0)) for p in (1.0, 0.5, 0.0)] == [0, 0.25, 1]


def test_only_pairs_with_all_seeds_are_scored():
    pairs = {("m0", "m1"): 1.0, ("m0", "m2"): 0.5}
    assert scored(pairs, exact(1.0, 2.0)) == {("m0", "m1"): 1.0}
    assert scored(pairs, exact(1.0, 2.0, 3.0) | {"m1": {0: 2.0}}) == {("m0", "m2"): 0.5}
    assert scored(pairs, {}) == {}


def test_only_data_sets_without_the_longer_budget_are_predicted():
    rung = Rung("w2", {"w2": exact(1.0, 2.0, 3.0)})
    text = predictions("ratio", "some", {"moons": {1: rung, 2: rung}, "pinwheel": {1: rung}}, 1, 2)
    assert {key for key, part in tomllib.loads(text).items() if isinstance(part, dict)} == {"pinwheel"}
    with pytest.raises(ConfigError, match="no data set has two budgets"):
        predictions("ratio", "some", {"pinwheel": {1: rung}}, 1, 2)


def test_the_registered_predictions_come_from_the_records_of_other_tasks():
    """Tolerance: methods that were added to the known tasks later change the fits a little."""
    registered, ladder = read_predictions(RESULTS / MAIN), read_ladders(RESULTS)[MAIN]
    assert registered.keys() == {*PREDICTORS, "seeds"}
    for name in PREDICTORS:
        for data, pairs in registered[name].pairs.items():
            known = ladder.keys() - {data} if data == "spirals" else KNOWN
            found = {task: {2000: ladder[task][2000], 20_000: ladder[task][20_000]} for task in known}
            again = tomllib.loads(predictions(name, MAIN, found | {data: {2000: ladder[data][2000]}}, 2000, 20_000))
            stated = {" | ".join(pair): p for pair, p in pairs.items()}
            assert {pair: again[data]["sliced_w2"][pair] for pair in stated} == pytest.approx(stated, abs=0.05)
