"""The differences on cards of findings and in studies, and what speaks against them, from the records alone."""

from fnmatch import fnmatch
from functools import cache

import numpy as np
import pytest
from helpers.paper_differences import DIFFERENCES, EPSILONS, FD, LONG, MID, PIXELS, RE_WEIGHTED, STAR, pixel_wcfm
from helpers.published import (
    CARDS,
    PAPERS,
    SIGNED,
    all_pairs,
    by_metric,
    difference,
    halved,
    holm,
    in_order,
    mean,
    rows,
    says,
    signed,
    text_of,
    values,
)
from scipy import stats

OWN_WEIGHTS, TUNED = {"stop": "steps"}, {"table": "tuned"}

UNET, DIT, DEEP = "cfm net=unet*", "cfm net=dit*", "starflow blocks=?5,1,1,1? *"
LATENT = "cfm net=dit(width=128,depth=4,heads=4) encoder=*"
LATENTS, EFFICIENT = "cifar10*", "fd-efficientnet_lite0"
BUDGET = "error_budget"
ON_MOONS = "few-steps", "moons", "w2", "meanflow coupling=semi*", "sdcfm", {"nfe": 1, "steps": 1600}, {"steps": 2050}
VP, DIGITS = ("plane-v1", "8gaussians"), ("digits-v1", "digits", FD)

