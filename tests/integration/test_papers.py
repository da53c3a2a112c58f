"""The cards of results/papers.md: every difference and its verdict, from the records alone."""

import re
from collections import Counter
from fnmatch import fnmatch
from functools import cache

import numpy as np
import pytest
from helpers.published import RESULTS, below, difference, halved, records, rows, signed, values

PAGE = (RESULTS / "papers.md").read_text("utf-8")
CARDS = dict(re.findall(r"^### ([A-Z]\d+)\. (.*?)(?=^##|^Not measured here)", PAGE + "\n##", re.M | re.S))
"""{number: title and table}."""
SIGNED = re.compile(r"[-+]\d+(?:\.\d+)? ± \d+(?:\.\d+)?")
PLANE = ("moons", "8gaussians", "checkerboard", "pinwheel", "mixture dims=8", "mixture dims=50")
PAIRS = ("8gaussians-moons", "moons-8gaussians", "gaussians-5gaussians", "tori")
LONG = {"steps": 20_000}
FD, EFFICIENT = "fd-digits_cnn", "fd-efficientnet_lite0"
LATENTS, MNIST = ("images", "cifar10*"), ("mnist5k", "mnist5k", "fd-mnist5k_cnn")
CFM_LATENT = "cfm net=dit(width=128,depth=4,heads=4) encoder=*"
DEEP, EQUAL, UNET = "starflow blocks=?5,1,1,1? *", "starflow blocks=?2,2,2,2? *", "cfm net=unet*"
DEEP_LATENT, EQUAL_LATENT = "starflow width=112 head=28 *", "starflow blocks=?2,2,2,2? width=112 head=28 *"
LABELED = "starflow blocks=?2,2,2,2? width=112 noise=0.3 conditional=true encoder=*5000,batch_size=32)"
STAR, TAR = "starflow noise=0.1 conditional=true", "tarflow noise=0.1 conditional=true"
PLAIN, TUNED = "starflow noise=0.3 encoder=autoencoder", "starflow noise=0.3 encoder=autoencoder(noise=0.3,tune=1000)"

