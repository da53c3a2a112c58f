"""The cards of results/papers.md: every difference and its verdict, from the records alone."""

import re
from collections import Counter
from fnmatch import fnmatch
from functools import cache
from itertools import product

import pytest
from helpers.paper_differences import (
    DIFFERENCES,
    EFFICIENT,
    FD,
    HALF_KAPPA,
    LABELED,
    LATE,
    LATENTS,
    LATENTS_V1,
    LONG,
    MID,
    OT_LATENT,
    PAIRS,
    PLANE,
    SHORT,
    WCFM_LATENT,
)
from helpers.published import PAPERS as CARDS
from helpers.published import (
    RESULTS,
    SIGNED,
    at_floor,
    below,
    both_at_floor,
    defaults,
    difference,
    differences,
    halved,
    in_order,
    mean,
    rows,
    rows_of,
    says,
    signed,
    tasks,
)

PAGE = (RESULTS / "papers.md").read_text("utf-8")
TASKS = [*product(["plane-v1"], PLANE), *product(["transport-v1"], PAIRS)]
KAPPAS = (0.5, 1.0, 2.0, 4.0)


@cache
def measured():
    """Return {card: [(difference as the card states it, mean, half)]}."""
    found = {card: [] for card in CARDS}
    for cards, digits, (suite, data, metric, one, other, *settings), *before in DIFFERENCES:
        own, *others = settings or [{}]
        models, own = (suite, data, metric, one, other), own | ({"others": others[0]} if others else {})
        middle, half = difference(*models, **own)
        for plan in before:
            by_seed, old = differences(*models, **own), differences(*models, **plan)
            middle, half = halved([by_seed[seed] - value for seed, value in old.items()])
        for card in found.keys() & cards.split():
            found[card].append((signed(middle, half, digits), middle, half))
    return found


@pytest.mark.parametrize("card", CARDS)
def test_a_card_states_the_differences_of_the_records_and_no_others(card):
    assert SIGNED.findall(CARDS[card]) == [stated for stated, _, _ in measured()[card]]


def test_the_page_counts_its_intervals():
    count = len(SIGNED.findall(PAGE))
    said = f"{count} uncorrected intervals: if all true differences were 0, about {count / 20:.0f} of them would miss 0"
    assert said in " ".join(PAGE.split())


@pytest.mark.parametrize("card", CARDS)
def test_the_differences_of_an_effect_decide_the_verdict(card):
    (listed,) = re.findall(r"The effects of (.*) have no differences: we chose their verdicts by judgment\.", PAGE)
    judged = re.findall(r"[A-Z]\d+", listed)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in CARDS[card].splitlines()[2:] if line]
    assert [row[0] for row in cells if row[0] != "---"] == ["verdict", "effect", "protocol", "against", "record"]
    table = {row[0]: row[1] for row in cells}
    intervals = measured()[card][: len(SIGNED.findall(table["effect"]))]
    assert (card in judged) == (not intervals)
    known = re.findall(r"^\| ([a-z ]+) \| (?:all|some|none)", PAGE, re.M)
    assert table["verdict"] in (known if card in judged else [verdict_of([own[1:] for own in intervals])])


def verdict_of(intervals):
    """Return the verdict by the rule of the page, of (mean, half) of each difference."""
    for_it = [middle + half < 0 for middle, half in intervals]
    against = [middle - half > 0 for middle, half in intervals]
    verdict = "supported" if all(for_it) else "partly" if any(for_it) else "not supported" if any(against) else ""
    return verdict or "inconclusive"