SHARED = [
    (int(card), digits, words) for cards, digits, words, *_ in DIFFERENCES for card in cards.split() if card.isdigit()
]
"""Differences that cards of papers state as well."""
OWN = [
    (1, 2, ("synthetic", "8gaussians", "straightness", "wcfm kappa=1.0", "cfm")),
    (3, 3, ("synthetic", "8gaussians", "w2", "wcfm kappa=0.5", "cfm")),
    *((card, 3, ("synthetic", "8gaussians", "w2", "wcfm kappa=2.0", "cfm")) for card in (4, 5)),
    (4, 3, ("batch", "8gaussians", "w2", "wcfm kappa=2.0", "cfm", {"batch_size": 16})),
    (7, 2, ("couplings-dims", "mixture dims=8 *", "straightness", "wcfm *kappa=0.5", "otcfm *")),
    (8, 3, ("couplings-dims", "mixture dims=8 *", "w2", "wcfm *kappa=2.0", "cfm *")),
    (10, 1, ("images", LATENTS, EFFICIENT, "wcfm net=* kappa=0.125 *", LATENT)),
    (9, 1, (*PIXELS, EFFICIENT, pixel_wcfm("5"), RE_WEIGHTED)),
    *((9, 2, (*PIXELS, "norm", pixel_wcfm("5"), other)) for other in (RE_WEIGHTED, "cfm *")),
    *((44, 1, (*PIXELS, EFFICIENT, pixel_wcfm(epsilon), "cfm *")) for epsilon in EPSILONS if epsilon != "5"),
    (42, 2, ("digits-long", "digits", FD, "wcfm kappa=0.5", "cfm")),
    (42, 1, ("digits", "digits", FD, "wcfm kappa=0.0902", "cfm")),
    (42, 0, (*DIGITS, "wcfm", "cfm", {"nfe": 1})),
    *((42, 1, (*DIGITS, "wcfm", "cfm", plan)) for plan in (TUNED, {"steps": 4000})),
    *((31, 4, ("transport-v1", "tori", "sliced_w2", "wcfm", "cfm", plan)) for plan in (MID, TUNED)),
    (43, 3, ("large-batches", "tori", "straightness", "wcfm", "cfm")),
    (43, 4, ("large-batches", "tori", "straightness", "wcfm kappa=0.125", "otcfm")),
    *(
        (12, 3, (suite, "8gaussians-moons", "w2", "wcfm-balanced kappa=0.5", "cfm"))
        for suite in ("balanced", "wcfm-toys")
    ),
    *(
        (12, 3, ("transport-v1", "8gaussians-moons", "sliced_w2", "wcfm-balanced", "cfm", plan))
        for plan in ({}, LONG, TUNED)
    ),
    (12, 3, ("transport-v1", "gaussians-5gaussians", "sliced_w2", "wcfm-balanced", "cfm", LONG)),
    *(
        (14, 3, ("tutorial", data, "w2", "otcfm *", "cfm *"))
        for data in ("8gaussians", "moons-8gaussians", "8gaussians-moons", "moons scale=*")
    ),
    *((15, 0, ("couplings-digits", "digits", FD, "sdcfm", o, {"nfe": 1})) for o in ("otcfm", "otcfm pool=8", "cfm")),
    (15, 0, (*DIGITS, "meanflow steps=32", "sdcfm", {"nfe": 1} | TUNED)),
    *((16, 3, ("conditions", "branches", "conditional_w2", own, "cfm")) for own in ("otcfm mismatch=0.0", "otcfm")),
    *(
        (18, 3, ("few-steps", "8gaussians", "w2", "meanflow coupling=semi*", o, {"nfe": 1, "steps": 1600}, own))
        for o, own in (("meanflow coupling=gibbs*", {}), ("sdcfm", {"steps": 2050}), ("meanflow", {}))
    ),
    *(
        (19, 3, ("few-steps", data, "w2", f"meanflow coupling={one}*", "meanflow", {"nfe": 1, "steps": steps}, {}))
        for data in ("8gaussians", "moons")
        for one, steps in (("ot", 3330), ("gibbs", 3330), ("ot", 890))
    ),
    (20, 2, ("synthetic", "8gaussians", "energy_distance", "vp", "cfm", {"nfe": 1})),
    (20, 3, ("synthetic", "8gaussians", "energy_distance", "vp", "cfm", {"nfe": 16})),
    (20, 3, ("synthetic", "8gaussians", "w2", "vp", "cfm")),
    *((20, 3, ("plane-v1", "pinwheel", "sliced_w2", "vp", "cfm", plan)) for plan in ({}, TUNED)),
    *((21, 3, ("plane-v1", "moons", "nll", "nsf", "cfm", plan)) for plan in ({}, LONG, TUNED)),
    *((21, 3, ("plane-v1", "8gaussians", "nll", "nsf", "otcfm", plan)) for plan in ({}, TUNED)),
    (22, 1, ("digits", "digits", FD, "starflow", "cfm")),
    (22, 3, ("digits", "digits", "bits_per_dim", "starflow", "cfm")),
    (22, 1, ("digits-long", "digits", FD, "starflow", "cfm", OWN_WEIGHTS, {})),
    (23, 1, ("digits-long", "digits", FD, "starflow", "starflow", OWN_WEIGHTS, {"stop": "validation"})),
    (23, 2, ("digits-long", "digits", "bits_per_dim", "starflow", "starflow", OWN_WEIGHTS, {"stop": "validation"})),
    (25, 0, ("mnist5k", "mnist5k", "fd-mnist5k_cnn", DIT, UNET)),
    (26, 1, (*DIGITS, "starflow noise=0.1", "tarflow noise=0.1")),
    (26, 1, ("digits", "digits", FD, "starflow", "tarflow")),
    *(
        (33, 3, (suite, data, "sliced_w2", "lagrangian steps=32", "progressive steps=32", {"nfe": 1} | plan))
        for suite, data, plan in (
            ("maps-v1", "checkerboard", {}),
            ("maps-v1", "moons", {}),
            ("maps-equal-steps", "checkerboard", {"steps": 10_000}),
        )
    ),
    *(
        (36, 3, ("error-budget", "8gaussians", BUDGET + part, "wcfm kappa=0.5 *=16", "cfm *=16", {"steps": 2000}))
        for part in ("", ".coupling", ".network", ".solver")
    ),
    *(
        (37, 3, ("error-budget", "8gaussians", BUDGET + part, "wcfm kappa=2.0 *=4", "cfm *=4"))
        for part in ("", ".solver")
    ),
    *((40, 3, ("plane-v1", "mixture dims=8", "sliced_w2", own, "cfm", LONG)) for own in ("sdcfm", "otcfm")),
    (40, 3, ("plane-v1", "mixture dims=50", "sliced_w2", "sdcfm", "cfm", LONG)),
    *((40, 3, ("plane-v1", f"mixture dims={dims}", "sliced_w2", "sdcfm", "cfm", TUNED)) for dims in (8, 50)),
    (40, 3, ("plane-v1", "mixture dims=8", "nll", "sdcfm", "cfm")),
    *(
        ("few_steps.md", 3, ("few-steps", data, "w2", "sdcfm", "cfm", {"steps": 2050}, {}))
        for data in ("8gaussians", "moons")
    ),
    ("couplings.md", 3, ("balanced", "8gaussians", "w2", "wcfm-balanced kappa=0.5", "cfm")),
    *(
        ("rankings.md", 3, ("transport-v1", "8gaussians-moons", "sliced_w2", "sdcfm", "wcfm-balanced", plan))
        for plan in ({}, MID, LONG, TUNED)
    ),
]
"""Card or page, digits, and the arguments of `difference`."""
TOGETHER = [
    (5, 3, "after 2,000 steps, kappa 1 is not separated from CFM",
     ("synthetic", "8gaussians", "w2", "wcfm kappa=1.0", "cfm")),
    (8, 2, "W2 is not separated from CFM's", ("couplings-dims", "mixture dims=50 *", "w2", "wcfm *kappa=2.0", "cfm *")),
    (42, 1, "the two are not separated", ("digits", "digits", FD, "wcfm kappa=0.5", "cfm")),
    (12, 3, "the two are not separated after 5,000 steps",
     ("wcfm-toys", "gaussians-5gaussians", "w2", "wcfm-balanced kappa=0.5", "cfm")),
    (15, 1, "SD-CFM is not separated from OT-CFM", ("couplings-digits", "digits", FD, "sdcfm", "otcfm")),
    (18, 3, "on semidiscrete pairs is not separated from SD-CFM", ON_MOONS),
    ("few_steps.md", 4, "MeanFlow on semidiscrete pairs is not separated from SD-CFM", ON_MOONS),
    (20, 3, "the two are not separated with dopri5 (sliced W2", (*VP, "sliced_w2", "vp", "cfm", LONG)),
    (20, 3, "vp has no lead at NFE 16 (sliced W2", (*VP, "sliced_w2", "vp", "cfm", {"nfe": 16} | TUNED)),
    (20, 3, "CFM leads with dopri5 in sliced W2, but not in W2", (*VP, "w2", "vp", "cfm", TUNED)),
    (21, 3, "STARFlow is not separated from SD-CFM, neither after 2,000 steps",
     ("plane-v1", "moons", "nll", "starflow width=16", "sdcfm")),
    (21, 3, "nor after 20,000", ("plane-v1", "moons", "nll", "starflow width=16", "sdcfm", LONG)),
    (26, 1, "the FDs are not separated", (*DIGITS, "starflow noise=0.1", "tarflow noise=0.1", TUNED)),
    (27, 1, "with TARFlow's rule, weight 1 is not separated from weight 0",
     ("guidance", "digits", FD, f"{STAR} guidance=1.0 rule=tarflow", STAR)),
    (37, 4, "with 16 steps, kappa 2 and CFM are not separated",
     ("error-budget", "8gaussians", BUDGET, "wcfm kappa=2.0 *=16", "cfm *=16", {"steps": 2000})),
    (40, 3, "the two are not separated", ("couplings-dims", "mixture dims=8 *", "sliced_w2", "sdcfm *", "cfm *")),
]  # fmt: skip
"""Card or page, digits, what it says before the difference, and the arguments of `difference`."""
ELSEWHERE = {"34": 34, "35": 4, "36": 1, "37": 1, "41": 8, "45": 1, "46": 4}
"""{card: differences that other tests compare, or that are not of two models}."""