DIFFERENCES = [
    *(
        ("W1", digits, ("transport-v1" if "-" in data else "plane-v1", data, "straightness", "wcfm", "cfm"))
        for data, digits in (("8gaussians", 3), ("8gaussians-moons", 3), ("mixture dims=8", 3), ("mixture dims=50", 2))
    ),
    *(
        ("W3", 3, ("balanced", "8gaussians", metric, "wcfm-balanced kappa=0.5", "wcfm kappa=0.5"))
        for metric in ("tilt.data", "tilt.source", "w2")
    ),
    ("W3", 3, ("balanced", "gaussian dims=8 *", "w2", "wcfm-balanced kappa=2.0", "wcfm kappa=2.0")),
    *((card, 4, ("transport-v1", "tori", "sliced_w2", "wcfm", "cfm")) for card in ("W4", "W7")),
    ("W4", 3, ("couplings-dims", "mixture dims=8 *", "w2", "wcfm *kappa=2.0", "cfm *")),
    ("W4", 2, ("couplings-dims", "mixture dims=50 *", "w2", "wcfm *kappa=2.0", "cfm *")),
    *(
        ("W5", 4, ("large-batches", "tori", "straightness", "wcfm", f"otcfm{pool}"))
        for pool in ("", " pool=4", " pool=16")
    ),
    ("W5", 3, ("transport-v1", "8gaussians-moons", "sliced_w2", "wcfm", "otcfm")),
    *(
        ("W6", 3, ("batch", data, "w2", "wcfm kappa=2.0", "cfm", {"batch_size": batch}))
        for data in ("8gaussians", "moons")
        for batch in (16, 64, 256)
    ),
    ("W6", 3, ("batch", "8gaussians", "w2", "wcfm kappa=2.0", "otcfm", {"batch_size": 16})),
    *(("W7", 3, ("plane-v1", data, "sliced_w2", "wcfm", "cfm")) for data in PLANE),
    *(("W7", 3, ("transport-v1", data, "sliced_w2", "wcfm", "cfm")) for data in PAIRS[:3]),
    ("W7", 1, ("digits-v1", "digits", FD, "wcfm", "cfm")),
    ("W7", 1, (*LATENTS, EFFICIENT, "wcfm net=* kappa=0.5 *", CFM_LATENT)),
    ("W7", 3, ("synthetic", "8gaussians", "w2", "wcfm kappa=2.0", "cfm")),
    ("W7", 3, ("balanced", "gaussian dims=8 *", "w2", "wcfm kappa=2.0", "cfm")),
    *(
        ("W8", 3, (*LATENTS, f"precision_recall.{metric}", CFM_LATENT, f"wcfm net=* kappa={kappa} *"))
        for metric in ("precision", "recall")
        for kappa in (0.5, 0.125)
    ),
    ("W8", 3, ("digits-v1", "digits", "class_balance", "wcfm", "cfm")),
    *(
        ("W9", 3, ("couplings", data, "w2", "wcfm kappa=1.0", "cfm", {"nfe": nfe}))
        for data in ("8gaussians", "8gaussians-moons")
        for nfe in (1, 4, 8)
    ),
    *(
        ("W9", 3, ("couplings-dims", f"mixture dims={dims} *", "sliced_w2", "wcfm *kappa=1.0", "cfm *", {"nfe": nfe}))
        for dims in (8, 50)
        for nfe in (1, 4)
    ),
    ("W9", 3, ("couplings", "8gaussians", "w2", "wcfm kappa=1.0", "otcfm", {"nfe": 1})),
    *(
        ("W10", 3, ("wcfm-toys", "8gaussians-moons", "w2", "otcfm", f"wcfm kappa={kappa}"))
        for kappa in (0.5, 1.0, 2.0, 4.0)
    ),
    *(("W11", 3, ("wcfm-toys", "gaussians-5gaussians", "w2", "wcfm kappa=4.0", other)) for other in ("otcfm", "cfm")),
    ("W11", 3, ("transport-v1", "gaussians-5gaussians", "sliced_w2", "wcfm", "cfm")),
    *(
        ("O1", digits, ("plane-v1", data, "straightness", "otcfm", "cfm"))
        for data, digits in (("moons", 3), ("8gaussians", 3), ("mixture dims=8", 2), ("mixture dims=50", 2))
    ),
    *(("O2", 3, ("plane-v1", data, "sliced_w2", "otcfm", "cfm", {"nfe": 4})) for data in PLANE),
    ("O2", 3, ("couplings", "8gaussians", "w2", "otcfm", "cfm", {"nfe": 1}, {"nfe": 4})),
    *(("O3", 3, ("couplings", data, "npe", "otcfm", "cfm")) for data in ("8gaussians", "8gaussians-moons")),
    *(("O5", 3, ("plane-v1", data, "sliced_w2", "otcfm", "cfm")) for data in PLANE),
    *(("O5", 3, ("plane-v1", data, "sliced_w2", "otcfm", "cfm", LONG)) for data in ("moons", "mixture dims=8")),
    *(("O5", 1, (suite, "digits", FD, "otcfm", "cfm")) for suite in ("digits", "digits-long")),
    *(
        ("S1", 3, ("plane-v1", data, "sliced_w2", "sdcfm", "otcfm", {"nfe": nfe}))
        for data in ("8gaussians", "mixture dims=50")
        for nfe in (1, 4, None)
    ),
    *(
        ("S1", 3, ("plane-v1", data, "sliced_w2", "sdcfm", "cfm"))
        for data in ("8gaussians", "mixture dims=8", "mixture dims=50")
    ),
    *(("S1", 3, ("plane-v1", data, "sliced_w2", "sdcfm", "otcfm", LONG)) for data in ("moons", "pinwheel")),
    ("F1", 1, (*MNIST, DEEP, EQUAL)),
    ("F1", 1, (*LATENTS, EFFICIENT, DEEP_LATENT, EQUAL_LATENT)),
    ("F1", 3, ("mnist5k", "mnist5k", "validation_loss.bits", DEEP, EQUAL)),
    ("F1", 3, (*LATENTS, "latent_bits_per_dim", DEEP_LATENT, EQUAL_LATENT)),
    *(("F2", 1, ("starflow", "digits", FD, f"{one} denoise=true", "starflow noise=0.1")) for one in (TUNED, PLAIN)),
    ("F2", 1, ("starflow", "digits", FD, "cfm encoder=autoencoder", "cfm")),
    *(("F3", 1, ("guidance", "digits", FD, f"{STAR} guidance={weight}", STAR)) for weight in (0.5, 1.0, 2.0, 4.0)),
    *(("F3", 1, (*LATENTS, EFFICIENT, f"{LABELED} guidance={weight}", LABELED)) for weight in (1.0, 2.0)),
    *(
        (
            "F3",
            digits,
            ("guidance", "digits", FD, f"{STAR} guidance={weight}", f"{STAR} guidance={weight} rule=tarflow"),
        )
        for weight, digits in ((1.0, 1), (2.0, 0), (4.0, 0))
    ),
    ("F5", 1, ("digits-v1", "digits", FD, STAR, "cfm conditional=true")),
    ("F5", 1, (*LATENTS, EFFICIENT, EQUAL_LATENT, CFM_LATENT)),
    ("F5", 0, (*MNIST, DEEP, UNET)),
    ("F5", 1, ("digits-v1", "digits", FD, "starflow noise=0.1", "vp")),
    ("F5", 1, ("digits-v1", "digits", FD, "starflow noise=0.1", "cfm")),
    ("F5", 1, ("digits-long", "digits", FD, "starflow noise=0.1", "cfm", {}, {})),
    ("F5", 3, ("plane-v1", "mixture dims=50", "sliced_w2", "starflow *", "cfm")),
    *(("T1", 1, ("starflow", "digits", FD, f"{flow} noise=0.1", flow)) for flow in ("tarflow", "starflow")),
    *(("T1", 1, ("starflow", "digits", FD, f"{one} denoise=true", f"{one} denoise=false")) for one in (PLAIN, TUNED)),
    *(
        (
            "T2",
            digits,
            ("guidance", "digits", FD, f"{TAR} guidance={weight} rule=tarflow{anneal}", f"{TAR} rule=tarflow"),
        )
        for weight, anneal, digits in (
            *((0.5, "", 1), (1.0, "", 1), (2.0, "", 0), (4.0, "", 0)),
            *((1.0, " anneal=linear", 1), (2.0, " anneal=linear", 1), (4.0, " anneal=linear", 0)),
        )
    ),
    *(
        ("T3", 2 if data == "mixture dims=50" else 3, ("plane-v1", data, "nll", "tarflow *", "cfm", LONG))
        for data in PLANE
    ),
    ("T3", 3, ("digits", "digits", "bits_per_dim", "tarflow", "cfm")),
    ("T3", 3, ("plane-v1", "moons", "nll", "tarflow *", "nsf")),
    ("T4", 0, ("digits-v1", "digits", FD, "tarflow noise=0.1", "vp")),
    ("T4", 1, ("digits-v1", "digits", FD, "tarflow noise=0.1", "cfm")),
    ("T4", 1, (*MNIST, "tarflow *", UNET)),
    ("T4", 1, (*LATENTS, EFFICIENT, "tarflow *", CFM_LATENT)),
]
"""Card, digits, and the arguments of `difference`."""


