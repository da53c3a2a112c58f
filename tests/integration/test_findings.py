"""Findings of tracks and studies, from their published records, with what would refute them."""

import re
import tomllib
from itertools import product

import numpy as np
import pytest
from helpers.boards import pairs_of, published
from helpers.paper_differences import EFFICIENT, EPSILONS, PIXELS, RE_WEIGHTED, pixel_wcfm
from helpers.published import (
    CARDS,
    RESULTS,
    all_pairs,
    below,
    by_metric,
    defaults,
    difference,
    halved,
    holm,
    in_order,
    mean,
    rows,
    rows_of,
    says,
    signed,
    step_costs,
    values,
)
from scipy.stats import ttest_rel

POWER = "../docs/metric_power.md"
LOSSES = ("meanflow", "shortcut", "consistency", "lagrangian", "tvm", "eulerian", "progressive", "alphaflow")


def row(loss, coupling=""):
    return f"{loss} coupling={coupling} steps=32" if coupling else f"{loss} steps=32"


@pytest.mark.parametrize("data", ["checkerboard", "moons"])
def test_card_32_states_by_how_much_semidiscrete_pairs_are_better(data):
    def means(coupling, nfe):
        return {loss: mean("maps-v1", data, row(loss, coupling), "sliced_w2", nfe=nfe) for loss in LOSSES}

    shares = []
    for nfe in (2, 4):
        own, other = means("semidiscrete", nfe), means("", nfe)
        shares += [100 * (1 - own[loss] / other[loss]) for loss in LOSSES]
    assert f"by {min(shares):.0f} to {max(shares):.0f} % on {data}" in CARDS["32"]
    assert f"{own['alphaflow']:.3f} vs. {other['alphaflow']:.3f}" in CARDS["32"]  # at NFE 4
    assert min(own, key=own.get) == min(other, key=other.get) == "alphaflow"
    said = (
        "at NFE 2 and 4, all eight losses have a better sliced W2 with semidiscrete pairs than with independent pairs."
    )
    assert says("README.md", said)


def test_drifting_is_ahead_of_all_flow_maps_but_these():
    """Paired over seeds, with Holm's correction for all 88 comparisons."""
    three, one = "drifting", "drifting temperatures=?0.05? normalize=false"
    level = {
        ("checkerboard", three): {row("meanflow", "semidiscrete")},
        ("moons", three): {row("alphaflow", "semidiscrete"), "sdcfm"},
        ("checkerboard", one): {row("alphaflow", "semidiscrete")},
        ("moons", one): set(),
    }
    behind = {("checkerboard", three): {row("alphaflow", "semidiscrete"), row("progressive", "semidiscrete"), "sdcfm"}}
    maps = [row(*pair) for pair in product({*LOSSES} - {"consistency"}, ("", "ot", "semidiscrete"))]
    tests, stated = {}, []
    for (data, drifting), other in product(level, ["sdcfm", *maps]):
        own = in_order("drifting", data, drifting, "sliced_w2")  # its only NFE is 1
        flow = in_order("maps-v1", data, other, "sliced_w2", nfe=1)
        tests[(data, drifting), other] = ttest_rel(own, flow)
        if drifting == one and other in ("sdcfm", row("alphaflow", "semidiscrete")):
            stated.append(signed(*halved(own - flow), 3))
    assert len(tests) == 88
    assert says("35", "pairs: checkerboard {1}, moons {3}; minus SD-CFM: {0}, {2} |".format(*stated))
    corrected = holm({key: test.pvalue for key, test in tests.items()})
    for case in level:
        of = [key for key in tests if key[0] == case]
        assert {key[1] for key in of if corrected[key] > 0.05} == level[case]
        assert {key[1] for key in of if corrected[key] < 0.05 and tests[key].statistic > 0} == behind.get(case, set())
    for said in (
        "drifting at one temperature is ahead of SD-CFM and of all flow maps, except `alphaflow` on checkerboard (not",
        "drifting at three temperatures is ahead of all, except SD-CFM, `alphaflow` and `progressive` on checkerboard",
        "on checkerboard (behind), and `meanflow` on checkerboard and SD-CFM and `alphaflow` on moons (not separated)",
        "the flow maps named here are on semidiscrete pairs |",
    ):
        assert says("35", said)


WIDE = "wcfm net=mlp(width=128) kappa=0.5 *=16"


@pytest.mark.parametrize("data", ["mixture", "mixture dims=8", "mixture dims=50"])
def test_the_coupling_is_the_main_loss_of_wcfm_on_mixtures(data):
    coupling, total = (
        in_order("error-budget-tasks", data, WIDE, part, steps=2000)
        for part in ("error_budget.coupling", "error_budget")
    )
    middle, half = halved(coupling / total)
    assert middle - half > 2 / 3
    assert says("38", "more than two thirds of the error of W-CFM comes from its coupling, in 2D, 8D and 50D.")


