"""Predictors of orders: closed forms and limits. Registered predictions follow from the tasks known then."""

import tomllib

import numpy as np
import pytest
from helpers.published import RESULTS
from scipy.stats import ttest_rel

from benchmarks.ladder import predictors
from benchmarks.ladder.answers import MAIN
from benchmarks.ladder.orders import Rung, named
from benchmarks.ladder.page import planned, read_ladder
from benchmarks.ladder.predictors import (
    PREDICTORS,
    better,
    by_elsewhere,
    by_held,
    by_ratio,
    known_of,
    predictions,
    read_predictions,
    scored,
    stated,
)
from genbench.errors import ConfigError

KNOWN = ("moons", "checkerboard")
"""Tasks that were known at both budgets when the first predictions were registered."""


def exact(*means):
    return {f"m{i}": {0: mean, 1: mean} for i, mean in enumerate(means)}


def predict(predictor, found, short, long, methods=("m0", "m1", "m2", "m3", "m4", "m5")):
    """Return predictions for a track that trains the methods for the longer budget too."""
    return predictions(predictor, "some", found, short, long, {(data, long): dict.fromkeys(methods) for data in found})


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
    assert by_held(rising, [(close, close)]) == {}


def test_the_ratio_keeps_its_order_as_often_as_equal_ratios_did_elsewhere():
    """With Laplace's rule: all orders that lasted, and few ones with almost equal means, gave certainty."""
    held, turned = (exact(1.0, 3.0), exact(1.0, 2.0)), (exact(1.0, 3.0), exact(2.0, 1.0))
    own = by_ratio(exact(2.0, 6.0, 54.0), [held, held, held, turned])
    assert own["m0", "m1"] == pytest.approx(4 / 6, abs=1e-4)
    assert own["m1", "m2"] == pytest.approx(0.8, abs=1e-4)  # odds of 2 for a ratio of 3, so 4 for 9
    near = exact(1.0, 1.01), exact(1.0, 2.0)
    assert by_ratio(exact(2.0, 2.02), [near] * 3)["m0", "m1"] == pytest.approx(4 / 5, abs=1e-4)
    assert by_ratio(exact(1.0, 9.0), [near] * 3)["m0", "m1"] == pytest.approx(4 / 5)


def test_elsewhere_counts_the_other_data_sets_and_not_the_values():
    up, down = (exact(), exact(1.0, 2.0)), (exact(), exact(2.0, 1.0))
    assert by_elsewhere(exact(9.0, 1.0), [up, up, down])["m0", "m1"] == 3 / 5
    assert by_elsewhere(exact(9.0, 1.0), [(exact(), exact(1.0))])["m0", "m1"] == 1 / 2


def test_only_measured_pairs_are_scored():
    pairs = {("m0", "m1"): 1.0, ("m0", "m2"): 0.5}
    assert scored(pairs, {"m0", "m1"}) == {("m0", "m1"): 1.0}
    assert scored(pairs, ()) == {}


def test_predictors_are_fitted_to_the_same_budgets_elsewhere_or_to_budgets_before():
    """A fit to all budgets took orders that last for a factor of two as if they last for a factor of ten."""
    up, down = exact(1.0, 2.0, 4.0), exact(4.0, 2.0, 1.0)
    three = {steps: Rung("w2", {"w2": own}) for steps, own in ((1, up), (2, up), (4, down))}
    assert known_of({"moons": three, "rings": three}, "", 1, 4) == [(up, down)] * 2
    assert known_of({"moons": three}, "", 4, 8) == [(up, up), (up, down), (up, down)]
    assert known_of({"moons": three}, "", 2, 8) == [(up, up)]


def test_only_data_sets_without_the_longer_budget_are_predicted():
    rung = Rung("w2", {"w2": exact(1.0, 2.0, 3.0)})
    text = predict("ratio", {"moons": {1: rung, 2: rung}, "pinwheel": {1: rung}}, 1, 2)
    assert {key for key, part in tomllib.loads(text).items() if isinstance(part, dict)} == {"pinwheel"}
    with pytest.raises(ConfigError, match="no data set has two budgets"):
        predict("ratio", {"pinwheel": {1: rung}}, 1, 2)


