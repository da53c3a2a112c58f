"""The differences on cards of findings and in studies, and what speaks against them, from the records alone."""

from fnmatch import fnmatch
from itertools import combinations

import numpy as np
import pytest
from helpers.paper_differences import EPSILONS, LONG, MID, PIXELS, RE_WEIGHTED, pixel_wcfm
from helpers.published import CARDS, RESULTS, by_metric, difference, halved, rows, signed, values
from scipy import stats

OWN_WEIGHTS = {"stop": "steps"}

STAR = "starflow noise=0.1 conditional=true"
UNET, DIT, DEEP, EQUAL = "cfm net=unet*", "cfm net=dit*", "starflow blocks=?5,1,1,1? *", "starflow blocks=?2,2,2,2? *"
LATENT = "cfm net=dit(width=128,depth=4,heads=4) encoder=*"
FD, LATENTS, EFFICIENT = "fd-digits_cnn", "cifar10*", "fd-efficientnet_lite0"
BUDGET = "error_budget"
AT_ONE = {"nfe": 1, "steps": 1600}, {"steps": 2050}


@pytest.mark.parametrize(
    ("card", "digits", "words"),
    [
        (1, 2, ("synthetic", "8gaussians", "straightness", "wcfm kappa=1.0", "cfm")),
        (2, 4, ("transport-v1", "tori", "straightness", "wcfm", "otcfm", LONG)),
        (3, 3, ("synthetic", "8gaussians", "w2", "wcfm kappa=0.5", "cfm")),
        *((4, 3, (suite, "8gaussians", "w2", "wcfm kappa=2.0", "cfm")) for suite in ("synthetic", "kappa")),
        (4, 3, ("batch", "8gaussians", "w2", "wcfm kappa=2.0", "cfm", {"batch_size": 16})),
        (4, 3, ("balanced", "gaussian dims=8 *", "w2", "wcfm kappa=2.0", "cfm")),
        *((5, 3, ("couplings", "8gaussians", "w2", "wcfm kappa=1.0", "cfm", {"nfe": n})) for n in (1, 4, 8, None)),
        *((5, 3, ("synthetic", "8gaussians", "w2", f"wcfm kappa={kappa}", "cfm")) for kappa in (1.0, 2.0)),
        (7, 2, ("couplings-dims", "mixture dims=8 *", "straightness", "wcfm *kappa=0.5", "otcfm *")),
        (8, 3, ("couplings-dims", "mixture dims=8 *", "w2", "wcfm *kappa=2.0", "cfm *")),
        (8, 2, ("couplings-dims", "mixture dims=50 *", "w2", "wcfm *kappa=2.0", "cfm *")),
        *((10, 1, ("images", LATENTS, EFFICIENT, f"wcfm net=* kappa={kappa} *", LATENT)) for kappa in (0.5, 0.125)),
        (9, 1, (*PIXELS, EFFICIENT, pixel_wcfm("5"), RE_WEIGHTED)),
        *((9, 2, (*PIXELS, "norm", pixel_wcfm("5"), other)) for other in (RE_WEIGHTED, "cfm *")),
        *((44, 1, (*PIXELS, EFFICIENT, pixel_wcfm(epsilon), "cfm *")) for epsilon in EPSILONS),
        (42, 1, ("digits-v1", "digits", FD, "wcfm", "cfm")),
        (42, 2, ("digits-long", "digits", FD, "wcfm kappa=0.5", "cfm")),
        *((42, 1, ("digits", "digits", FD, f"wcfm kappa={kappa}", "cfm")) for kappa in (0.5, 0.0902)),
        (42, 1, ("digits-v1", "digits", FD, "wcfm", "cfm", {"table": "tuned"})),
        (42, 0, ("digits-v1", "digits", FD, "wcfm", "cfm", {"nfe": 1})),
        *(
            (43, 4, ("large-batches", "tori", metric, "wcfm", f"otcfm{pool}"))
            for metric in ("straightness", "sliced_w2")
            for pool in ("", " pool=4", " pool=16")
        ),
        (43, 3, ("large-batches", "tori", "straightness", "wcfm", "cfm")),
        (43, 4, ("large-batches", "tori", "straightness", "wcfm kappa=0.125", "otcfm")),
        (11, 3, ("balanced", "8gaussians", "w2", "wcfm-balanced kappa=0.5", "wcfm kappa=0.5")),
        (12, 3, ("balanced", "8gaussians-moons", "w2", "wcfm-balanced kappa=0.5", "cfm")),
        (12, 3, ("wcfm-toys", "8gaussians-moons", "w2", "wcfm-balanced kappa=0.5", "cfm")),
        (12, 3, ("wcfm-toys", "gaussians-5gaussians", "w2", "wcfm-balanced kappa=0.5", "cfm")),
        *(
            (12, 3, ("transport-v1", "8gaussians-moons", "sliced_w2", "wcfm-balanced", "cfm", plan))
            for plan in ({}, LONG, {"table": "tuned"})
        ),
        (12, 3, ("transport-v1", "gaussians-5gaussians", "sliced_w2", "wcfm-balanced", "cfm", LONG)),
        *((13, 1, (suite, "digits", FD, "otcfm", "cfm")) for suite in ("digits", "digits-long")),
        (13, 1, ("digits-v1", "digits", FD, "otcfm", "cfm", {"table": "tuned"})),
        (14, 3, ("tutorial", "8gaussians", "w2", "otcfm *", "cfm *")),
        (14, 3, ("tutorial", "moons-8gaussians", "w2", "otcfm *", "cfm *")),
        (14, 3, ("tutorial", "8gaussians-moons", "w2", "otcfm *", "cfm *")),
        (14, 3, ("tutorial", "moons scale=*", "w2", "otcfm *", "cfm *")),
        *(
            (15, 0, ("couplings-digits", "digits", FD, "sdcfm", o, {"nfe": 1}))
            for o in ("otcfm", "otcfm pool=8", "cfm")
        ),
        (15, 1, ("couplings-digits", "digits", FD, "sdcfm", "otcfm")),
        (16, 3, ("conditions", "branches", "conditional_w2", "otcfm mismatch=0.0", "cfm")),
        (16, 3, ("conditions", "branches", "conditional_w2", "otcfm", "cfm")),
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
        (20, 3, ("plane-v1", "pinwheel", "sliced_w2", "vp", "cfm")),
        (20, 3, ("plane-v1", "8gaussians", "sliced_w2", "vp", "cfm", LONG)),
        *((21, 3, ("plane-v1", "moons", "nll", "nsf", "cfm", plan)) for plan in ({}, LONG)),
        (21, 3, ("plane-v1", "8gaussians", "nll", "nsf", "otcfm")),
        (21, 3, ("plane-v1", "8gaussians", "nll", "nsf", "otcfm", {"table": "tuned"})),
        (21, 3, ("plane-v1", "moons", "nll", "starflow width=16", "sdcfm")),
        (21, 3, ("plane-v1", "moons", "nll", "starflow width=16", "sdcfm", LONG)),
        (22, 1, ("digits", "digits", FD, "starflow", "cfm")),
        (22, 3, ("digits", "digits", "bits_per_dim", "starflow", "cfm")),
        (22, 1, ("digits-long", "digits", FD, "starflow", "cfm", OWN_WEIGHTS, {})),
        *((22, 1, ("digits-v1", "digits", FD, "starflow noise=0.1", "cfm", plan)) for plan in ({}, {"table": "tuned"})),
        (22, 1, ("digits-long", "digits", FD, "starflow noise=0.1", "cfm", {}, {})),
        (23, 1, ("digits-long", "digits", FD, "starflow", "starflow", OWN_WEIGHTS, {"stop": "validation"})),
        (23, 2, ("digits-long", "digits", "bits_per_dim", "starflow", "starflow", OWN_WEIGHTS, {"stop": "validation"})),
        (24, 1, ("mnist5k", "mnist5k", "fd-mnist5k_cnn", DEEP, EQUAL)),
        (25, 0, ("mnist5k", "mnist5k", "fd-mnist5k_cnn", DIT, UNET)),
        *(
            (26, 1, ("digits-v1", "digits", FD, "starflow noise=0.1", "tarflow noise=0.1", plan))
            for plan in ({}, {"table": "tuned"})
        ),
        (26, 1, ("digits", "digits", FD, "starflow", "tarflow")),
        (27, 1, ("guidance", "digits", FD, f"{STAR} guidance=0.5", STAR)),
        (27, 1, ("guidance", "digits", FD, f"{STAR} guidance=1.0", STAR)),
        (27, 1, ("guidance", "digits", FD, f"{STAR} guidance=1.0 rule=tarflow", STAR)),
        (27, 1, ("guidance", "digits", FD, f"{STAR} guidance=0.5", "cfm conditional=true")),
        (27, 1, ("guidance", "digits", FD, "cfm conditional=true guidance=0.5", "cfm conditional=true")),
        (29, 1, ("starflow", "digits", FD, "starflow noise=0.1", "starflow")),
        *(
            (31, 4, ("transport-v1", "tori", "sliced_w2", "wcfm", other, plan))
            for other in ("cfm", "otcfm")
            for plan in ({}, MID, LONG, {"table": "tuned"})
        ),
        *(
            (
                33,
                3,
                (suite, data, "sliced_w2", "lagrangian steps=32", "progressive steps=32", {"nfe": 1} | plan, others),
            )
            for suite, data, plan, others in (
                ("maps-v1", "checkerboard", {}, {}),
                ("maps-v1", "moons", {}, {}),
                ("maps-equal-steps", "checkerboard", {"steps": 10_000}, {"steps": 10_000}),
            )
        ),
        (36, 3, ("error-budget", "8gaussians", BUDGET, "wcfm kappa=0.5 *=16", "cfm *=16", {"steps": 2000})),
        *(
            (
                36,
                3,
                ("error-budget", "8gaussians", f"{BUDGET}.{part}", "wcfm kappa=0.5 *=16", "cfm *=16", {"steps": 2000}),
            )
            for part in ("coupling", "network", "solver")
        ),
        (37, 3, ("error-budget", "8gaussians", BUDGET, "wcfm kappa=2.0 *=4", "cfm *=4")),
        (37, 3, ("error-budget", "8gaussians", f"{BUDGET}.solver", "wcfm kappa=2.0 *=4", "cfm *=4")),
        (37, 4, ("error-budget", "8gaussians", BUDGET, "wcfm kappa=2.0 *=16", "cfm *=16", {"steps": 2000})),
        *(
            (40, 3, ("plane-v1", "mixture dims=8", "sliced_w2", o, "cfm", p))
            for o in ("sdcfm", "otcfm")
            for p in ({}, LONG)
        ),
        *((40, 3, ("plane-v1", "mixture dims=50", "sliced_w2", "sdcfm", "cfm", p)) for p in ({}, LONG)),
        (40, 3, ("plane-v1", "mixture dims=8", "nll", "sdcfm", "cfm")),
        (40, 3, ("couplings-dims", "mixture dims=8 *", "sliced_w2", "sdcfm *", "cfm *")),
        ("few_steps.md", 3, ("few-steps", "8gaussians", "w2", "sdcfm", "cfm", {"steps": 2050}, {})),
        ("few_steps.md", 3, ("few-steps", "moons", "w2", "sdcfm", "cfm", {"steps": 2050}, {})),
        ("few_steps.md", 4, ("few-steps", "moons", "w2", "meanflow coupling=semi*", "sdcfm", *AT_ONE)),
        ("couplings.md", 3, ("balanced", "8gaussians", "w2", "wcfm-balanced kappa=0.5", "cfm")),
        *(
            ("rankings.md", 3, ("transport-v1", "8gaussians-moons", "sliced_w2", "sdcfm", "wcfm-balanced", plan))
            for plan in ({}, MID, LONG, {"table": "tuned"})
        ),
    ],
    ids=str,
)
def test_a_card_or_page_states_the_difference_of_the_records(card, digits, words):
    suite, data, metric, one, other, *settings = words
    own, *others = settings or [{}]
    mean, half = difference(suite, data, metric, one, other, **own, others=others[0] if others else None)
    size = signed(mean, half, digits)
    said = CARDS.get(str(card)) or (RESULTS / card).read_text("utf-8")
    assert size in said or (mean < 0 and f"lower by {size[1:]}" in said)


