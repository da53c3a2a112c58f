"""What pages copy from records: tables of studies, to the digits shown, and the findings in short."""

import re
from fnmatch import fnmatch
from itertools import product
from statistics import fmean

import pytest
from helpers.published import (
    RESULTS,
    at_floor,
    below,
    both_at_floor,
    difference,
    halved,
    mean,
    rows,
    says,
    step_costs,
    tasks,
    values,
)

MEAN_AND_HALF = re.compile(r"\**(-?\d[\d.]*)(?: ± (\d[\d.]*))?")
NAMES = {
    "reflow": "reflow start=anew",
    "otcfm, entropic plan (reg 2)": "otcfm plan=sinkhorn reg=2.0",
    "eotcfm, pool of 4": "eotcfm pool=4",
    "eotcfm, pool of 4, unbalanced (penalty 10)": "eotcfm penalty=10.0 pool=4",
    "otcfm, pool of 4": "otcfm pool=4",
    "otcfm, pool of 8": "otcfm pool=8",
    "otcfm, weight 0 (plain)": "otcfm mismatch=0.0",
    "otcfm, weight 3": "otcfm mismatch=3.0",
    "otcfm, weight by rule (C2OT)": "otcfm",
    "meanflow, improved": "meanflow improved=true",
    "meanflow on W-CFM pairs": "meanflow coupling=gibbs(kappa=1.0)",
}
METRICS = {
    "path energy": "path_energy",
    "NPE": "npe",
    "transport": "npe.transport",
    "tilt of source": "tilt.source",
    "tilt of data": "tilt.data",
    "NFE, dopri5": "nfe",
    "ESS": "tilt.ess",
    "copies": "memorization",
    "median distance to training images": "memorization.ratio",
    "joint W2": "w2",
    "straightness": "straightness",
}
PAGES = {
    "couplings": ("couplings", {"8gaussians": "8gaussians", "From": "8gaussians-moons"}, "w2", 224),
    "couplings_dims": ("couplings-dims", {"8 d": "mixture dims=8 *", "50 d": "mixture dims=50 *"}, "sliced_w2", 200),
    "couplings_digits": ("couplings-digits", {"": "digits"}, "fd-digits_cnn", 80),
    "couplings_conditions": ("conditions", {"": "branches"}, "conditional_w2", 36),
    "few_steps": ("few-steps", {"8gaussians": "8gaussians", "moons": "moons"}, "w2", 262),
}
"""{page: suite, {start of a heading or of a line before a table: data}, metric of a column of NFE, least cells}."""


def label(name):
    """Return the label of a model of a page."""
    name = NAMES.get(name, name).replace(" on OT pairs", " coupling=ot")
    name = name.replace(" on semidiscrete pairs", " coupling=semidiscrete").replace(" entropy ", " entropy=")
    found = re.fullmatch(r"(\S+?),? \(?kappa ([\d.]+)\)?", name)
    return f"{found[1]} kappa={float(found[2])}" if found else name


def cells(page, places):
    """Return (data, row, heading, cell) of each number in the tables of a page whose rows are models."""
    data, heads = places.get(""), []
    for line in page.splitlines():
        texts = [text.strip() for text in line.strip("|").split("|")]
        if not line.startswith("|"):
            start = next((own for start, own in places.items() if start and line.lstrip("# ").startswith(start)), None)
            data, heads = start or data, []
        elif not heads:
            heads = texts
        elif heads[0] == "model" and data:
            row = dict(zip(heads, texts, strict=True))
            for head in heads[1:]:
                if head != "steps" and (number := MEAN_AND_HALF.match(row[head])):
                    yield data, row, head, number


@pytest.mark.parametrize("page", PAGES)
def test_the_tables_of_a_page_are_those_of_the_records(page):
    suite, places, metric, least = PAGES[page]
    text, count, wrong = (RESULTS / f"{page}.md").read_text("utf-8"), 0, []
    text = text.partition("## What the tilt costs")[0].partition("## Drifting")[0]
    for data, row, head, number in cells(text, places):
        model = label(row["model"])
        if suite == "couplings-dims":
            model = model.replace(" ", " net=mlp(width=128) ", 1) if " " in model else f"{model} net=mlp(width=128)"
        elif suite == "couplings-digits":
            model = model.replace("start=anew", "start=anew pairs=10000")
        plan = {"steps": int(row["steps"].replace(",", ""))} if "steps" in row else {}
        nfe = int(head[4:]) if re.fullmatch(r"NFE \d+", head) else None
        found = values(suite, data, model, METRICS.get(head, metric), nfe, **plan)
        for stated, own in zip(number.groups(), halved([*found.values()]), strict=True):
            digits = len(stated.partition(".")[2]) if stated else 0
            if stated and abs(own - float(stated)) > 0.5001 * 10**-digits:
                wrong.append((data, row["model"], head, stated, float(own)))
        count += 1
    assert count >= least
    assert not wrong