def measured(suite, data, metric, one, other, own=None, others=None):
    return difference(suite, data, metric, one, other, **(own or {}), others=others)


@cache
def of_records(place):
    """Return the differences that a card or page has to state, as it writes them."""
    stated = SHARED + OWN + [(own, digits, words) for own, digits, _, words in TOGETHER]
    return {signed(*measured(*words), digits) for own, digits, words in stated if str(own) == place}


@pytest.mark.parametrize("place", {str(own): None for own, *_ in SHARED + OWN + TOGETHER})
def test_a_card_or_page_states_the_differences_of_the_records(place):
    said = text_of(place)
    for size in of_records(place):
        assert size in said or (size[0] == "-" and f"lower by {size[1:]}" in said)


@pytest.mark.parametrize("card", CARDS)
def test_every_difference_of_a_card_is_compared_with_the_records(card):
    """So that `difference` can refuse one of two values at the floor."""
    others = {*SIGNED.findall(CARDS[card])} - of_records(card)
    assert len(others) == ELSEWHERE.get(card, 0)


@pytest.mark.parametrize(("card", "digits", "said", "words"), TOGETHER, ids=str)
def test_what_is_said_not_to_be_separated_is_not(card, digits, said, words):
    middle, half = measured(*words)
    assert abs(middle) < half
    between = " " if "(" in said else " ("
    assert says(card, f"{said}{between}{signed(middle, half, digits)}")