@pytest.mark.parametrize(
    "words",
    [
        ("digits-long", "digits", FD, "otcfm", "cfm"),
        ("digits", "digits", FD, "wcfm kappa=0.5", "cfm"),
        ("wcfm-toys", "gaussians-5gaussians", "w2", "wcfm-balanced kappa=0.5", "cfm"),
        ("plane-v1", "moons", "nll", "starflow width=16", "sdcfm"),
        ("plane-v1", "moons", "nll", "starflow width=16", "sdcfm", LONG),
        ("few-steps", "moons", "w2", "meanflow coupling=semi*", "sdcfm", *AT_ONE),
        ("guidance", "digits", FD, f"{STAR} guidance=1.0", f"{STAR} guidance=0.5"),
        ("error-budget-tasks", "mixture dims=8", f"{BUDGET}.network", "wcfm *kappa=0.5 *", "cfm *"),
        ("error-budget-tasks", "mixture dims=50", f"{BUDGET}.network", "wcfm *kappa=0.5 *", "cfm *"),
        ("images", LATENTS, EFFICIENT, "starflow * guidance=1.0", "cfm * guidance=1.0"),
    ],
    ids=str,
)
def test_what_is_said_not_to_be_separated_is_not(words):
    suite, data, metric, one, other, *settings = words
    own, *others = settings or [{}]
    mean, half = difference(suite, data, metric, one, other, **own, others=others[0] if others else None)
    assert abs(mean) < half


