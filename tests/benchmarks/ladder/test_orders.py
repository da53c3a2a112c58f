"""Orders at two budgets: planted ones are found, and intervals cover the true tau and follow the paired t test."""

import copy

import numpy as np
import pytest
from helpers.tracks import planted

from benchmarks.ladder.orders import Rung, complete, interval, margins, means_drawn, order, rungs, tau
from genbench.analysis.significance import paired

METHODS = 8


def test_the_interval_holds_the_true_tau_where_variances_differ(measured):
    stream, inside, widths = np.random.default_rng(1), 0, []
    for _ in range(100):
        short = 4 * stream.standard_normal(METHODS)
        long = 0.5 * short + 3 * stream.standard_normal(METHODS)
        errors = np.exp(stream.standard_normal(METHODS))
        found = order(measured(short, errors, 10), measured(long, errors))
        low, high = interval(found.tau, found.drawn)
        inside += low - 1e-9 <= tau(short, long) <= high + 1e-9
        widths.append(high - low)
    assert inside >= 89
    assert np.mean(widths) < 0.8  # -1 to 1 would always cover it


def test_the_interval_holds_a_true_tau_of_1():
    """Draws of tau lie below it: their percentiles held a tau of 1 in no case. Seeds vary half as much as methods."""
    stream, inside = np.random.default_rng(2), []
    for _ in range(40):
        means = 2 * stream.standard_normal(15)
        one, other = (
            {f"m{i}": dict(enumerate(row)) for i, row in enumerate(means[:, None] + stream.standard_normal((15, 5)))}
            for _ in range(2)
        )
        found = order(one, other)
        inside.append([interval(found.tau, found.drawn)[1] >= 1, np.quantile(found.drawn, 0.975) >= 1])
    joined, percentiles = np.mean(inside, axis=0)
    assert joined >= 0.8
    assert percentiles < 0.2


def test_draws_of_a_difference_have_the_interval_of_the_paired_test(measured):
    values = measured([0.0, 1.0, 5.0], [1.0, 2.0, 0.1], shift=50.0)
    (drawn,) = means_drawn(values)
    for one, other in ((0, 1), (1, 2)):
        known = paired(values[f"m{one}"], values[f"m{other}"])
        ends = interval(known.mean, drawn[:, one] - drawn[:, other])
        assert ends == pytest.approx((known.low, known.high), rel=0.15, abs=0.1)


def test_what_a_seed_does_at_both_budgets_does_not_change_the_order(measured):
    values = measured([0.0, 0.4, 0.8, 1.2, 1.6])
    same = order(values, values)
    other = order(values, {name: {seed + 5: value for seed, value in own.items()} for name, own in values.items()})
    assert same.tau == other.tau == 1
    assert same.drawn.mean() > other.drawn.mean() + 0.05


def test_pairs_that_are_told_apart_are_counted_with_their_signs(measured):
    means = 100.0 * np.arange(METHODS)
    swapped = means.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    found = order(measured(means), measured(swapped))
    assert (found.methods, found.decided, found.held, found.turned) == (METHODS, 28, 27, (("m0", "m1"),))
    real = measured([100.0])["m0"]  # the two that were turned are 0 and 100
    floored = order(measured(means), measured(swapped), real)
    assert (found.level, floored.level) == (0, 1)
    assert (floored.held, floored.turned) == (found.held, ())
    assert interval(found.tau, found.drawn) == pytest.approx((1 - 2 / 28, 1 - 2 / 28))
    x = np.arange(5.0)
    assert [tau(x, y) for y in (x**3, -x, np.array([1.0, 0, 2, 3, 4]), 0 * x)] == [1, -1, 0.8, 0]


def test_few_methods_or_one_seed_have_no_order(measured):
    values = measured(np.arange(5.0))
    assert order(values, values).methods == 5
    assert order(values, {name: own for name, own in values.items() if name != "m2"}) is None
    assert order(values, {name: {0: own[0]} for name, own in values.items()}) is None
    lacking = values | {"m2": {0: 1.0}}
    assert order(lacking, values) is None


def test_seeds_that_few_methods_have_do_not_count(measured):
    values = measured(np.arange(5.0))
    more = values | {"m0": values["m0"] | {9: 1e6}}
    assert order(more, values).tau == order(values, values).tau == 1