def test_a_larger_network_halves_its_part_and_leaves_the_coupling():
    small, wide = (
        [in_order(*suite, f"error_budget.{part}", steps=2000) for part in ("coupling", "network")]
        for suite in (
            ("error-budget", "8gaussians", "wcfm kappa=0.5 *=16"),
            ("error-budget-tasks", "8gaussians", WIDE),
        )
    )
    np.testing.assert_allclose(wide[0], small[0], atol=1e-6)
    assert (wide[1] < 0.6 * small[1]).all()
    coupling, network, half_of_it = (signed(*halved(own), 3)[1:] for own in (small[0], small[1], wide[1]))
    assert f"network part on 8gaussians at kappa 0.5: {network}, then {half_of_it} (twice as wide)," in CARDS["39"]
    assert f"coupling part {coupling} in all three |" in CARDS["39"]


def test_at_equal_steps_progressive_is_ahead_of_lagrangian_at_nfe_1_only():
    task, pair = ("maps-equal-steps", "checkerboard"), (row("lagrangian"), row("progressive"))
    for steps in (2000, 10_000):
        assert below(*task, "sliced_w2", *reversed(pair), nfe=1, steps=steps)
        assert all(below(*task, "sliced_w2", *pair, nfe=nfe, steps=steps) for nfe in (2, 4))
        names = {labels["model"] for labels, _, _ in rows(task[0])}
        models = {name: values(*task, name, "sliced_w2", nfe=1, steps=steps) for name in names}
        assert all_pairs(models)[pair] <= 0.05
    assert says("33", "with Holm over all pairs, progressive is ahead at NFE 1 on moons and at equal steps,")
    assert says("33", "at equal steps on checkerboard, Lagrangian is ahead at NFE 2 and 4;")


def test_on_cifar10_fd_falls_with_every_larger_epsilon_and_is_lowest_for_cfm():
    models = [*map(pixel_wcfm, EPSILONS), "cfm *"]
    means, kid = ([mean(*PIXELS, model, metric) for model in models] for metric in (EFFICIENT, "kid"))
    assert means == sorted(means, reverse=True)
    assert kid[:5] == sorted(kid[:5], reverse=True)
    assert kid[4] == pytest.approx(kid[5], rel=0.01)
    assert says(
        "W12", "here, CFM has the lowest FD, and epsilon 7.5, which is closer to CFM, the lowest of the five, but"
    )
    assert says("W12", "KID orders the five alike, with epsilon 7.5 level with CFM")


def test_a_lower_temperature_gives_samples_of_smaller_norm():
    *norms, cfm = (mean(*PIXELS, model, "norm") for model in (*map(pixel_wcfm, EPSILONS), "cfm *"))
    assert [*norms, cfm] == sorted([*norms, cfm])
    floors = {result["floor"] for _, _, result in rows("cifar10-small") if result["metric"] == "norm"}
    said = f"{', '.join(f'{norm:.1f}' for norm in norms)}, of CFM's {cfm:.1f}, of a real image {np.mean([*floors]):.1f}"
    assert said in CARDS["44"]


def apart_on_pixels(metric):
    """Return the pairs of the suite that three seeds separate with Holm's correction over all pairs, and the others."""
    models = {model: values(*PIXELS, model, metric) for model in (*map(pixel_wcfm, EPSILONS), "cfm *", RE_WEIGHTED)}
    p = all_pairs(models)
    apart = {frozenset(pair) for pair in p if p[pair] <= 0.05}
    return apart, {*map(frozenset, p)} - apart


def test_after_correction_fd_separates_two_pairs_of_cifar10_and_norm_all_but_wcfm_and_its_control():
    apart, _ = apart_on_pixels(EFFICIENT)
    assert apart == {frozenset({pixel_wcfm("1"), pixel_wcfm("7.5")}), frozenset({pixel_wcfm("3"), RE_WEIGHTED})}
    apart, together = apart_on_pixels("norm")
    assert (len(apart), together) == (20, {frozenset({pixel_wcfm("5"), RE_WEIGHTED})})
    said = "with Holm over the 21 pairs of the table, FD separates only epsilon 1 from 7.5 and epsilon 3 from"
    assert all(says(card, said) for card in ("44", "W12"))
    assert says("44", "the control of card 9, and norm all pairs but epsilon 5 and the control |")
    assert says("9", "with Holm over the 21 pairs of the table, norm separates all pairs but this one")
    share = mean(*PIXELS, pixel_wcfm("1"), "tilt.ess")
    assert f"at epsilon 1 only {100 * share:.0f} % of the pairs count" in CARDS["44"]