def holm(tests):
    """Return {key: corrected p} of {key: p}."""
    corrected, highest = {}, 0.0
    for rank, key in enumerate(sorted(tests, key=tests.get)):
        corrected[key] = highest = max(highest, min(1.0, tests[key] * (len(tests) - rank)))
    return corrected


def all_pairs(models):
    """Return {pair: p} of {model: {seed: value}}, with Holm's correction over all pairs."""
    tests = {}
    for one, other in combinations(sorted(models), 2):
        first, second = ([models[model][seed] for seed in sorted(models[one])] for model in (one, other))
        tests[one, other] = stats.ttest_rel(first, second).pvalue
    return holm(tests)


def test_in_energy_distance_kappa_2_is_behind_cfm():
    for suite in ("synthetic", "kappa"):
        mean, half = difference(suite, "8gaussians", "energy_distance", "wcfm kappa=2.0", "cfm")
        assert mean - half > 0


def test_at_batch_16_wcfm_is_ahead_of_cfm_by_a_hair():
    own, cfm = (values("batch", "8gaussians", m, "w2", batch_size=16) for m in ("wcfm kappa=2.0", "cfm"))
    assert f"p = {stats.ttest_rel([*own.values()], [*cfm.values()]).pvalue:.3f}" in CARDS["4"]