def test_no_verdict_would_change_with_latents_after_27000_steps():
    longer = {labels["model"] for labels, spec, _ in rows("latents-v1") if spec["plan"]["steps"] == 27_000}
    replaced = set()
    for card, text in CARDS.items():
        (verdict, effect) = re.findall(r"^\| (?:verdict|effect) \| (.*) \|$", text, re.M)
        count, intervals = len(SIGNED.findall(effect)), []
        stated = [words for cards, _, words, *_ in DIFFERENCES if card in cards.split()][:count]
        for (suite, data, metric, *models), (_, *interval) in zip(stated, measured()[card], strict=False):
            two, plans = models[:2], models[2:]
            if suite == "latents-v1" and all(any(fnmatch(label, model) for label in longer) for model in two):
                assert plans[0]["steps"] == 3000
                plan = plans[0] | LATE
                if both_at_floor(suite, data, metric, *two, **plan):
                    continue
                interval = difference(suite, data, metric, *two, **plan)
                replaced.add(card)
            intervals.append(interval)
        assert not intervals or verdict_of(intervals) == verdict
    assert replaced == {"W7", "W8", "W9", "O2", "O5", "F5"}
    said = "The effects of latents-v1 are those after 3,000 steps, its first budget; with those after 27,000 steps in "
    assert f"{said}their place, no verdict would change." in " ".join(PAGE.split())


def test_on_every_task_paths_are_straighter_with_wcfm_and_straightest_with_otcfm():
    assert {*PAIRS} == {*tasks("transport-v1")}
    assert [CARDS[card].count("on every task of the two tracks") for card in ("W1", "O1")] == [2, 1]
    for plan, (suite, data) in product(({}, MID, LONG, {"table": "tuned"}), TASKS):
        assert below(suite, data, "straightness", "wcfm", "cfm", **plan)
        if (data, plan) != ("tori", MID):
            two = ("wcfm", "otcfm") if data == "tori" and plan else ("otcfm", "wcfm")
            assert below(suite, data, "straightness", *two, **plan)
    for two in (("wcfm", "otcfm"), ("otcfm", "wcfm")):
        assert not below("transport-v1", "tori", "straightness", *two, **MID)
    assert "(but not on tori after 5,000 or 20,000 steps or with tuned settings: W5)" in CARDS["W1"]
    assert says("W5", "W-CFM is straighter in the last two cases (#, #) and not separated in the first (#) |")


def test_tuning_chose_kappa_4_on_each_task_but_tori():
    own = [record for record in defaults("plane-v1", "tuned") if record["spec"]["model"]["name"] == "wcfm"]
    assert {r["spec"]["model"]["kappa"] for r in own if r["spec"]["plan"]["steps"] == 2000} == {4.0}
    of = {}
    for record in defaults("transport-v1", "tuned"):
        if (record["spec"]["model"]["name"], record["spec"]["plan"]["steps"]) == ("wcfm", 2000):
            of.setdefault(record["labels"]["data"], set()).add(record["spec"]["model"]["kappa"])
    assert of == {data: {"elbow" if data == "tori" else 4.0} for data in PAIRS}
    on_digits = [record for record in defaults("digits-v1", "tuned") if "wcfm" in rows_of(record, "tuned")]
    assert {record["spec"]["model"]["kappa"] for record in on_digits} == {"elbow"}
    assert "with tuned settings (kappa 4, on tori and digits the rule's), samples are worse" in CARDS["W7"]


def test_likelihoods_of_wcfm_are_better_on_four_tasks_after_2000_steps_and_on_none_after_20000():
    better = {data for data in PLANE if below("plane-v1", data, "nll", "wcfm", "cfm")}
    assert better == {*PLANE} - {"moons", "checkerboard", "rings", "spirals"}
    assert f"on {len(better)} of {len(PLANE)} tasks of plane-v1 after 2,000 steps" in CARDS["W7"]
    assert not any(below("plane-v1", data, "nll", "wcfm", "cfm", **LONG) for data in PLANE)
    assert "and likelihoods are better on no task; on digits" in CARDS["W7"]


def test_tori_favor_wcfm_and_with_the_kappa_of_the_rule_8gaussians_in_w2_after_2000_steps():
    tori, tuned = ("transport-v1", "tori"), {"table": "tuned"}
    for metric, early in (("sliced_w2", []), ("w2", [("plane-v1", "8gaussians")])):
        ahead = [[task for task in TASKS if below(*task, metric, "wcfm", "cfm", **p)] for p in ({}, MID, LONG, tuned)]
        assert ahead == [[*early, tori], [tori], [], [("plane-v1", "pinwheel"), tori]]
    said = "only tori, a task built for W-CFM, favors the claim, after 2,000 and 5,000 steps (after 20,000, W-CFM"
    assert said in CARDS["W7"]
    assert "for the claim: W2 on 8gaussians after 2,000 steps (" in CARDS["W7"]
    assert "with tuned settings, W2 and sliced W2 on pinwheel and tori (sliced W2 on pinwheel not" in CARDS["W7"]