def test_differences_are_ratios_of_means_that_hold_or_not(measured):
    short, long = (measured(means, 0.0, shift=0.0) for means in ([1.5, 1.0, 3.0], [0.9, 1.0, 0.95]))
    found = {margin.pair: (margin.ratio, margin.held) for margin in margins(short, long)}
    assert found == {("m1", "m0"): (1.5, False), ("m0", "m2"): (2.0, True), ("m1", "m2"): (3.0, False)}


def test_a_pair_is_separated_at_the_shorter_budget(measured):
    far, near = measured([1.0, 100.0, 200.0], 0.1), measured([1.0, 1.0, 1.0])
    assert {margin.separated for margin in margins(far, near)} == {True}
    assert {margin.separated for margin in margins(near, far)} == {False}


def test_a_seed_that_one_method_lacks_is_left_out_for_all(measured):
    """A method that failed with one seed was left out, and took the differences with it that did not last."""
    values = measured(np.arange(6.0))
    failed = {**values, "m5": {seed: value for seed, value in values["m5"].items() if seed != 3}}
    one, other = complete(failed, values)
    assert [*one] == [*other] == [*values]
    assert {tuple(own) for own in one.values()} == {(0, 1, 2, 4)}
    assert {tuple(own) for own in other.values()} == {(0, 1, 2, 3, 4)}


def test_a_method_with_few_seeds_does_not_cost_the_others_theirs(measured):
    values = measured(np.arange(6.0), seeds=10)
    few = {**values, "m5": {0: 0.0, 1: 1.0}}
    (found,) = complete(few)
    assert ([*found], len(found["m0"])) == ([*values][:5], 10)
    lacking = {name: {seed: v for seed, v in own.items() if f"m{seed}" != name} for name, own in values.items()}
    (found,) = complete({name: lacking[name] if name in ("m3", "m4") else own for name, own in few.items()})
    assert {name: len(own) for name, own in found.items()} == dict.fromkeys([*values][:5], 8)


def test_a_seed_that_two_of_six_methods_lack_is_left_out_for_all(measured):
    """The four methods with all seeds counted alone, and an order needs five."""
    values = measured(np.arange(6.0), seeds=3)
    begun = {name: own if name < "m4" else {0: own[0], 1: own[1]} for name, own in values.items()}
    (found,) = complete(begun)
    assert {name: [*own] for name, own in found.items()} == {name: [0, 1] for name in values}


def test_records_become_rungs():
    records = planted()
    later, untrained, stopped, tuned = (copy.deepcopy(records) for _ in range(4))
    for own, plan in (
        (later, {"steps": 50}),
        (untrained, {"steps": 0}),
        (stopped, {"steps": 70, "stop": "validation"}),
    ):
        for record in own:
            record["spec"]["plan"] |= plan
    for record in tuned:
        record["spec"]["plan"]["steps"] = 90
        record["track"][0]["tables"] = ["tuned"]
    later[0]["results"] += [later[0]["results"][0] | {"metric": "nfe"}]
    later[0]["results"] += [later[0]["results"][0] | {"metric": "recall", "better": "higher", "value": 0.75}]
    found = rungs([*records, *later, *untrained, *stopped, *tuned], {})
    assert {data: [*own] for data, own in found.items()} == {"moons": [20, 50], "pinwheel": [20, 50]}
    rung = found["moons"][50]
    assert isinstance(rung, Rung)
    assert set(rung.numbers) == {"sliced_w2", "sliced_w2, NFE 1", "sliced_w2, NFE 4", "recall"}
    assert [*rung.main] == ["cfm", "otcfm", "nsf", "vp"]
    assert rung.numbers["recall"] == {"cfm": {0: -0.75}}
    for record in records:
        del record["track"]
    assert not rungs(records, {})


def test_a_budget_is_finished_once_each_planned_training_has_values_or_has_failed():
    records = planted()
    seeds: dict[str, set[int]] = {}
    for record in records:
        seeds.setdefault(record["track"][0]["row"], set()).add(record["spec"]["seed"])
    plan = {("moons", 20): seeds, ("pinwheel", 20): {"cfm": range(7)}}
    failed = next(n for n, record in enumerate(records) if record["labels"]["data"] == "moons")
    records[failed] = records[failed] | {"results": [], "failure": "no"}
    found = rungs(records, plan)
    assert found["moons"][20].unfinished == ()
    assert found["pinwheel"][20].unfinished == ("cfm (seed 5 and 6)",)
    lost = records[failed]["spec"]["seed"], records[failed]["track"][0]["row"]
    assert rungs(records[:failed] + records[failed + 1 :], plan)["moons"][20].unfinished == (
        f"{lost[1]} (seed {lost[0]})",
    )