@pytest.mark.parametrize(
    ("suite", "wcfm", "stated"), [("digits-v1", "wcfm", "0.70"), ("digits-long", "wcfm kappa=0.5", "0.070")]
)
def test_on_digits_wcfm_and_cfm_are_not_separated_after_correction(suite, wcfm, stated):
    names = {(labels["model"], spec["plan"]["stop"]) for labels, spec, _ in by_metric(suite)[FD, "main"]}
    models = {name: values(suite, "digits", name[0], FD, stop=name[1]) for name in names}
    p = all_pairs(models)[("cfm", "steps"), (wcfm, "steps")]
    assert p == pytest.approx(float(stated), rel=0.01)
    assert stated in CARDS["42"]


def test_on_digits_at_one_evaluation_only_reflow_is_ahead_of_sdcfm():
    names = {labels["model"] for labels, _, result in rows("digits-v1") if result.get("nfe") == 1}
    models = {name: values("digits-v1", "digits", name, FD, nfe=1) for name in names}
    apart = {pair for pair, p in all_pairs(models).items() if p <= 0.05 and "sdcfm" in pair}
    ahead = {m for pair in apart for m in pair if np.mean([*models[m].values()]) < np.mean([*models["sdcfm"].values()])}
    level = {*models} - {m for pair in apart for m in pair} - {"sdcfm"}
    assert ahead == {"reflow start=anew pairs=10000"}
    assert level == {"cfm conditional=true", "shortcut steps=32", "meanflow steps=32"}


def mean(*words, **plan):
    return np.mean([*values(*words, **plan).values()])


def test_on_moons_nsf_and_tarflow_have_better_likelihoods_than_all_flow_matching():
    flows = {"nsf": "nsf", "TARFlow": "tarflow width=16", "STARFlow": "starflow width=16"}
    names = {labels["row"] for labels, _, _ in by_metric("plane-v1")["nll", "main"] if labels["data"] == "moons"}
    models = {name: values("plane-v1", "moons", name, "nll") for name in names}
    assert {len(seeds) for seeds in models.values()} == {10}
    stated = [f"{name} {np.mean([*models[row].values()]):.3f}" for name, row in (flows | {"CFM": "cfm"}).items()]
    assert ", ".join(stated) in CARDS["21"]
    p = all_pairs(models)
    for name in ("nsf", "TARFlow"):
        for other in names - {*flows.values()}:
            assert np.mean([*models[flows[name]].values()]) < np.mean([*models[other].values()])
            assert p[min(flows[name], other), max(flows[name], other)] < 0.05