def test_corrected_weights_tilt_less_at_every_kappa():
    tasks = {labels["data"] for labels, _, _ in rows("balanced")}
    assert len(tasks) == 4
    for data, kappa in product(tasks, (0.5, 1.0, 2.0)):
        pair = f"wcfm-balanced kappa={kappa}", f"wcfm kappa={kappa}"
        assert all(below("balanced", data, metric, *pair) for metric in ("tilt.data", "tilt.source"))
    assert "; below 0 also on three other tasks and at kappa 1 and 2 |" in CARDS["W3"]


def test_one_step_of_otcfm_is_ahead_at_nfe_1_but_not_of_four_steps_of_cfm_in_many_dimensions():
    assert all(below("plane-v1", data, "sliced_w2", "otcfm", "cfm", nfe=1) for data in PLANE)
    for data in ("mixture dims=8", "mixture dims=50"):
        assert not below("plane-v1", data, "sliced_w2", "otcfm", "cfm", nfe=1, others={"nfe": 4})
    assert "for the claim: at NFE 1 OT-CFM is ahead on every task of plane-v1," in CARDS["O2"]
    assert "one Euler step of OT-CFM is ahead of four Euler steps of CFM on 8gaussians (" in CARDS["O2"]
    assert ", but not in 8D or 50D; against it: in latents-v1" in CARDS["O2"]


def test_only_at_kappa_4_is_the_toy_from_a_mixture_to_5_gaussians_at_the_floor():
    own = [at_floor("wcfm-toys", "gaussians-5gaussians", f"wcfm kappa={kappa}", "w2") for kappa in KAPPAS]
    assert own == [False, False, False, True]
    assert "W2 at kappa 4, the best of four, minus CFM: " in CARDS["W11"]


def test_path_energy_of_wcfm_is_above_the_path_energy_of_otcfm_at_kappa_2_and_4_and_else_below():
    task, models = ("wcfm-toys", "8gaussians-moons"), [f"wcfm kappa={kappa}" for kappa in KAPPAS]
    *own, plan = (f"{mean(*task, model, 'path_energy'):.2f}" for model in (*models, "otcfm"))
    assert f"(path energy {', '.join(own)}; OT-CFM {plan})" in CARDS["W10"]
    assert all(below(*task, "path_energy", model, "otcfm") for model in models[:2])
    assert all(below(*task, "path_energy", "otcfm", model) for model in models[2:])
    assert "it is higher than OT-CFM's at kappa 2 and 4; at kappa 0.5 and 1 it is lower, because" in CARDS["W10"]


@pytest.mark.parametrize("card", ["W7", "O5", "S1"])
def test_a_card_states_the_seeds_of_the_long_budget_and_the_samples_of_each_metric(card):
    counts = {metric: set() for metric in ("sliced_w2", "w2")}
    for metric, found in counts.items():
        found |= {own["n"] for _, _, own in rows("plane-v1") if (own["metric"], own["point"]) == (metric, "main")}
    assert counts == {"sliced_w2": {16_384}, "w2": {1024}}
    seeds = {spec["seed"] for _, spec, _ in rows("plane-v1") if spec["plan"]["steps"] == 20_000}
    assert f"10 seeds (20,000 steps: {len(seeds)}), n = 16,384 (W2: 1,024)" in CARDS[card]


def test_the_protocol_of_o2_names_the_budget_of_the_suite_couplings():
    found = [(spec["plan"], own["n"]) for _, spec, own in rows("couplings") if own["metric"] == "w2"]
    assert {(plan["steps"], plan["batch_size"], n) for plan, n in found} == {(3000, 256, 1024)}
    seeds = differences("couplings", "8gaussians", "w2", "otcfm", "cfm", nfe=1)
    assert f"couplings: 3,000 steps × 256, {len(seeds)} seeds, n = 1,024 |" in CARDS["O2"]


