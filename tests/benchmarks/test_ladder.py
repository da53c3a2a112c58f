"""The ladder: planted orders are found, intervals hold the true tau, and predictions are scored against chance."""

import copy
import tomllib

import numpy as np
import pytest
from helpers.tracks import planted

from benchmarks.ladder import Rung, brier, order, predicted, predictions, rungs, scores, tables, tau

METHODS, SEEDS = 6, 3


def measured(means, stream, error=1.0):
    """Return values of methods whose true means are known, with effects of seeds that all methods share."""
    noise = error * stream.standard_normal((len(means), SEEDS)) + 10 * stream.standard_normal(SEEDS)
    return {f"m{i}": dict(enumerate(row)) for i, row in enumerate(means[:, None] + noise)}


def test_the_interval_holds_the_true_tau():
    stream, inside, widths = np.random.default_rng(0), 0, []
    for _ in range(200):
        short = 3 * stream.standard_normal(METHODS)
        long = 0.5 * short + 2 * stream.standard_normal(METHODS)
        found = order(measured(short, stream), measured(long, stream))
        inside += found.low <= tau(short, long) <= found.high
        widths.append(found.high - found.low)
    assert inside >= 180
    assert np.mean(widths) < 1  # -1 to 1 would always hold it


def test_pairs_that_are_told_apart_are_counted_with_their_signs():
    stream, means = np.random.default_rng(1), 100.0 * np.arange(METHODS)
    swapped = means.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    found = order(measured(means, stream), measured(swapped, stream))
    assert (found.methods, found.decided, found.held) == (METHODS, 15, 14)
    assert (found.low, found.high) == pytest.approx((1 - 2 / 15, 1 - 2 / 15))
    x = np.arange(5.0)
    assert [tau(x, y) for y in (x**3, -x, np.array([1.0, 0, 2, 3, 4]), 0 * x)] == [1, -1, 0.8, 0]
    values = measured(np.arange(3.0), stream)  # two methods, or one seed, have no order
    assert order(values, {name: values[name] for name in ("m0", "m1")}) is None
    assert order(values, {name: {0: own[0]} for name, own in values.items()}) is None


def test_probabilities_are_calibrated_and_beat_ties_where_the_order_stays():
    stream, stated, right = np.random.default_rng(2), [], []
    for _ in range(200):
        means = stream.standard_normal(METHODS)
        for (one, other), p in predicted(measured(means, stream)).items():
            stated.append(max(p, 1 - p))
            right.append((means[int(one[1])] < means[int(other[1])]) == (p > 0.5))
    confident = np.array(stated) > 0.8
    assert np.mean(np.array(right)[confident]) == pytest.approx(np.array(stated)[confident].mean(), abs=0.05)
    means = 5.0 * np.arange(METHODS)
    later = measured(means, stream)
    assert brier(predicted(measured(means, stream)), later) < 0.1
    assert brier(predicted(measured(-means, stream)), later) > 0.25 == brier({("m0", "m1"): 0.5}, later)


def test_records_become_rungs_tables_and_scored_predictions(tmp_path):
    records = planted()
    later, untrained = copy.deepcopy(records), copy.deepcopy(records)
    for steps, own in ((50, later), (0, untrained)):
        for record in own:
            record["spec"]["plan"]["steps"] = steps
    found = rungs([*records, *later, *untrained])
    assert {data: [*of_data] for data, of_data in found.items()} == {"moons": [20, 50], "pinwheel": [20, 50]}
    rung = found["moons"][20]
    assert isinstance(rung, Rung)
    assert set(rung.numbers) == {"sliced_w2", "sliced_w2, NFE 1", "sliced_w2, NFE 4"}
    assert list(rung.numbers["sliced_w2"]) == ["cfm", "otcfm", "nsf", "vp"]
    (moons, _) = tables("some", found)
    assert "moons: 20 to 50 steps" in moons
    assert "| sliced_w2 | 3 | 1.00 | 1.00 to 1.00 | 3 | 3 | 1.00 |" in moons
    path = tmp_path / "predictions.toml"
    path.write_text(predictions("some", found, 20, 50))
    assert tomllib.loads(path.read_text())["moons"]["sliced_w2"]["cfm | otcfm"] < 0.01
    assert "| moons, sliced_w2 | 3 | 0.000 | 0.250 |" in scores(path, found)
    assert "not measured" in scores(path, {})