def test_on_digits_flows_that_are_trained_for_samples_are_compared_by_fd():
    task = "digits-v1", "digits"
    models = {labels["model"] for labels, _, _ in by_metric("digits-v1")[FD, "main"]}
    p = all_pairs({name: values(*task, name, FD) for name in models})
    star, tar = "starflow noise=0.1", "tarflow noise=0.1"
    assert p["cfm", star] < 0.05
    assert f"(p = {p[star, tar]:.2f})" in CARDS["26"]
    alone = stats.ttest_rel([*values(*task, star, FD).values()], [*values(*task, tar, FD).values()]).pvalue
    assert f"(p = {alone:.3f})" in CARDS["26"]
    of_star, of_tar = (signed(*halved([*values(*task, name, FD).values()]), 1)[1:] for name in (star, tar))
    assert f"FD {of_star} vs. {of_tar} (TARFlow)" in CARDS["26"]
    means = f"FD {mean(*task, star, FD):.1f} (STARFlow, noise 0.1 and denoising) vs. {mean(*task, 'cfm', FD):.1f} (CFM)"
    assert means in CARDS["22"]
    ranked = (
        f"{mean(suite, 'digits', m, FD):.1f}" for suite in ("digits-v1", "digits-long") for m in ("cfm", "otcfm", star)
    )
    assert "| {} / {} / {} | {} / {} / {} |".format(*ranked) in (RESULTS / "rankings.md").read_text("utf-8")


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
    assert f"STARFlow {means[star]:.0f} and TARFlow {means[tar]:.0f}" in CARDS["25"]


def test_in_sliced_w2_the_kappa_of_the_rule_is_separated_from_the_largest_plan_only():
    names = {labels["model"] for labels, _, _ in rows("large-batches")}
    p = all_pairs({name: values("large-batches", "tori", name, "sliced_w2") for name in names})
    plans = ("otcfm", "otcfm pool=4", "otcfm pool=16")
    assert [p[plan, "wcfm"] < 0.05 for plan in plans] == [False, False, True]


def test_the_batch_size_changes_the_straightness_of_wcfm_by_a_twentieth():
    def relative(model, batch):
        own, cfm = (values("batch", "8gaussians", m, "straightness", batch_size=batch) for m in (model, "cfm"))
        return np.array([own[seed] / cfm[seed] for seed in range(5)])

    ratios = {batch: relative("wcfm kappa=2.0", batch) for batch in (16, 64, 256)}
    means = [ratio.mean() for ratio in ratios.values()]
    assert max(means) / min(means) - 1 == pytest.approx(0.05, abs=0.005)
    assert relative("otcfm", 16).mean() / relative("otcfm", 256).mean() == pytest.approx(3.2, abs=0.05)
    mean, half = halved(ratios[256] - ratios[64])
    assert f"by {mean:.3f} ± {half:.3f}" in CARDS["6"]
    for ratio in ratios.values():
        mean, half = halved(ratio)
        assert f"{mean:.3f} ± {half:.3f}" in CARDS["6"]


def test_wcfm_is_straighter_than_otcfm_at_one_kappa_of_one_task():
    kappas = {labels["model"] for labels, _, _ in rows("kappa")} - {"cfm"}
    assert len(kappas) == 11
    for data, known in (("8gaussians", {"wcfm kappa=0.25"}), ("moons", set())):
        ot = values("batch", data, "otcfm", "straightness", batch_size=256)
        own = {kappa: values("kappa", data, kappa, "straightness") for kappa in kappas}
        assert {kappa for kappa in kappas if np.mean([own[kappa][s] - ot[s] for s in ot]) < 0} == known


def test_in_cifar_latents_only_the_small_kappa_is_separated_from_cfm_after_correction():
    names = {labels["model"] for labels, _, _ in rows("images") if "conditional" not in labels["model"]}
    models = {name: values("images", LATENTS, name.replace("[", "?"), EFFICIENT) for name in names}
    (cfm,) = (name for name in names if fnmatch(name, LATENT))
    tests = {m: stats.ttest_rel([*models[m].values()], [*models[cfm].values()]).pvalue for m in names - {cfm}}
    assert len(tests) == 10
    apart = {name for name, p in holm(tests).items() if p <= 0.05 and name.startswith("wcfm")}
    assert [name.split("kappa=")[1].split()[0] for name in apart] == ["0.125"]


def test_with_torchcfms_recipe_two_of_four_tasks_are_separated():
    """From 8gaussians to moons, p is below 5 % only while the task is tested alone."""
    tests = {}
    for data in ("8gaussians", "moons-8gaussians", "8gaussians-moons", "moons scale=tutorial"):
        one, other = (values("tutorial", data, model, "w2") for model in ("otcfm *", "cfm *"))
        tests[data] = stats.ttest_rel([*one.values()], [*other.values()]).pvalue
    assert {data for data, p in holm(tests).items() if p <= 0.05} == {"8gaussians", "moons-8gaussians"}
    assert f"(p = {tests['8gaussians-moons']:.3f})" in (RESULTS / "rankings.md").read_text("utf-8")