def test_small_tilt_in_many_dimensions():
    tilts = (
        f"{mean('couplings-dims', f'mixture dims={dims} *', 'wcfm *kappa=2.0', f'tilt.{side}'):.3f}"
        for dims in (8, 50)
        for side in ("source", "data")
    )
    assert "tilt of the source and of the data: 8D {} and {}, 50D {} and {} |".format(*tilts) in CARDS["W4"]


def test_otcfm_gains_more_from_few_steps_than_wcfm_except_in_50_dimensions():
    for nfe in (1, 2, 4, 8):
        for data in ("8gaussians", "8gaussians-moons"):
            assert below("couplings", data, "w2", "otcfm", "wcfm kappa=1.0", nfe=nfe)
        for dims in (8, 50):
            models = f"mixture dims={dims} *", "sliced_w2", "otcfm *", "wcfm *kappa=1.0"
            assert below("couplings-dims", *models, nfe=nfe) == (dims == 8 or nfe < 4)
            assert not below("couplings-dims", models[0], models[1], models[3], models[2], nfe=nfe)
        assert below("digits-v1", "digits", FD, "otcfm", "wcfm", nfe=nfe)
        assert below(*LATENTS, EFFICIENT, OT_LATENT, HALF_KAPPA, nfe=nfe)
        assert below(*LATENTS_V1, EFFICIENT, OT_LATENT, WCFM_LATENT, nfe=nfe, **SHORT)
        assert below(*LATENTS_V1, EFFICIENT, OT_LATENT, WCFM_LATENT, nfe=nfe, **LATE)
    assert "| against | OT-CFM gains more, also on images (W2 of W-CFM minus OT-CFM at NFE 1" in CARDS["W9"]
    assert "), except in 50D from NFE 4 on, where the two are not separated;" in CARDS["W9"]


def test_likelihoods_of_nsf_are_ahead_of_tarflow_and_after_2000_steps_tarflow_is_ahead_of_cfm():
    for data in PLANE:
        assert below("plane-v1", data, "nll", "nsf", "tarflow *")
        assert below("plane-v1", data, "nll", "tarflow *", "cfm")
    assert "is ahead of TARFlow on every task of plane-v1 after 2,000 steps (" in CARDS["T3"]
    assert "TARFlow is ahead of CFM on every task after 2,000 steps;" in CARDS["T3"]
    ahead = sum(below("plane-v1", data, "nll", "nsf", "tarflow *", **LONG) for data in PLANE)
    assert not any(both_at_floor("plane-v1", data, "nll", "nsf", "tarflow *", **LONG) for data in PLANE)
    close = [data for data in PLANE if not below("plane-v1", data, "nll", "nsf", "tarflow *", **LONG)]
    assert not any(below("plane-v1", data, "nll", "tarflow *", "nsf", **LONG) for data in close)
    but = f"(on {' and '.join(close)}, the two are not separated);"
    assert f"and on {ahead} of {len(PLANE)} tasks after 20,000 {but}" in CARDS["T3"]
    counts = {(labels["data"], own["n"]) for labels, _, own in rows("plane-v1") if own["metric"] == "nll"}
    assert counts == {(data, 256 if data == "mixture dims=50" else 512) for data in PLANE}
    assert "n = 512 (50 dimensions: 256)" in CARDS["T3"]
    seeds = {data: len(differences("plane-v1", data, "nll", "tarflow *", "cfm", **LONG)) for data in PLANE}
    assert {data: count for data, count in seeds.items() if count < 5} == {"checkerboard": 4, "rings": 4}
    assert "5 seeds (checkerboard and rings: 4)" in CARDS["T3"]


def test_the_largest_weight_of_guidance_is_best_in_latents():
    models = {labels["model"] for labels, _, _ in rows("images")}
    weights = sorted(own.rpartition(" guidance=")[2] for own in models if fnmatch(own, f"{LABELED} guidance=*"))
    assert weights == ["1.0", "2.0"]
    assert below(*LATENTS, EFFICIENT, *(f"{LABELED} guidance={weight}" for weight in reversed(weights)))
    assert "on latents, the largest weight tried is best;" in CARDS["F3"]


