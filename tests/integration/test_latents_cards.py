"""What cards say about latents-v1, after 3,000 steps if they say no more, from its records."""

import json
import math
import tomllib
from fnmatch import fnmatch
from itertools import combinations, product

from helpers.paper_differences import (
    BALANCED_LATENT,
    CFM_LATENT,
    CONTROL,
    DEEP_LATENT,
    EFFICIENT,
    EQUAL_LATENT,
    HALF_KAPPA,
    LATE,
    LATENTS,
    LATENTS_V1,
    MIDDLE,
    MNIST,
    OT_LATENT,
    SHORT,
    WCFM_LATENT,
)
from helpers.published import CARDS, PAPERS, RESULTS, all_pairs, by_metric, difference, mean, rows, says, signed, values

MODELS = {
    "cfm": CFM_LATENT,
    "otcfm": OT_LATENT,
    "wcfm": WCFM_LATENT,
    "control": CONTROL,
    "wcfm-balanced": BALANCED_LATENT,
    "deep": DEEP_LATENT,
    "equal": EQUAL_LATENT,
    "tarflow": "tarflow *",
    "meanflow": "meanflow *",
}
UNETS = {f"{name} unet": f"{name} net=unet*" for name in ("cfm", "otcfm", "wcfm", "wcfm-balanced")}
BITS, AT_ONE = "latent_bits_per_dim", SHORT | {"nfe": 1}


def separated(metric=EFFICIENT, nfe=None, plan=SHORT, models=MODELS):
    """Return the pairs that Holm over all pairs of models separates, in alphabetical order, and the models found."""
    found = {}
    for labels, spec, _ in by_metric(LATENTS_V1[0])[metric, "main" if nfe is None else "curve"]:
        if spec["plan"]["steps"] == plan["steps"]:
            (name,) = (name for name, model in (MODELS | UNETS).items() if fnmatch(labels["model"], model))
            if name in models:
                found[name] = values(*LATENTS_V1, models[name], metric, nfe, **plan)
    return {pair for pair, p in all_pairs(found).items() if p <= 0.05}, {*found}


def from_cfm(*words):
    """Return the methods that are separated from CFM."""
    return {name for pair in separated(*words)[0] if "cfm" in pair for name in pair} - {"cfm"}


def test_the_cards_say_what_is_separated_from_cfm():
    assert (from_cfm(EFFICIENT, 1), len(separated(EFFICIENT, 1)[1])) == ({"meanflow", "otcfm"}, 6)
    assert "all pairs of six methods at NFE 1: MeanFlow and OT-CFM are separated from CFM" in CARDS["47"]
    assert (from_cfm(), separated()[1]) == ({"wcfm-balanced", "deep", "equal", "tarflow"}, {*MODELS})
    assert says("47", "and wcfm-balanced minus CFM # (separated with Holm)")
    assert says("F5", "latents-v1 with a deep block #, with equal blocks # (both separated with Holm)")
    assert says("T4", "in latents-v1, which separates them also with Holm,")
    assert says("O5", "with Holm, neither suite of latents separates the two,")  # images: a single interval contains 0
    assert "wcfm" in from_cfm(EFFICIENT, 8) & from_cfm("monge_distance")
    assert says(
        "10", "is separated from CFM in Monge distance (#) and in FD at NFE 8 (#), but not in FD with 32 steps; "
    )


def test_the_cards_say_what_is_separated_after_9000_steps():
    every = MODELS | UNETS
    assert says("47", "9,000 steps with a U-Net, OT-CFM's lead (#) is less than half as large as with the DiT (#);")
    at_one = MIDDLE | {"nfe": 1}
    unet, _ = difference(*LATENTS_V1, EFFICIENT, "otcfm net=unet(*", "cfm net=unet(*", **at_one)
    assert 0 > 2 * unet > difference(*LATENTS_V1, EFFICIENT, OT_LATENT, CFM_LATENT, **at_one)[0]
    gaps = {("cfm", "deep"), ("cfm", "equal")}
    (nine, those), (pairs, all_of) = (separated(plan=MIDDLE, models=models) for models in (MODELS, every))
    assert (gaps & nine, len(those), gaps & pairs, len(all_of)) == (gaps, 9, {("cfm", "deep")}, 13)
    said = "(both separated with Holm over the nine methods of 3,000 steps, only the first over all 13);"
    assert says("F5", f"# with a deep block and # with equal blocks {said[:-1]}, after 27,000 with a deep block #")
    for metric, nfe in ((EFFICIENT, None), (EFFICIENT, 8), ("monge_distance", None)):
        assert ("cfm", "wcfm") not in separated(metric, nfe, MIDDLE, every)[0]
        assert (("cfm", "wcfm") in separated(metric, nfe, MIDDLE)[0]) == (nfe == 8)
        middle, half = difference(*LATENTS_V1, metric, WCFM_LATENT, CFM_LATENT, **MIDDLE, nfe=nfe)
        assert middle > half
        middle, half = difference(*LATENTS_V1, metric, "wcfm net=unet(*", "cfm net=unet(*", **MIDDLE, nfe=nfe)
        assert abs(middle) < half
    found = "single tests find all three differences with the DiT and none with the U-Net; Holm over all pairs"
    said = f"after 9,000 steps, {found} separates none, and without the four U-Nets only FD at NFE 8;"
    assert says("10", f"but not in FD with 32 steps; {said}")
    assert not {("deep", "tarflow"), ("equal", "tarflow")} & separated(BITS, plan=MIDDLE, models=every)[0]
    assert says("26", "and equal blocks (#; with a deep block, #, not separated with Holm);")