def test_each_number_of_the_headline_is_predicted_from_its_own_values():
    """At NFE 1 the order is the opposite one, and the other metric has no predictions."""
    rising, falling = exact(1.0, 2.0, 4.0), exact(4.0, 2.0, 1.0)
    at = {"w2, NFE 16": rising, "w2": rising, "nll": falling, "w2, NFE 1": falling, "w2, NFE 8": rising}
    rung = Rung("w2", at)
    found = {"moons": {1: rung, 2: rung}, "some data, d=2": {1: rung}}
    text = predict("ratio", found, 1, 2)
    names = ["w2", "w2, NFE 1", "w2, NFE 8", "w2, NFE 16"]
    assert [*tomllib.loads(text)["some data, d=2"]] == names
    read = stated(text)
    assert read.long == 2
    assert [*read.pairs] == [("some data, d=2", name) for name in names]
    assert [p["m0", "m1"] > 0.7 for p in read.pairs.values()] == [True, False, True, True]
    assert [p["m0", "m1"] < 0.3 for p in read.pairs.values()] == [False, True, False, False]


def test_a_number_that_no_predictor_can_be_fitted_to_is_refused():
    one, both = Rung("w2", {"w2": exact(1.0, 2.0)}), Rung("w2", dict.fromkeys(("w2", "w2, NFE 1"), exact(1.0, 2.0)))
    with pytest.raises(ConfigError, match="no data set has two budgets with w2, NFE 1"):
        predict("ratio", {"moons": {1: one, 2: both}, "rings": {1: both}}, 1, 2)
    ladder = {"moons": {1: one, 2: one}}
    assert "'m0 | m1'" in predict("ratio", ladder, 2, 3)
    with pytest.raises(ConfigError, match="no data set other than moons has two budgets with w2"):
        predict("elsewhere", ladder, 2, 3)  # its own order is no order elsewhere
    with pytest.raises(ConfigError, match="no data set has values at 1 steps and none at 2"):
        predict("ratio", ladder, 1, 2)


def test_a_number_without_separated_pairs_has_no_prediction_unless_it_is_the_headline(measured):
    """One of five numbers without a separated pair left the four others, the headline among them, unpredicted."""
    rising, close = measured(100.0 * np.arange(6)), measured(1e-3 * np.arange(6))
    rung = Rung("w2", {"w2": rising, "w2, NFE 1": close})
    text = predict("held", {"moons": {1: rung, 2: rung}}, 2, 3)
    assert [*tomllib.loads(text)["moons"]] == ["w2"]
    assert "# w2, NFE 1: no separated pair, so no prediction" in text
    with pytest.raises(ConfigError, match="held: no pair of methods is separated in w2 at a budget that is known"):
        predict("held", {"moons": dict.fromkeys((1, 2), Rung("w2", {"w2": close}))}, 2, 3)


def test_training_for_the_longer_budget_counts_from_whatever_source_its_images_come():
    """Records of another archive of the same images did not count, and predictions were still registered."""
    rung = Rung("w2", {"w2": exact(1.0, 2.0, 4.0)})
    found = {"photos images=f0c7f7bd": {1: rung, 2: rung}, "photos": {3: rung}}
    with pytest.raises(ConfigError, match="no data set has values at 2 steps and none at 3"):
        predict("ratio", found, 2, 3)


def test_failed_trainings_of_the_shorter_budget_are_stated(measured):
    """Trained again later, they would change what the predictors were fitted to."""
    values = measured([1.0, 2.0, 4.0, 8.0, 16.0])
    fewer = values | {"m1": {seed: value for seed, value in values["m1"].items() if seed != 1}}
    found = {"moons": {1: Rung("w2", {"w2": values}), 2: Rung("w2", {"w2": fewer})}}
    plan = {("moons", steps): dict.fromkeys(values, range(5)) for steps in (1, 2, 3)}
    text = predictions("ratio", "some", found, 2, 3, plan)
    assert "# failed after 2 steps: m1 (seed 1)\n" in text
    assert "# seeds after 2 steps: 0, 2, 3 and 4\n" in text


def test_a_budget_in_training_is_not_predicted_from_and_not_fitted_to():
    """With a second seed of two methods only, one pair of 78 was predicted."""
    rung = Rung("w2", {"w2": exact(1.0, 2.0)})
    begun = rung._replace(unfinished=("m2 (seed 1)",))
    with pytest.raises(ConfigError, match=r"moons: trainings of 2 steps have not ended: m2 \(seed 1\)"):
        predict("ratio", {"moons": {1: rung, 2: begun}}, 2, 3)
    with pytest.raises(ConfigError, match="no data set has two budgets"):
        predict("ratio", {"moons": {1: begun, 2: rung}}, 2, 3)