def test_what_is_said_not_to_be_separated_without_a_number_is_not():
    for dims in (8, 50):
        middle, half = difference(
            "error-budget-tasks", f"mixture dims={dims}", f"{BUDGET}.network", "wcfm *kappa=0.5 *", "cfm *"
        )
        assert abs(middle) < half
    assert "the network part of W-CFM is not separated from the network part of CFM in 8D and 50D" in CARDS["36"]
    middle, half = difference("images", LATENTS, EFFICIENT, "starflow * guidance=1.0", "cfm * guidance=1.0")
    assert 0 < middle < half
    assert says("images.md", "The mean of STARFlow stays behind CFM at each w (at w = 1, not separated)")


def test_in_energy_distance_kappa_2_is_behind_cfm():
    for suite in ("synthetic", "kappa"):
        middle, half = difference(suite, "8gaussians", "energy_distance", "wcfm kappa=2.0", "cfm")
        assert middle - half > 0
    assert "in energy distance on 8gaussians, kappa 2 is worse than CFM at both budgets" in CARDS["4"]


def test_at_batch_16_wcfm_is_ahead_of_cfm_by_a_hair():
    own, cfm = (in_order("batch", "8gaussians", m, "w2", batch_size=16) for m in ("wcfm kappa=2.0", "cfm"))
    assert f"p = {stats.ttest_rel(own, cfm).pvalue:.3f}" in CARDS["4"]


def test_on_digits_wcfm_and_cfm_are_not_separated_after_correction():
    stated = []
    compared = (("digits-v1", "wcfm", 2, {}), ("digits-v1", "wcfm", 2, {"steps": 4000}))
    for suite, wcfm, digits, plan in (*compared, ("digits-long", "wcfm kappa=0.5", 3, {})):
        names = {(labels["model"], spec["plan"]["stop"]) for labels, spec, _ in by_metric(suite)[FD, "main"]}
        models = {name: values(suite, "digits", name[0], FD, stop=name[1], **plan) for name in names}
        stated.append(f"{all_pairs(models)[('cfm', 'steps'), (wcfm, 'steps')]:.{digits}f}")
    assert f"the first three are not separated (p = {stated[0]}, {stated[1]} and {stated[2]})" in CARDS["42"]


def test_on_digits_at_one_evaluation_only_reflow_is_ahead_of_sdcfm():
    names = {labels["model"] for labels, _, result in rows("digits-v1") if result.get("nfe") == 1}
    models = {name: values("digits-v1", "digits", name, FD, nfe=1) for name in names}
    means = {name: np.mean([*own.values()]) for name, own in models.items()}
    apart = {name for pair, p in all_pairs(models).items() if p <= 0.05 and "sdcfm" in pair for name in pair}
    level = sorted({*models} - apart, key=means.get)
    assert level == ["cfm conditional=true", "shortcut steps=32", "meanflow steps=32"]
    reflow = "reflow start=anew pairs=10000"
    assert {name for name in apart if means[name] < means["sdcfm"]} == {reflow}
    said = (
        "reflow has an FD of {:.0f} with twice the training; CFM with labels ({:.0f}), shortcut ({:.0f}) and MeanFlow "
    )
    assert said.format(*(means[name] for name in (reflow, *level[:2]))) in CARDS["15"]
    assert f" and MeanFlow ({means[level[2]]:.0f}) are not separated from SD-CFM" in CARDS["15"]