@cache
def measured():
    """Return {card: {difference as the card states it: (mean, half)}}."""
    found = {card: {} for card in CARDS}
    for card, digits, (suite, data, metric, one, other, *settings) in DIFFERENCES:
        own, *others = settings or [{}]
        mean, half = difference(suite, data, metric, one, other, **own, others=others[0] if others else None)
        found[card][signed(mean, half, digits)] = mean, half
    return found


@pytest.mark.parametrize("card", CARDS)
def test_a_card_states_the_differences_of_the_records_and_no_others(card):
    assert {*SIGNED.findall(CARDS[card])} == measured()[card].keys()


def test_the_page_counts_its_intervals():
    assert f"The page has {len(SIGNED.findall(PAGE))}\nuncorrected intervals" in PAGE


@pytest.mark.parametrize("card", CARDS)
def test_the_differences_of_an_effect_decide_the_verdict(card):
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in CARDS[card].splitlines()[2:] if line]
    assert [row[0] for row in cells if row[0] != "---"] == ["verdict", "effect", "protocol", "against", "record"]
    table = {row[0]: row[1] for row in cells}
    intervals = [measured()[card][own] for own in SIGNED.findall(table["effect"])]
    if not intervals:
        assert table["verdict"] in ("supported", "partly")
        return
    for_it = [mean + half < 0 for mean, half in intervals]
    against = [mean - half > 0 for mean, half in intervals]
    verdict = "supported" if all(for_it) else "partly" if any(for_it) else "not supported" if any(against) else ""
    assert table["verdict"] == (verdict or "inconclusive")


def test_on_every_task_paths_are_straighter_with_wcfm_and_straightest_with_otcfm():
    for suite, data, plan in [
        *(("plane-v1", data, plan) for data in PLANE for plan in ({}, LONG)),
        *(("transport-v1", data, {}) for data in PAIRS),
    ]:
        assert below(suite, data, "straightness", "wcfm", "cfm", **plan)
        assert below(suite, data, "straightness", "otcfm", "wcfm", **plan)


def test_after_20000_steps_wcfm_is_behind_cfm_on_every_task():
    assert all(below("plane-v1", data, "sliced_w2", "cfm", "wcfm", **LONG) for data in PLANE)


def test_after_2000_steps_likelihoods_of_wcfm_are_better_on_four_tasks():
    better = {data for data in PLANE if below("plane-v1", data, "nll", "wcfm", "cfm")}
    assert better == {*PLANE} - {"moons", "checkerboard"}