def test_methods_that_do_not_train_for_the_longer_budget_change_no_prediction(measured):
    """A seed on which one of them failed was left out for all methods, and the probabilities changed without a word."""
    known = measured(100.0 * np.arange(5))
    values = measured([1.0, 1.2, 1.4, 1.6, 1.8, 2.0])
    fewer = values | {"m5": {0: 2.0, 1: 2.1, 2: 2.2}}
    methods = ("m0", "m1", "m2", "m3", "m4")
    for predictor in ("held", "ratio"):
        whole, one_failed = (
            predict(predictor, {"moons": {1: Rung("w2", {"w2": known}), 2: Rung("w2", {"w2": own})}}, 2, 3, methods)
            for own in (values, fewer)
        )
        assert whole == one_failed
        assert len(tomllib.loads(whole)["moons"]["w2"]) == 10
        assert "# seeds after 2 steps: 0, 1, 2, 3 and 4\n" in whole
    with pytest.raises(ConfigError, match="some: no method is trained on moons for 3 steps"):
        predict("ratio", {"moons": {2: Rung("w2", {"w2": values})}}, 2, 3, ())


def test_registered_predictions_are_read_as_they_were_written():
    read = read_predictions(RESULTS / MAIN)
    for name, own in read.items():
        lines = (RESULTS / MAIN / f"predictions{'' if name == 'seeds' else '_' + name}.toml").read_text().splitlines()
        assert sum(map(len, own.pairs.values())) == sum(line.startswith("'") for line in lines)
        assert {metric for _, metric in own.pairs} == {"sliced_w2"}
    assert read["seeds"].pairs["8gaussians", "sliced_w2"]["cfm", "otcfm"] == 0.001


@pytest.mark.parametrize(("track", "known"), [(MAIN, KNOWN), ("transport-v1", ("8gaussians-moons", "tori"))])
def test_the_registered_predictions_come_from_the_records_of_other_tasks(track, known, monkeypatch):
    """A method that lacked a seed did not count. `held` had no Laplace correction for the first tasks of plane-v1."""
    monkeypatch.setattr(predictors, "ADDED", 0)
    registered = read_predictions(RESULTS / track)
    assert registered.keys() - {"seeds"} == {*PREDICTORS}
    for name in PREDICTORS:
        ladder = read_ladder(RESULTS, track)
        for rung in (rung for own in ladder.values() for rung in own.values() if name != "elsewhere"):
            seeds = max(map(len, rung.main.values()))
            for method in [method for method, own in rung.main.items() if len(own) < seeds]:
                del rung.numbers["sliced_w2"][method]
        for (data, metric), pairs in registered[name].pairs.items():
            tasks = ladder.keys() - {data} if data == "spirals" else known
            found = {task: {2000: ladder[task][2000], 20_000: ladder[task][20_000]} for task in tasks}
            found |= {data: {2000: ladder[data][2000]}}
            again = tomllib.loads(predictions(name, track, found, 2000, 20_000, planned(track)))
            written = {" | ".join(pair): p for pair, p in pairs.items()}
            tolerance = 0.0075 if (name, known) == ("held", KNOWN) and data != "spirals" else 0.0006
            assert {pair: again[data][metric][pair] for pair in written} == pytest.approx(written, abs=tolerance)


ONE_TASK = [*RESULTS.glob("digits-v1/predictions_*.toml"), *RESULTS.glob("latents-v1/predictions_*.toml")]


@pytest.mark.parametrize("path", ONE_TASK, ids=lambda path: f"{path.parent.name} {path.stem}")
def test_the_registered_predictions_of_one_task_come_from_its_shorter_budgets(path, monkeypatch):
    """`ratio` had no Laplace correction for digits-v1."""
    track, name = path.parent.name, path.stem.removeprefix("predictions_")
    monkeypatch.setattr(predictors, "ADDED", int(track != "digits-v1"))
    content, ladder = tomllib.loads(path.read_text("utf-8")), read_ladder(RESULTS, track)
    for own in ladder.values():
        own.pop(content["to"], None)
    registered = stated(path.read_text("utf-8"))
    rows = {method for own in registered.pairs.values() for pair in own for method in pair}
    then = {(named(data), content["to"]): dict.fromkeys(rows, ()) for data, _ in registered.pairs}
    again = stated(predictions(name, track, ladder, content["from"], content["to"], then))
    assert again.pairs.keys() == registered.pairs.keys()
    for task, pairs in registered.pairs.items():
        assert again.pairs[task] == pytest.approx(pairs, abs=0.0006)