def test_on_moons_nsf_and_tarflow_have_better_likelihoods_than_all_flow_matching():
    flows = {"nsf": "nsf", "TARFlow": "tarflow width=16", "STARFlow": "starflow width=16"}
    names = {labels["row"] for labels, _, _ in by_metric("plane-v1")["nll", "main"] if labels["data"] == "moons"}
    models = {name: values("plane-v1", "moons", name, "nll") for name in names}
    means = {name: np.mean([*own.values()]) for name, own in models.items()}
    assert {len(seeds) for seeds in models.values()} == {10}
    assert ", ".join(f"{name} {means[row]:.3f}" for name, row in (flows | {"CFM": "cfm"}).items()) in CARDS["21"]
    p = all_pairs(models)
    for flow in (flows["nsf"], flows["TARFlow"]):
        for other in names - {*flows.values()}:
            assert means[flow] < means[other]
            assert p[min(flow, other), max(flow, other)] < 0.05
    assert "\n> On moons, nsf and TARFlow have better likelihoods than flow matching.\n" in CARDS["21"]


def test_on_digits_flows_that_are_trained_for_samples_are_compared_by_fd():
    task = "digits-v1", "digits"
    models = {labels["model"] for labels, _, _ in by_metric("digits-v1")[FD, "main"]}
    p = all_pairs({name: values(*task, name, FD) for name in models})
    star, tar = "starflow noise=0.1", "tarflow noise=0.1"
    assert p["cfm", star] < 0.05
    assert f"the two are not separated (p = {p[star, tar]:.2f})" in CARDS["26"]
    own, other = in_order(*task, star, FD), in_order(*task, tar, FD)
    assert f"(p = {stats.ttest_rel(own, other).pvalue:.3f})" in CARDS["26"]
    of_star, of_tar = (signed(*halved(each), 1)[1:] for each in (own, other))
    assert f"FD {of_star} vs. {of_tar} (TARFlow)" in CARDS["26"]
    means = f"FD {own.mean():.1f} (STARFlow, noise 0.1 and denoising) vs. {mean(*task, 'cfm', FD):.1f} (CFM)"
    assert means in CARDS["22"]
    ranked = (
        f"{mean(suite, 'digits', m, FD):.1f}" for suite in ("digits-v1", "digits-long") for m in ("cfm", "otcfm", star)
    )
    assert "| {} / {} / {} | {} / {} / {} |".format(*ranked) in text_of("rankings.md")


def test_in_mnist_pixels_the_network_of_cfm_puts_it_before_or_behind_the_flows():
    task = "mnist5k", "mnist5k"
    flows = {
        labels["model"].replace("[", "?")
        for labels, _, _ in rows("mnist5k")
        if labels["model"].split()[0] in ("starflow", "tarflow")
    }
    models = {name: values(*task, name, "fd-mnist5k_cnn") for name in (UNET, DIT, "gaussian", *flows)}
    means = {name: np.mean([*own.values()]) for name, own in models.items()}
    p = all_pairs(models)
    assert len(flows) == 3
    for flow in flows:
        assert means[UNET] < means[flow] < means[DIT]
        assert max(p[min(flow, net), max(flow, net)] for net in (UNET, DIT)) < 0.05
    (tar,) = (name for name in flows if name.startswith("tarflow"))
    (star,) = (name for name in flows if fnmatch(name, DEEP))
    assert f"in between, STARFlow {means[star]:.0f} and TARFlow {means[tar]:.0f}" in CARDS["25"]
    assert "CFM with either network is separated from all flows" in CARDS["25"]