def test_more_seeds_would_help_where_images_are_few():
    models = [*map(pixel_wcfm, EPSILONS), "cfm *", RE_WEIGHTED]
    found = [in_order(*PIXELS, model, EFFICIENT) for model in models]
    means, spread = [own.mean() for own in found], np.median([own.std(ddof=1) for own in found])
    errors = [r["details"]["standard_error"] for _, _, r in by_metric("cifar10-small")[EFFICIENT, "main"]]
    said = f"FD is {min(means):.0f} to {max(means):.0f}, its standard error over samples is {np.mean(errors):.1f}, and "
    assert says(POWER, f"{said}its median standard deviation over seeds is {spread:.1f}.")


def errors_and_spreads(suite, metric):
    """Return {(model, steps): mean recorded standard error, standard deviation over seeds}."""
    found = {}
    for labels, spec, result in by_metric(suite)[metric, "main"]:
        if "standard_error" in (result.get("details") or {}):
            found.setdefault((labels["model"], spec["plan"]["steps"]), []).append(result)
    return {
        key: (np.mean([r["details"]["standard_error"] for r in own]), np.std([r["value"] for r in own], ddof=1))
        for key, own in found.items()
    }


def test_the_spread_of_flow_matching_over_seeds_is_its_sampling_error_except_after_200_steps():
    far = errors_and_spreads("digits", "fd-digits_cnn")
    said = "a standard error of {:.1f} for the dequantized starflow and {:.1f} for tarflow."
    assert says(POWER, said.format(*(far[flow, 800][0] for flow in ("starflow", "tarflow"))))
    found, below_error = errors_and_spreads("digits-v1", "fd-digits_cnn"), {}
    for model in ("cfm", "otcfm", "sdcfm", "wcfm", "wcfm-balanced"):
        for steps in (200, 800, 4000):
            error, spread = found[model, steps]
            below_error.setdefault(steps, []).append(spread < error)
    assert {steps: sum(own) for steps, own in below_error.items()} == {200: 1, 800: 4, 4000: 5}
    assert says(
        POWER, "below the recorded standard error for four of five after 800 steps and for all five after 4,000:"
    )
    assert says(POWER, "After 200 steps, it is above the error for four of five.")


def test_on_tori_otcfm_is_at_the_floor_before_wcfm():
    short, long = (pairs_of(published("transport-v1"), "tori", steps=steps).at_floor for steps in (2000, 20_000))
    assert {"otcfm", "wcfm"} & short == {"otcfm"}
    assert {"otcfm", "wcfm", "cfm"} <= long
    said = "after 2,000 steps with default settings, W-CFM is separated from the floor and OT-CFM is not;"
    assert says("31", f"{said} after 20,000 steps, W-CFM, OT-CFM and CFM are all at the floor, but five")


@pytest.mark.parametrize("plan", [{"steps": 20_000}, {"table": "tuned"}], ids=str)
def test_on_tori_longer_training_and_tuning_make_wcfm_straighter_than_otcfm(plan):
    own, ot = (mean("transport-v1", "tori", model, "straightness", **plan) for model in ("wcfm", "otcfm"))
    stated = signed(*difference("transport-v1", "tori", "straightness", "wcfm", "otcfm", **plan), 4)
    assert f"({own:.4f} vs. {ot:.4f}: {stated}" in CARDS["2"]


def test_after_20000_steps_on_tori_five_seeds_leave_room_between_wcfm_and_the_floor():
    found = {}
    for labels, spec, result in by_metric("transport-v1")["sliced_w2", "main"]:
        if labels["data"] == "tori" and spec["plan"]["steps"] == 20_000:
            found.setdefault(labels["row"], {})[spec["seed"]] = result["value"], result["floor"]
    rooms = [ttest_rel(*zip(*found[model].values(), strict=True)).confidence_interval() for model in ("wcfm", "cfm")]
    stated = " and ".join(f"{room.low:.4f} to {room.high:.4f} for {{}}" for room in rooms)
    assert f"excess over the floor are {stated.format('W-CFM', 'CFM')} |" in CARDS["31"]


def test_of_held_out_captions_the_look_is_right_and_the_class_wrong():
    model = "starflow noise=0.1 text=words"
    both, held_out, look, own_class = (
        mean("captions", "digits-captions*", model, f"caption_accuracy.{part}")
        for part in ("both", "held_out_both", "held_out_look", "held_out_class")
    )
    assert f"{both:.3f} for trained combinations, {held_out:.3f} for held-out ones, where" in CARDS["28"]
    assert f"the look is right in {look:.3f} and the class in {own_class:.3f}" in CARDS["28"]