def test_guided_flows_on_digits_are_behind_cfm_with_labels_and_without_guidance():
    cfm = f"{mean('digits-v1', 'digits', 'cfm conditional=true', FD):.1f}"
    for card, flow in (("F3", "STARFlow"), ("T2", "TARFlow")):
        models = {labels["model"] for labels, _, _ in rows("guidance") if labels["model"].startswith(flow.lower())}
        best = min(mean("guidance", "digits", model, FD) for model in models)
        assert best > float(cfm)
        said = f"conditional CFM has an FD of {cfm} without guidance"
        assert f"{said}, the best guided {flow} {best:.1f}" in CARDS[card]
        assert says("findings.md", said)


def test_plain_means_of_the_cards_of_otcfm():
    for card, suite, data, metric, digits in (
        ("O3", "couplings", "8gaussians", "npe", 4),
        ("O3", "couplings", "8gaussians-moons", "npe", 3),
        ("O4", "transport-v1", "8gaussians-moons", "sliced_w2", 4),
        ("O4", "transport-v1", "moons-8gaussians", "sliced_w2", 4),
    ):
        assert signed(*halved(in_order(suite, data, "otcfm", metric)), digits)[1:] in CARDS[card]
    for data, where in (("8gaussians", "on 8gaussians"), ("8gaussians-moons", "from 8gaussians to moons")):
        own, other = (mean("couplings", data, model, "nfe") for model in ("otcfm", "cfm"))
        assert f"{own:g} vs. {other:g} {where}" in CARDS["O2"]
    curved = mean("plane-v1", "mixture dims=50", "otcfm", "straightness")
    assert f"in 50 dimensions paths are far from straight ({curved:.1f})" in CARDS["O1"]


@pytest.mark.parametrize(
    ("data", "stated"),
    [
        ("gaussian spread*", "0.003 in 2D"),
        ("gaussian dims=10 *", "0.030 in 10D"),
        ("gaussian dims=50 *", "0.094 in 50D"),
        ("mixture dims=10", "1.20 nats"),
    ],
)
def test_excess_of_the_likelihood_over_the_entropy(data, stated):
    ((value, floor),) = (
        (result["value"], result["floor"])
        for labels, _, result in rows("density")
        if fnmatch(labels["model"], "starflow *") and result["metric"] == "nll" and fnmatch(labels["data"], data)
    )
    number = stated.split()[0]
    assert f"{value - floor:.{len(number) - 2}f}" == number
    assert stated in CARDS["F4"]


def test_only_tarflow_fails_in_the_tracks():
    """Trainings that stop, and evaluations with samples that are not finite."""
    count, stopped, failed = Counter(), Counter(), {}
    for suite in ("plane-v1", "transport-v1", "digits-v1", "mnist5k", "images"):
        for record in defaults(suite):
            model, own = record["spec"]["model"]["name"], record.get("results", ())
            count[suite, model] += 1
            stopped[suite, model] += "failure" in record
            bad = [row["value"] for row in own if row["metric"] == "failed" and row["value"]]
            failed.setdefault((suite, model), []).extend(bad)
    key = "plane-v1", "tarflow"
    assert f"seven of {count[key]} training runs with default settings" in CARDS["T5"]
    assert +stopped == {key: 7}
    assert {name: sorted(found) for name, found in failed.items() if found} == {key: [1, 1, 1, 2, 4]}
    default = [own["labels"]["data"] for own in defaults("plane-v1") if "failure" in own]
    assert default.count("rings") == 4
    tuned = [own for own in defaults("plane-v1", "tuned") if own["spec"]["plan"]["steps"] == 2000]
    assert [own["labels"]["data"] for own in tuned if "failure" in own] == ["rings"]
    flows = sum(own["spec"]["model"]["name"] == "tarflow" for own in tuned)
    said = "not finite, four of them on rings; five others produce 1 to 4 samples of 16,384 that are not finite"
    assert said in CARDS["T5"]
    assert "images train without failures; STARFlow fails nowhere in plane-v1" in CARDS["T5"]
    assert f"tried after 2,000 steps, one of {flows} runs stops, on rings as well" in CARDS["T5"]