def test_only_values_of_one_protocol_are_joined():
    """Bits of noisy data stood beside bits of data. Here nsf has another protocol at both budgets, cfm at one.

    A protocol that is the commonest at one budget only does not count there: kid of 64 images at 50 steps.
    """
    records = planted()
    later = copy.deepcopy(records)
    for record in later:
        record["spec"]["plan"]["steps"] = 50
    for record in (*records, *later):
        name, rows = record["track"][0]["row"], record["results"]
        noisy = name == "nsf" or (name == "cfm" and record["spec"]["plan"]["steps"] == 50)
        density = "data + N(0, 0.05^2)" if noisy else "data"
        given = rows[0] | {"value": 3.0}
        bits = given | {"metric": "bits_per_dim", "protocol": f"density of {density}"}
        few = record["spec"]["plan"]["steps"] == 50 and name != "otcfm"
        kid = given | {"metric": "kid", "protocol": f"n={64 if few else 512}"}
        curve = [row | {"protocol": "32 directions"} for row in rows if row["nfe"] == 4 and name == "otcfm"]
        record["results"] = [*(row for row in rows if row["nfe"] != 4 or name != "otcfm"), *curve, bits, kid]
    rung = rungs([*records, *later], {})["moons"]
    assert [[*rung[steps].numbers["bits_per_dim"]] for steps in (20, 50)] == [
        ["cfm", "otcfm", "vp", "reflow"],
        ["otcfm", "vp", "reflow"],
    ]
    assert [*rung[50].numbers["kid"]] == ["otcfm"]
    for steps in (20, 50):
        assert [*rung[steps].numbers["sliced_w2, NFE 1"]] == ["cfm", "otcfm", "vp"]
        assert [*rung[steps].numbers["sliced_w2, NFE 4"]] == ["cfm", "vp"]
        assert [*rung[steps].main] == ["cfm", "otcfm", "nsf", "vp"]


def test_losses_order_methods_only_where_they_are_likelihoods():
    """Each method has a loss of its own, by the same protocol. Points along a training overwrote its end."""
    records = planted()
    for record in records:
        row, name = record["results"][0], record["track"][0]["row"]
        loss = row | {"metric": "validation_loss", "value": 1.0, "better": "none", "protocol": "its own loss"}
        bits = loss | {"metric": "validation_loss.bits", "better": "lower", "value": 2.0}
        bits |= {"protocol": f"density of {'noisy data' if name == 'vp' else 'data'}"}
        during = [each | {"point": "training", "step": 9, "value": 7.0} for each in (loss, bits)]
        record["results"] += [loss, *([bits] if name in ("nsf", "vp") else []), *during]
    rung = rungs(records, {})["moons"][20]
    assert set(rung.numbers) == {"sliced_w2", "sliced_w2, NFE 1", "sliced_w2, NFE 4", "validation_loss.bits"}
    assert rung.numbers["validation_loss.bits"] == {"nsf": dict.fromkeys(range(5), 2.0)}


def test_costs_and_metrics_that_blur_improves_order_no_methods():
    """Blurred images have a higher density and precision than real ones. A tilt is about training pairs."""
    ordered = {"precision_recall.recall", "density_coverage.coverage"}
    unordered = {"precision_recall.precision", "density_coverage.density", "tilt.ess", "failed"}
    records = planted()
    for record in records:
        row = record["results"][0] | {"better": "higher", "value": 0.5}
        record["results"] = [row | {"metric": name} for name in ordered | unordered]
    assert rungs(records, {})["moons"][20].numbers.keys() == ordered


def test_a_budget_without_values_of_the_headline_has_no_order():
    records = planted()
    for record in records:
        record["results"] = [row | {"metric": "nll"} for row in record["results"]]
    rung = rungs(records, {})["moons"][20]
    assert (rung.main, rung.headlines) == ({}, [])
    assert order(rung.main, rung.main) is None