FD = "fd-digits_cnn"
TRACKS, PLANAR = ("plane-v1", "transport-v1", "digits-v1", "latents-v1"), ("moons", "8gaussians-moons", "tori")
"""Tracks with costs of training steps, and their tasks in 2D that were measured."""
LATENTS = "cifar10 images=f0c7f7bd"
SHORT = dict(
    re.findall(
        r"^\| (.+?) \| (.+) \|$",
        (RESULTS / "README.md").read_text("utf-8").partition("|---|---|\n")[2].partition("\n\n")[0],
        re.M,
    )
)
"""{method: finding} of the table in results/README.md."""


def costs(model):
    """Return {task: costs of a step relative to CFM's}: one for each network of the model, where it was measured."""
    return {
        task: [cost for row, cost in own.items() if row.split()[0] == model and "weigh=" not in row]
        for track in TRACKS
        for task, own in step_costs(track).items()
    }


def error_in_latents():
    """Return a lower bound of the error of timings: a step of W-CFM, which does more than one of CFM, seems cheaper."""
    return 1 - min(costs("wcfm")[LATENTS])


def in_short(model):
    """State the cost of a step on points and digits, as the table does."""
    own = {task: first for task, (first, *_) in costs(model).items()}
    said = f"{own['moons']:.1f} times the CPU time of a CFM step in 2D, {own['mixture dims=50']:.1f} times in 50D"
    assert {f"{own[task]:.1f}" for task in PLANAR} == {f"{own['moons']:.1f}"}
    return f"A step takes {said}, {own['digits']:.2f} times on digits"


def check_wcfm_paths(said):
    dit, unet = costs("wcfm")[LATENTS]
    ratios = [own for task, of_task in costs("wcfm").items() if task != LATENTS for own in of_task]
    assert min(ratios) > 1
    error = f"timings err by at least {100 * error_in_latents():.0f} %"
    ours = f"in CIFAR-10 latents (DiT {dit:.2f}, U-Net {unet:.2f}), {error};"
    assert says("W2", f"every ratio of the effect is above 1; {ours}")
    assert {*costs("wcfm")} == {*PLANAR, "mixture dims=8", "mixture dims=50", "digits", LATENTS}
    assert said.startswith(
        f"In 2D, 8D and 50D and on digits, paths are straighter than CFM's, at no more than {max(ratios):.2f} times "
        "the CPU time of a CFM step (in CIFAR-10 latents, also after 3,000 steps with a DiT, while later a single "
        "test shows it with a U-Net after 9,000 steps and none with a DiT)."
    )  # test_papers.py compares paths on every task, test_latents_cards.py those in latents


def check_wcfm(said):
    kappas = {labels["model"] for labels, _, _ in rows("kappa")} - {"cfm"}
    plans = [spec["plan"] for _, spec, _ in rows("kappa")]
    assert {(plan["steps"], plan["batch_size"]) for plan in plans} == {(5000, 256)}
    for data, metric in product(tasks("kappa"), ("w2", "energy_distance")):
        assert at_floor("kappa", data, "cfm", metric) == (data != "moons")
        assert not any(below("kappa", data, metric, kappa, "cfm") for kappa in kappas)
    assert said.startswith(
        f"From noise on moons, none of {len(kappas)} temperatures kappa is better than CFM and separated from it in W2 "
        "or energy distance with dopri5 after 5,000 steps at batch 256 (on 8gaussians and mixture dims=8, CFM is at "
        "the floor, so none could be)."
    )
    assert says("4", f"on moons after 5,000 steps, none of {len(kappas)} intervals lies below 0")
    assert says("4", "on 8gaussians and mixture dims=8, CFM is at the floor after 5,000 steps at batch 256, so no")
    for suite in ("digits-v1", "digits-long", "digits", "couplings-digits"):
        for table in ("default", "tuned") if suite == "digits-v1" else ("default",):
            own = {labels["model"] for labels, _, _ in rows(suite, table) if labels["model"].split()[0] == "wcfm"}
            assert own
            assert not any(below(suite, "digits", FD, model, "cfm", table=table) for model in own)
    assert said.endswith("On digits with dopri5, none that we tried is better in FD and separated.")


def check_tori(said):
    for table, where in (("tuned", "less so when both are tuned ("), ("default", "(sliced W2 ")):
        own, cfm, ot = (
            mean("transport-v1", "tori", model, "sliced_w2", table=table) for model in ("wcfm", "cfm", "otcfm")
        )
        assert f"{where}{own:.3f} vs. {cfm:.3f})" in said
        assert f"close to OT-CFM's ({ot:.3f} in both cases)" in said
        assert below("transport-v1", "tori", "sliced_w2", "wcfm", "cfm", table=table)
        assert own - ot < (cfm - ot) / 10
    long = (mean("transport-v1", "tori", m, "sliced_w2", steps=20_000) for m in ("wcfm", "cfm"))
    assert "W-CFM and CFM are both at the floor ({:.3f} vs. {:.3f})".format(*long) in said
    assert both_at_floor("transport-v1", "tori", "sliced_w2", "wcfm", "cfm", steps=20_000)