def test_on_tori_the_straightness_of_wcfm_is_separated_from_otcfm_with_three_plans():
    names = {labels["model"] for labels, _, _ in rows("large-batches")}
    plans = ("otcfm", "otcfm pool=4", "otcfm pool=16")
    p = all_pairs({name: values("large-batches", "tori", name, "straightness") for name in names})
    assert all(p[plan, "wcfm"] < 0.05 for plan in plans)
    assert "| Holm, all pairs of the column: all separated;" in CARDS["43"]


def test_the_batch_size_changes_the_straightness_of_wcfm_by_a_twentieth():
    def relative(model, batch):
        own, cfm = (in_order("batch", "8gaussians", m, "straightness", batch_size=batch) for m in (model, "cfm"))
        return own / cfm

    own, ot = ({batch: relative(model, batch) for batch in (16, 64, 256)} for model in ("wcfm kappa=2.0", "otcfm"))
    lower = ot[16].mean() / ot[256].mean()
    (first, second, third), change = (signed(*halved(each), 3)[1:] for each in own.values()), halved(own[256] - own[64])
    said = f"W-CFM {first}, {second} and {third}; OT-CFM {lower:.1f} times lower at 256 than at 16 |"
    assert f"straightness divided by CFM's at batch 16, 64 and 256: {said}" in CARDS["6"]
    assert f"its ratio at batch 64 is lower than at 256 by {signed(*change, 3)[1:]}" in CARDS["6"]
    means = [each.mean() for each in own.values()]
    said = f"varies by {100 * (max(means) / min(means) - 1):.0f} % among batches of 16, 64 and 256, "
    assert f"{said}the straightness of OT-CFM by a factor of {lower:.0f}." in CARDS["6"]
    assert f"{said}and for OT-CFM by a factor of {lower:.1f}" in PAPERS["W6"]


def test_wcfm_is_straighter_than_otcfm_at_one_kappa_of_one_task():
    kappas = {labels["model"] for labels, _, _ in rows("kappa")} - {"cfm"}
    for data, known in (("8gaussians", {"wcfm kappa=0.25"}), ("moons", set())):
        ot = in_order("batch", data, "otcfm", "straightness", batch_size=256)
        straighter = {each for each in kappas if (in_order("kappa", data, each, "straightness") - ot).mean() < 0}
        assert straighter == known
    said = f"one kappa of {len(kappas)}; on moons, W-CFM is straighter than OT-CFM at none of them;"
    assert f"| against | {said}" in CARDS["2"]


def test_in_cifar_latents_only_the_small_kappa_is_separated_from_cfm_after_correction():
    names = {labels["model"] for labels, _, _ in rows("images") if "conditional" not in labels["model"]}
    models = {name: in_order("images", LATENTS, name.replace("[", "?"), EFFICIENT) for name in names}
    (cfm,) = (name for name in names if fnmatch(name, LATENT))
    tests = {m: stats.ttest_rel(models[m], models[cfm]).pvalue for m in names - {cfm}}
    assert len(tests) == 10
    apart = {name for name, p in holm(tests).items() if p <= 0.05 and name.startswith("wcfm")}
    assert [name.split("kappa=")[1].split()[0] for name in apart] == ["0.125"]
    assert "with Holm over ten comparisons with CFM, only kappa 0.125 is separated" in CARDS["10"]


def test_with_torchcfms_recipe_two_of_four_tasks_are_separated():
    """From 8gaussians to moons, p is below 5 % only while the task is tested alone."""
    tests = {}
    for data in ("8gaussians", "moons-8gaussians", "8gaussians-moons", "moons scale=tutorial"):
        tests[data] = stats.ttest_rel(*(in_order("tutorial", data, own, "w2") for own in ("otcfm *", "cfm *"))).pvalue
    assert {data for data, p in holm(tests).items() if p <= 0.05} == {"8gaussians", "moons-8gaussians"}
    assert "| correction | two of four after Holm |" in CARDS["14"]
    assert f"(p = {tests['8gaussians-moons']:.3f})" in text_of("rankings.md")