def test_the_cards_say_what_is_separated_after_27000_steps():
    at_one = separated(EFFICIENT, 1, LATE)
    assert [("cfm", name) in at_one[0] for name in ("otcfm", "wcfm-balanced", "wcfm")] == [True, False, False]
    middle, half = difference(*LATENTS_V1, EFFICIENT, BALANCED_LATENT, CFM_LATENT, **LATE, nfe=1)
    assert middle < -half
    assert (len(separated(plan=LATE)[1]), len(at_one[1])) == (6, 5)
    said = "(separated with Holm over the five methods), wcfm-balanced minus CFM # (single test) and W-CFM minus CFM #;"
    assert says("47", f"after 27,000 steps at NFE 1, OT-CFM minus CFM is # {said}")
    for words in ((), (EFFICIENT, 8), ("monge_distance",)):
        assert ("cfm", "wcfm") in separated(*words, plan=LATE)[0]
    assert says(
        "10", "after 27,000 steps with the DiT, Holm over all six methods (five at NFE 8) separates all three |"
    )


def test_the_card_counts_the_pairs_that_keep_their_order_with_few_evaluations():
    kept, flows = [], (CFM_LATENT, OT_LATENT, WCFM_LATENT, CONTROL, BALANCED_LATENT)
    for nfe in (1, 2, 4, 8):
        before, after = (
            {flow: mean(*LATENTS_V1, flow, EFFICIENT, nfe=nfe, **plan) for flow in flows} for plan in (MIDDLE, LATE)
        )
        kept.append(sum((before[a] < before[b]) == (after[a] < after[b]) for a, b in combinations(flows, 2)))
    told = "with 1, 2, 4 and 8 NFE, {}, {}, {} and {} of the 10 pairs of the five flows keep their order;".format(*kept)
    assert told in CARDS["48"]


def test_longer_training_does_not_help_with_one_evaluation():
    at_one = {
        model: [mean(*LATENTS_V1, model, EFFICIENT, nfe=1, **plan) for plan in (SHORT, MIDDLE, LATE)]
        for model in (CFM_LATENT, OT_LATENT)
    }
    told = "longer training does not help at NFE 1: CFM has {:.0f}, {:.0f} and {:.0f} after 3,000, 9,000 and 27,000 "
    told += "steps, OT-CFM {:.0f}, {:.0f} and {:.0f} |"
    assert told.format(*at_one[CFM_LATENT], *at_one[OT_LATENT]) in CARDS["47"]
    for model, later in product(at_one, (MIDDLE, LATE)):
        middle, half = difference(*LATENTS_V1, EFFICIENT, model, model, **later, nfe=1, others=SHORT | {"nfe": 1})
        assert middle > -half


def test_the_cards_say_which_flows_are_separated():
    assert {("deep", "tarflow"), ("equal", "tarflow")} <= separated(BITS)[0]
    assert not {("deep", "equal"), ("deep", "tarflow"), ("equal", "tarflow")} & separated()[0]
    assert says(
        "26", "in bits/dim (deep block #, equal blocks #, both separated with Holm) and, in single tests, in FD"
    )
    models = {labels["model"].replace("[", "?") for labels, _, _ in rows("mnist5k")}
    p = all_pairs({name: values(*MNIST[:2], name, MNIST[2]) for name in models})
    (own,) = (p[pair] for pair in p if all(name.startswith("starflow") for name in pair))
    said = f"Holm over all {len(p)} pairs of mnist5k, the two are separated (p = {own:.2f}), over all pairs of "
    assert f"{said}latents-v1 after 3,000 steps they are not |" in CARDS["24"]


def test_the_card_of_one_evaluation_states_means_and_settings():
    assert f"FD at NFE 1 minus CFM's ({mean(*LATENTS_V1, CFM_LATENT, EFFICIENT, **AT_ONE):.0f})" in CARDS["47"]
    untrained = {"steps": 0, "nfe": None}
    behind = difference(*LATENTS_V1, EFFICIENT, OT_LATENT, "gaussian *", **AT_ONE, others=untrained)
    floor = mean(*LATENTS_V1, "gaussian *", EFFICIENT, steps=0)
    assert f"still {signed(*behind, 0)[1:]} behind a Gaussian without training ({floor:.0f})" in CARDS["47"]
    share = mean(*LATENTS_V1, WCFM_LATENT, "tilt.ess", **SHORT)
    assert f"almost independent (effective sample size {share:.2f})" in CARDS["47"]