def check_balanced(said):
    tilts = {}
    studies = {"balanced", "couplings", "couplings-dims", "couplings-digits", "error-budget", "images", "wcfm-toys"}
    for suite in (*studies, *TRACKS):
        for labels, spec, result in rows(suite):
            if fnmatch(labels["model"], "wcfm-balanced *") and result["metric"] in ("tilt.source", "tilt.data"):
                case = suite, labels["data"], labels["model"], spec["plan"]["steps"], result["metric"]
                tilts.setdefault(case, []).append(result["value"])
    assert {suite for suite, *_ in tilts} == {*studies, "latents-v1"}
    assert len(studies) == 7
    most = f"{max(map(fmean, tilts.values())):.3f}"
    assert f"at most {most} in the seven studies and the one track (latents-v1) that measure it." in said
    dit, unet = costs("wcfm-balanced")[LATENTS]
    latents = f"in CIFAR-10 latents, about {dit:.1f} (DiT) and {unet:.1f} times (U-Net)."
    assert said.endswith(f"{in_short('wcfm-balanced')} and, {latents}")


def check_otcfm(said):
    assert said.startswith("Paths are straighter than CFM's on every task.")  # test_papers.py compares them on points
    assert below("digits-v1", "digits", "straightness", "otcfm", "cfm")
    for net, budgets in (("dit", (3000, 9000, 27_000)), ("unet", (9000,))):
        for steps in budgets:
            assert below("latents-v1", "cifar10*", "straightness", f"otcfm net={net}*", f"cfm net={net}*", steps=steps)
    error = error_in_latents()
    assert all(abs(cost - 1) < error for cost in costs("otcfm")[LATENTS])
    latents = f"the difference in CIFAR-10 latents is below the error of timings there (at least {100 * error:.0f} %)."
    assert said.endswith(f"{in_short('otcfm')}, while {latents}")


def ahead_of_sdcfm(**plan):
    """Return the methods of digits-v1 that have a lower FD than SD-CFM at NFE 1 and are separated from it."""
    others = {labels["model"] for labels, _, result in rows("digits-v1") if result["nfe"] == 1} - {"sdcfm"}
    return {other for other in others if below("digits-v1", "digits", FD, other, "sdcfm", nfe=1, **plan)}


def check_sdcfm(said):
    own, ot = (mean("digits-v1", "digits", model, FD, nfe=1) for model in ("sdcfm", "otcfm"))
    assert f"FD is half of OT-CFM's after 800 steps ({own:.0f} vs. {ot:.0f})" in said
    assert own == pytest.approx(ot / 2, rel=0.05)
    assert ahead_of_sdcfm() == {"reflow start=anew pairs=10000"}
    own, ot = (mean("digits-v1", "digits", model, FD, nfe=1, steps=4000) for model in ("sdcfm", "otcfm"))
    assert own == pytest.approx(ot / 3, rel=0.05)
    assert ahead_of_sdcfm(steps=4000) == {"reflow start=anew pairs=10000", "meanflow steps=32", "shortcut steps=32"}
    assert (
        f" and a third after 4,000 ({own:.0f} vs. {ot:.0f}). Only reflow is better and separated after 800 steps, and "
        "reflow, MeanFlow and shortcut are after 4,000."
    ) in said


def check_sdcfm_tuning(said):
    assert said.startswith("On digits at NFE 1 with tuned settings after 800 steps, SD-CFM keeps its defaults, and ")
    assert values("digits-v1", "digits", "sdcfm", FD, table="tuned") == values("digits-v1", "digits", "sdcfm", FD)
    leaders = {"reflow start=anew pairs=10000": "Reflow ({:.0f}) and ", "meanflow steps=32": "MeanFlow ({:.0f}) are "}
    for model, stated in {"otcfm": "OT-CFM has {:.0f} (a pool of 8,", **leaders}.items():
        assert stated.format(mean("digits-v1", "digits", model, FD, nfe=1, table="tuned")) in said
    assert ahead_of_sdcfm(table="tuned") == {*leaders}