FD, LABELED_STAR = "fd-digits_cnn", "starflow noise=0.1 conditional=true"


def test_holm_separates_otcfm_and_cfm_in_the_suite_digits_but_over_the_pairs_of_digits_v1_at_no_settings():
    models = {labels["model"] for labels, _, _ in by_metric("digits")[FD, "main"]}
    p = all_pairs({model: values("digits", "digits", model, FD) for model in models})
    assert p["cfm", "otcfm"] <= 0.05
    boards = [pairs_of(published("digits-v1", own), "digits", steps=800) for own in ("default", "tuned")]
    assert not any(board.apart("otcfm", "cfm") for board in boards)
    (count,) = {len(board.p) for board in boards}
    for model in ("otcfm", "cfm"):
        assert values("digits-v1", "digits", model, FD) == values("digits", "digits", model, FD)
    said = "neither with default settings (the same values) nor with tuned ones ("
    pages = (
        "../docs/metric_power.md",
        f"but still separated ({len(p)} pairs; not over the {count} pairs of `digits-v1`)",
    )
    assert says(*pages)
    assert says("O5", f"in the suite digits ({len(p)} pairs), but in digits-v1 ({count} pairs) {said}#,")


def test_a_tuned_learning_rate_alone_brings_starflow_with_labels_near_its_guided_samples():
    specs = {}
    for table in ("default", "tuned"):
        (*_, specs[table]) = (
            own["spec"]
            for own in defaults("digits-v1", table)
            if LABELED_STAR in rows_of(own, table) and own["spec"]["plan"]["steps"] == 800
        )
    parts = [{part: spec[part] for part in ("data", "model")} for spec in specs.values()]
    assert parts[0] == parts[1]
    default, tuned = (spec["plan"] for spec in specs.values())
    assert {key for key in default.keys() & tuned.keys() if default[key] != tuned[key]} == {"lr"}
    fd = mean("digits-v1", "digits", LABELED_STAR, FD, table="tuned")
    said = f"a tuned learning rate alone brings STARFlow to {fd:.1f} without guidance"
    assert all(says(card, said) for card in ("27", "F3"))


def test_pages_state_the_cost_of_a_step_on_an_idle_machine():
    plane, moons = step_costs("plane-v1"), step_costs("plane-v1")["moons"]
    transport = sorted(f"{own['wcfm']:.2f}" for own in step_costs("transport-v1").values())
    in_8d, in_50d, digits = (
        own["wcfm"] for own in (plane["mixture dims=8"], plane["mixture dims=50"], step_costs("digits-v1")["digits"])
    )
    said = (
        f"{moons['wcfm']:.2f} times a CFM step in 2D, {in_8d:.2f} in 8D, {in_50d:.2f} in 50D (plane-v1), "
        f"{' to '.join(transport)} from data to data (transport-v1), {digits:.2f} on digits"
    )
    assert says("W2", f"| effect | a step takes {said} |")  # test_pages.py has the cost in latents
    assert f"a step takes {moons['wcfm-balanced']:.1f} times the CPU time of a CFM step in 2D" in CARDS["11"]
    ratios = ", ".join(f"{moons[model]:.1f} times ({model})" for model in ("otcfm", "wcfm-balanced", "sdcfm"))
    said = f"a step on moons takes {ratios} and {moons['wcfm']:.2f} times (wcfm) the CPU time of a CFM step"
    assert says("couplings.md", said)


def test_balanced_weights_have_the_kappa_of_a_rule_that_limits_their_lacking_tilt():
    page = (RESULTS.parent / "docs" / "sweeps.md").read_text("utf-8")
    for track in ("plane-v1", "transport-v1", "digits-v1"):
        models = [own["spec"]["model"] for own in defaults(track)]
        assert {own["kappa"] for own in models if own["name"] == "wcfm-balanced"} == {"elbow"}
    stated = signed(*difference("digits-v1", "digits", FD, "wcfm-balanced", "cfm"), 1)
    assert f"On digits it is almost CFM (FD minus CFM's {stated})" in page
    suite = tomllib.loads((RESULTS.parent / "genbench" / "suites" / "latents-v1.toml").read_text("utf-8"))
    (kappa,) = {own["kappa"] for own in suite["models"] if own["name"] == "wcfm-balanced"}
    assert f"In `latents-v1` its kappa is\n{kappa}, not the rule's 0.354." in page
    assert re.search(r"^\| CIFAR-10, latents of `cifar10-8x8x8` \| 0.5 \| 0.354 ", page, re.M)