def test_only_tori_favor_wcfm_at_the_kappa_of_the_rule():
    tasks = [*(("plane-v1", data) for data in PLANE), *(("transport-v1", data) for data in PAIRS)]
    assert [task for task in tasks if below(*task, "sliced_w2", "wcfm", "cfm")] == [("transport-v1", "tori")]


def test_corrected_weights_tilt_less_at_every_kappa():
    tasks = {labels["data"] for labels, _, _ in rows("balanced")}
    assert len(tasks) == 4
    for data in tasks:
        for kappa in (0.5, 1.0, 2.0):
            pair = f"wcfm-balanced kappa={kappa}", f"wcfm kappa={kappa}"
            assert all(below("balanced", data, metric, *pair) for metric in ("tilt.data", "tilt.source"))


def test_one_step_of_otcfm_is_ahead_at_nfe_1_but_not_of_four_steps_of_cfm_in_many_dimensions():
    assert all(below("plane-v1", data, "sliced_w2", "otcfm", "cfm", nfe=1) for data in PLANE)
    for data in ("mixture dims=8", "mixture dims=50"):
        mean, half = difference("plane-v1", data, "sliced_w2", "otcfm", "cfm", nfe=1, others={"nfe": 4})
        assert mean - half > 0


def test_kappa_4_is_the_best_of_the_toy_from_a_mixture_to_5_gaussians():
    means = {
        kappa: np.mean([*values("wcfm-toys", "gaussians-5gaussians", f"wcfm kappa={kappa}", "w2").values()])
        for kappa in (0.5, 1.0, 2.0, 4.0)
    }
    assert min(means, key=means.get) == 4.0
    assert below("wcfm-toys", "8gaussians-moons", "path_energy", "wcfm kappa=1.0", "otcfm")


def test_semidiscrete_pairs_are_ahead_of_minibatch_ot_on_every_task_after_2000_steps():
    assert all(
        below("plane-v1", data, "sliced_w2", "sdcfm", "otcfm", nfe=nfe) for data in PLANE for nfe in (1, 4, None)
    )


def test_plain_means_of_the_cards_of_otcfm():
    for card, suite, data, metric, digits in (
        ("O3", "couplings", "8gaussians", "npe", 4),
        ("O3", "couplings", "8gaussians-moons", "npe", 3),
        ("O4", "transport-v1", "8gaussians-moons", "sliced_w2", 4),
        ("O4", "transport-v1", "moons-8gaussians", "sliced_w2", 4),
    ):
        assert signed(*halved([*values(suite, data, "otcfm", metric).values()]), digits)[1:] in CARDS[card]
    for data, nfe in (("8gaussians", "44 vs. 62"), ("8gaussians-moons", "46 vs. 80")):
        means = (np.mean([*values("couplings", data, model, "nfe").values()]) for model in ("otcfm", "cfm"))
        assert " vs. ".join(f"{mean:g}" for mean in means) == nfe
        assert nfe in CARDS["O2"]
    assert f"({np.mean([*values('plane-v1', 'mixture dims=50', 'otcfm', 'straightness').values()]):.1f})" in CARDS["O1"]


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


def test_the_page_of_published_numbers_has_the_stated_verdicts():
    repeated = (RESULTS / "claims.md").read_text("utf-8").partition("# Do repeated numbers agree?")[2]
    verdicts = Counter(re.findall(r"\| (agrees|differs|inconclusive|not measured) \|$", repeated, re.M))
    assert verdicts == {"agrees": 5, "inconclusive": 2, "not measured": 4}
    assert len(re.findall(r"^\| .*\| inconclusive \|$", repeated.partition("## DSBM")[2], re.M)) == 2
    findings = (RESULTS / "findings.md").read_text("utf-8")
    said = "5 of 11 comparable numbers agree, 2 are inconclusive, 4 are not measured, 0 differ"
    assert all(said in text for text in (repeated, CARDS["O6"], findings))


def test_only_tarflow_fails_in_the_tracks():
    """Trainings that stop, and evaluations with samples that are not finite."""
    count, stopped, failed = Counter(), Counter(), {}
    for suite in ("plane-v1", "transport-v1", "digits-v1", "mnist5k", "images"):
        for record in records(suite):
            model, own = record["spec"]["model"]["name"], record.get("results", ())
            count[suite, model] += 1
            stopped[suite, model] += "failure" in record
            bad = [row["value"] for row in own if row["metric"] == "failed" and row["value"]]
            failed.setdefault((suite, model), []).extend(bad)
    key = "plane-v1", "tarflow"
    assert count[key] == 90
    assert +stopped == {key: 1}
    assert {name: sorted(found) for name, found in failed.items() if found} == {key: [1, 1, 2, 4]}