def check_drifting(said):
    """No flow map is ahead, even in a single test."""
    assert "no flow map is better in sliced W2 than drifting with one temperature and separated from it." in said
    maps = {labels["model"] for labels, _, _ in rows("maps-v1")} - {"cfm", "otcfm", "sdcfm"}
    for data in ("checkerboard", "moons"):
        own = values("drifting", data, "drifting temperatures=?0.05? normalize=false", "sliced_w2")
        for model in maps - {name for name in maps if name.startswith("consistency")}:  # no sample of one step
            other = values("maps-v1", data, model, "sliced_w2", nfe=1)
            middle, half = halved([other[seed] - value for seed, value in own.items()])
            assert middle + half > 0


def check_flows(said):
    flow_matching = ("cfm", "otcfm", "wcfm", "wcfm-balanced", "sdcfm", "reflow")
    for plan in ({}, {"steps": 5000}, {"steps": 20_000}, {"table": "tuned"}):
        for flow in ("tarflow *", "nsf"):
            assert all(below("plane-v1", "moons", "nll", flow, other, **plan) for other in flow_matching)
    assert said == (
        "On moons, likelihoods are better than flow matching's. On digits, TARFlow's is worse than CFM's after 800 and "
        "4,000 steps."
    )
    for suite, steps in (("digits", 800), ("digits-long", 4000)):
        assert below(suite, "digits", "bits_per_dim", "cfm", "tarflow", steps=steps)


def check_tarflow_samples(said):
    assert said.startswith("On digits, TARFlow trained with noise has a worse FD than CFM after 800 steps: ")
    for labels, table, words in (
        ("", "default", "after 800 steps: {:.1f} vs. {:.1f},"),
        ("", "tuned", "tuned {:.1f} vs. {:.1f},"),
        (" conditional=true", "default", "with labels {:.1f} vs. {:.1f}. The"),
        (" conditional=true", "tuned", "not separated when tuned with labels ({:.1f} vs. {:.1f})"),
    ):  # test_separated.py tests with Holm's correction
        pair = f"tarflow noise=0.1{labels}", f"cfm{labels}"
        assert words.format(*(mean("digits-v1", "digits", m, FD, table=table) for m in pair)) in said
    late = (f"{name}{labels}" for labels in ("", " conditional=true") for name in ("tarflow noise=0.1", "cfm"))
    means = (mean("digits-v1", "digits", model, FD, steps=4000) for model in late)
    assert "settings ({:.1f} vs. {:.1f}, with labels {:.1f} vs. {:.1f})".format(*means) in said


def check_c2ot(said):
    assert said.startswith("C2OT nearly keeps the conditional distribution of the data. Minibatch OT that ignores the ")
    assert said.endswith(" condition distorts it.")
    assert below("conditions", "branches", "conditional_w2", "cfm", "otcfm mismatch=0.0")
    middle, half = difference("conditions", "branches", "conditional_w2", "otcfm", "cfm")
    assert abs(middle) < half
    assert below("conditions", "branches", "path_energy", "otcfm", "cfm")  # its bias: less than the least energy, 4.42
    assert mean("conditions", "branches", "otcfm", "path_energy") < 4.42


CHECKS = {
    "W-CFM: paths": check_wcfm_paths,
    "W-CFM: kappa": check_wcfm,
    "W-CFM on tori": check_tori,
    "wcfm-balanced": check_balanced,
    "OT-CFM": check_otcfm,
    "SD-CFM": check_sdcfm,
    "SD-CFM: tuning": check_sdcfm_tuning,
    "drifting": check_drifting,
    "TARFlow, nsf: likelihood": check_flows,
    "TARFlow: samples": check_tarflow_samples,
    "C2OT": check_c2ot,
}


def test_every_finding_in_short_is_checked_and_short():
    elsewhere = {"flow maps", "W-CFM: tuning"}  # test_findings.py compares all losses, test_tuning_effect.py settings
    assert SHORT.keys() == CHECKS.keys() | elsewhere
    assert all(re.fullmatch(r"[A-Z].*\.", said) and ";" not in said for said in SHORT.values())
    assert max(len(re.findall(r"\.(?= [A-Z]|$)", said)) for said in SHORT.values()) == 2


@pytest.mark.parametrize("method", CHECKS)
def test_a_finding_in_short_is_what_the_records_say(method):
    CHECKS[method](SHORT[method])


def test_at_one_step_semidiscrete_pairs_alone_beat_a_mean_flow_and_plans_of_batches_only_at_equal_steps():
    for data in ("8gaussians", "moons"):
        ahead = {
            (model, steps): below("few-steps", data, "w2", model, "meanflow", 1, steps=steps, others={})
            for model, steps in (("sdcfm", 2050), ("otcfm", 1030), ("otcfm", 6000))
        }
        assert ahead == {("sdcfm", 2050): True, ("otcfm", 1030): False, ("otcfm", 6000): True}
    said = "On both tasks, one Euler step of SD-CFM beats MeanFlow on independent pairs. One Euler step of OT-CFM "
    assert says("few_steps.md", said + "does so only with as many training steps as CFM.")