def test_learning_rates_were_tried_for_three_methods_and_meanflow_has_its_own():
    text = (RESULTS.parent / "genbench" / "suites" / "latents-v1.toml").read_text("utf-8")
    tried = (
        "by FD of 2,000 samples against training images, cfm has 101,\n# 85, 80, starflow 99, 95, 93 and meanflow 105"
    )
    assert tried in text
    suite = tomllib.loads(text)
    rates = {own["name"]: own["plan"]["lr"] for own in suite["models"] if "lr" in own.get("plan", ())}
    assert (suite["plan"]["lr"], rates) == (0.004, {"meanflow": 0.002})
    assert "learning rates were tried for CFM, STARFlow and MeanFlow, but not for TARFlow;" in PAPERS["T4"]
    assert "learning rates tried for CFM and STARFlow |" in PAPERS["F5"]
    assert "MeanFlow has its own learning rate;" in CARDS["47"]


def test_recall_in_latents_is_near_0():
    recall, floors = "precision_recall.recall", []
    for suite, models, plan in (
        (LATENTS, (CFM_LATENT, HALF_KAPPA, "wcfm net=* kappa=0.125 *"), {}),
        (LATENTS_V1, (CFM_LATENT, WCFM_LATENT), SHORT),
    ):
        assert max(max(values(*suite, model, recall, **plan).values()) for model in models) < 0.02
        floors += {f"{own['floor']:.2f}" for _, _, own in rows(suite[0]) if own["metric"] == recall}
    later = (own for _, spec, own in rows(LATENTS_V1[0]) if spec["plan"] == spec["plan"] | LATE)
    most = max(own["value"] for own in later if own["metric"] == recall)
    said = f"recall is below 0.02 for every model after these steps, and at most {math.ceil(1000 * most) / 1000} after "
    assert f"{said}27,000 steps in latents-v1 (floor {{}}, in latents-v1 {{}})".format(*floors) in PAPERS["W8"]


def test_what_single_tests_do_not_separate_after_longer_training():
    pairs = [("straightness", WCFM_LATENT, CFM_LATENT), (EFFICIENT, OT_LATENT, CFM_LATENT)]
    pairs += [(EFFICIENT, blocks, "tarflow *") for blocks in (DEEP_LATENT, EQUAL_LATENT)]
    pairs += [(BITS, EQUAL_LATENT, "tarflow *")]
    plans = [*((pair, MIDDLE) for pair in pairs), ((EFFICIENT, OT_LATENT, CFM_LATENT), MIDDLE | {"nfe": 8})]
    plans += [(("straightness", WCFM_LATENT, CFM_LATENT), LATE)]
    plans += [((EFFICIENT, WCFM_LATENT, CFM_LATENT), LATE | {"nfe": 1})]
    for pair, plan in plans:
        middle, half = difference(*LATENTS_V1, *pair, **plan)
        assert abs(middle) < half
    unets = "wcfm net=unet(*", "cfm net=unet(*"
    middle, half = difference(*LATENTS_V1, EFFICIENT, "otcfm net=unet(*", unets[1], **MIDDLE, nfe=8)
    assert abs(middle) < half
    middle, half = difference(*LATENTS_V1, "straightness", *unets, **MIDDLE)
    assert middle < -half
    said = "shows W-CFM straighter than CFM with the U-Net (#), but none does with the DiT (#), nor after 27,000 (#) |"
    assert says("W1", f"after 9,000 steps, a single test {said}")
    assert says("O5", "in latents-v1 no single test does after 9,000 steps (#), but one does after 27,000 (#) |")
    middle, half = difference(*LATENTS_V1, EFFICIENT, OT_LATENT, CFM_LATENT, **LATE)
    assert middle < -half
    assert says("26", "but after 9,000 steps no single test separates the FDs (#, #) or the bits/dim of TARFlow and")
    assert says(
        "O2", "after 9,000 steps, no single test separates the two at NFE 8, with a DiT (#) or with a U-Net (#); "
    )


def test_the_card_states_the_cost_of_a_step_of_meanflow():
    (shape,) = json.loads((RESULTS.parent / "genbench" / "suites" / "latents-v1.seconds.json").read_text())["shapes"]
    (flow,) = (seconds for row, seconds in shape["seconds"].items() if row.startswith("meanflow"))
    (cfm,) = (seconds for row, seconds in shape["seconds"].items() if fnmatch(row, CFM_LATENT))
    assert f"a step of MeanFlow takes {flow / cfm:.1f} times as long as CFM's" in CARDS["47"]
