"""The page and the predictions of latents-v1 with simulated records: after one, two and three of its budgets."""

import copy
import sys
import tomllib
from pathlib import Path

import pytest

import benchmarks.ladder.__main__ as command
from benchmarks.ladder import page as pages
from benchmarks.ladder.answers import MAIN
from benchmarks.ladder.page import (
    LATENTS,
    TO_PREDICT,
    UNCOMPARED,
    UNTRAINED,
    contests,
    early,
    latents,
    orders,
    planned,
    read_ladders,
)
from benchmarks.ladder.predictors import read_predictions
from genbench.results.reader import RECORDS
from genbench.runs.record import format_published, read_published

RESULTS = Path(__file__).parents[3] / "results"
FD, DATA, SHOWN = "fd-efficientnet_lite0", "cifar10 images=f0c7f7bd", "cifar10"
BUDGETS = (3000, 9000, 27_000)
ENCODER = "encoder=cifar10-8x8x8"
DIT, UNET = f"net=dit(width=128,depth=4,heads=4) {ENCODER}", f"net=unet(channels=32) {ENCODER}"
ROWS = {
    f"cfm {DIT}": BUDGETS,
    f"otcfm {DIT}": BUDGETS,
    f"wcfm {DIT}": BUDGETS,
    f"wcfm weigh=data {DIT}": BUDGETS,
    f"wcfm-balanced kappa=0.0625 {DIT}": BUDGETS,
    f"starflow width=112 noise=0.3 {ENCODER}": BUDGETS,
    f"starflow blocks=[2,2,2,2] width=112 noise=0.3 {ENCODER}": BUDGETS[:2],
    f"tarflow width=112 noise=0.3 {ENCODER}": BUDGETS[:2],
    f"meanflow {DIT}": BUDGETS[:2],
    **{f"{name} {UNET}": BUDGETS[1:2] for name in ("cfm", "otcfm", "wcfm", "wcfm-balanced kappa=0.0625")},
}
"""Budgets of each row."""
LONGEST = {row for row, own in ROWS.items() if own == BUDGETS}
PLANNED = {(SHOWN, steps): {row: range(3) for row, own in ROWS.items() if steps in own} for steps in BUDGETS}
FLOWS, TILT = ("starflow", "tarflow"), ("tilt.data", "tilt.ess", "tilt.source")
NUMBERS = [FD, *(f"{FD}, NFE {nfe}" for nfe in (1, 2, 4, 8))]
GAUSSIAN = next(r for r in read_published(RESULTS / LATENTS / RECORDS) if r["spec"]["model"]["name"] == "gaussian")


def value_of(row, steps, seed, nfe=None):
    """Return FD: the rows have the order of the table, at one NFE from two budgets on the opposite order."""
    rank = [*ROWS].index(row)
    turned = nfe == 1 and steps == BUDGETS[-1]
    return 1e5 / steps * (1.5 ** (-rank if turned else rank) + 0.01 * seed * (1 + rank % 3)) + (100 / nfe if nfe else 0)


def trained(row, steps, seed, data=DATA):
    """Return the record of the Gaussian with the values that another model would have."""
    record = copy.deepcopy(GAUSSIAN)
    name = row.partition(" ")[0]
    flow = name in FLOWS
    record["labels"] |= {"run": f"{[*ROWS].index(row)}-{steps}-{seed}-{len(data)}", "model": row, "data": data}
    record["spec"]["model"]["name"] = name
    record["spec"]["plan"]["steps"], record["spec"]["seed"] = steps, seed
    record["track"] = [{"row": row, "headline": FD, "tables": ["default", "tuned"]}]
    rows = []
    for each in record["results"]:
        if each["metric"] == "latent_bits_per_dim" and name == "meanflow":
            continue
        if each["metric"] in ("straightness", *TILT) and not flow:
            each |= {"value": 0.0, "protocol": "model space"}  # ties without any spread, as a tilt of equal weights has
            each.pop("reason")
        elif each["value"] is not None:
            each["value"] = value_of(row, steps, seed)
        if flow and each["metric"] == "latent_bits_per_dim":
            each["protocol"] = each["protocol"].replace("density of data", "density of data + N(0, 0.3^2)")
        rows.append(each)
        if each["metric"] == "validation_loss" and flow:
            rows.append(each | {"metric": "validation_loss.bits", "better": "lower", "protocol": "noisy data"})
        if each["metric"] in (FD, "monge_distance") and not flow:
            at = each | {"point": "curve", "solver": "euler"}
            rows += [at | {"nfe": float(nfe), "value": value_of(row, steps, seed, nfe)} for nfe in (1, 2, 4, 8)]
    record["results"] = rows
    return record


def published(results, *rungs, failed=()):
    """Publish the Gaussian with three seeds, and rungs, given as (steps, seeds); `failed` has (row, steps, seed)."""
    records = [GAUSSIAN | {"spec": GAUSSIAN["spec"] | {"seed": seed}} for seed in range(3)]
    for steps, seeds in rungs:
        for row, seed in ((row, seed) for seed in range(seeds) for row, own in ROWS.items() if steps in own):
            record = trained(row, steps, seed)
            if (row, steps, seed) in failed:
                record |= {"results": [], "failure": "no"}
                record["provenance"] |= {"measurements": []}
            records.append(record)
    (results / LATENTS).mkdir(parents=True, exist_ok=True)
    (results / LATENTS / RECORDS).write_bytes(format_published(records))


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Return a folder of results where plane-v1 has five methods on one task, and other tracks do not exist."""
    monkeypatch.setattr(pages, "TRACKS", (MAIN, LATENTS))
    for module in (pages, command):
        monkeypatch.setattr(module, "planned", lambda track: PLANNED if track == LATENTS else {})
    monkeypatch.setattr(pages, "REGISTERED", {LATENTS: "Registered for latents-v1.\n"})
    monkeypatch.setattr(command, "ROOT", tmp_path)
    (tmp_path / "docs" / "images").mkdir(parents=True)
    plane = tmp_path / "results" / MAIN
    plane.mkdir(parents=True)
    rungs = ((steps, seed) for steps in (2000, 20_000) for seed in range(3))
    records = [trained(row, *rung, "cifar10 flip=false") for rung in rungs for row in [*ROWS][:5]]
    (plane / RECORDS).write_bytes(format_published(records))
    return tmp_path / "results"


def run(monkeypatch, results, *words):
    monkeypatch.setattr(sys, "argv", ["ladder", "--results", str(results), *words])
    command.main()
    return (results / "cheap_predicts_dear.md").read_text() if not words else ""


def compared(page):
    """Return {steps: (seeds, methods)} of the rows of latents-v1 in the table of orders."""
    table = page.partition("## Does the order last?")[2].partition("##")[0]
    rows = [[cell.strip() for cell in line.split("|")] for line in table.splitlines()]
    return {row[2]: (row[3], row[4]) for row in rows if row[1:2] == [SHOWN]}


def refused(monkeypatch, capsys, results, *words):
    with pytest.raises(SystemExit):
        run(monkeypatch, results, "--predict", LATENTS, *words)
    return capsys.readouterr().err.splitlines()[-1]


def test_the_rows_are_those_of_the_track():
    """The Gaussian, which is not trained, is at no budget."""
    found = planned(LATENTS)
    assert [*found] == [*PLANNED]
    for rung, own in found.items():
        assert [row.partition(" ")[0] for row in own] == [row.partition(" ")[0] for row in PLANNED[rung]]
        assert all([*seeds] == [0, 1, 2] for seeds in own.values())


def test_one_budget_is_compared_with_nothing(monkeypatch, capsys, results):
    published(results)
    page = run(monkeypatch, results)
    assert UNTRAINED in page
    for rungs in ([(3000, 1)], [(3000, 3)], [(3000, 3), (9000, 2)]):
        published(results, *rungs)
        page = run(monkeypatch, results)
        assert UNCOMPARED in page
        assert UNTRAINED not in page
        assert compared(page) == {}
        assert "On latents-v1, " not in page
        assert TO_PREDICT in page
        assert "Registered for latents-v1" not in page
    words = refused(monkeypatch, capsys, results, "9000", "27000", "ratio")
    assert f"trainings of 9000 steps have not ended: {next(iter(ROWS))} (seed 2), " in words
    published(results, (3000, 3))
    assert "no data set has two budgets" in refused(monkeypatch, capsys, results, "3000", "9000", "ratio")
    assert "no data set has values at 9000 steps" in refused(monkeypatch, capsys, results, "9000", "27000", "ratio")


def test_two_budgets_are_compared_and_predict_the_third_in_all_numbers(monkeypatch, capsys, results):
    published(results, (3000, 3), (9000, 3))
    for predictor in ("held", "ratio"):
        assert refused(monkeypatch, capsys, results, "9000", "2700", predictor).endswith("on cifar10 for 2700 steps")
        run(monkeypatch, results, "--predict", LATENTS, "9000", "27000", predictor)
        assert [*tomllib.loads((results / LATENTS / f"predictions_{predictor}.toml").read_text())[DATA]] == NUMBERS
        again = refused(monkeypatch, capsys, results, "9000", "27000", predictor)
        assert again.endswith(f"predictions_{predictor}.toml exists: predictions are registered once")
        assert refused(monkeypatch, capsys, results, "3000", "9000", predictor).endswith("and none at 9000")
    assert "no data set other than cifar10" in refused(monkeypatch, capsys, results, "9000", "27000", "elsewhere")
    methods = {
        data: {name for pair in own for name in pair}
        for data, own in read_predictions(results / LATENTS)["held"].pairs.items()
    }
    assert methods[DATA, FD] == LONGEST
    assert methods[DATA, f"{FD}, NFE 4"] == {row for row in LONGEST if not row.startswith(FLOWS)}
    page = run(monkeypatch, results)
    assert UNCOMPARED not in page
    assert TO_PREDICT not in page
    assert "Registered for latents-v1" in page
    assert compared(page) == {"3,000 to 9,000": ("3 and 3", "9 of 9")}
    assert f"| {SHOWN}, {FD} | 0 of 15 |  | not scored | not scored |" in page
    assert f"| {SHOWN}, {FD}, NFE 1 | 0 of 10 |  | not scored | not scored |" in page


def test_three_budgets_have_scores_for_each_number_and_the_methods_that_have_all(monkeypatch, capsys, results):
    published(results, (3000, 3), (9000, 3))
    for predictor in ("held", "ratio"):
        run(monkeypatch, results, "--predict", LATENTS, "9000", "27000", predictor)
    published(results, (3000, 3), (9000, 3), (27_000, 2))  # in training: the methods that come first decide nothing
    page = run(monkeypatch, results)
    assert compared(page).keys() == {"3,000 to 9,000"}
    assert page.count("not scored | not scored |") == 5
    assert "none at 27000" in refused(monkeypatch, capsys, results, "9000", "27000", "ratio")
    published(results, (3000, 3), (9000, 3), (27_000, 3), failed=[([*ROWS][5], 27_000, 2)])
    page = run(monkeypatch, results)
    assert compared(page)["3,000 to 27,000"] == ("3 and 2", "6 of 9")
    assert f"By the registered rule, on {FD}: better than chance: " in page  # a failed training has ended too
    lost = tuple(([*ROWS][5], 27_000, seed) for seed in range(2))
    published(results, (3000, 3), (9000, 3), (27_000, 3), failed=lost)
    page = run(monkeypatch, results)
    assert (
        f"By the registered rule, on {FD}: nothing is tested, because too few seeds have all predicted methods." in page
    )
    assert "10 of 15" in page
    assert "(p = " not in page.partition("Registered for latents-v1")[2].partition(", NFE 1")[0]
    published(results, (3000, 3), (9000, 3), (27_000, 3))
    page = run(monkeypatch, results)
    assert compared(page) == {
        "3,000 to 9,000": ("3 and 3", "9 of 9"),
        "3,000 to 27,000": ("3 and 3", "6 of 9"),
        "9,000 to 27,000": ("3 and 3", "6 of 13"),
    }
    scores = {}
    for line in page.splitlines():
        name, _, rest = line.removeprefix("| ").partition(" | ")
        if name.startswith(f"{SHOWN}, {FD}"):
            pairs, _, *values = rest.removesuffix(" |").split(" | ")
            scores[name.removeprefix(f"{SHOWN}, ")] = (pairs, [float(value.split()[0]) < 0.25 for value in values])
    assert scores.pop(f"{FD}, NFE 1") == ("10 of 10", [False, False])  # its order was reversed
    assert scores.pop(FD) == ("15 of 15", [True, True])
    assert scores == dict.fromkeys(NUMBERS[2:], ("10 of 10", [True, True]))


def test_early_metrics_of_latents_are_those_that_order_methods(results):
    published(results, (3000, 3), (9000, 3), (27_000, 3))
    (table,) = (text for text in early(LATENTS, contests(read_ladders(results)[LATENTS])) if "|---" in text)
    rows = {line.split(" | ")[0].removeprefix("| "): line.split(" | ")[2] for line in table.splitlines()[2:]}
    assert rows[FD] == "6"
    assert rows[f"{FD}, NFE 1"] == "5"
    assert rows["latent_bits_per_dim"] == "5"
    assert "| straightness | 1 | 5 | 0.00 (0.00 to 0.00) | 0.00 (0.00 to 0.00) | 0 of 0 |" in table
    no_quality = {"validation_loss", "validation_loss.bits", "norm", "parameters", "nfe", *TILT}
    no_quality |= {"precision_recall.precision", "density_coverage.density"}
    assert {"precision_recall.recall", "density_coverage.coverage"} < rows.keys()
    assert rows.keys().isdisjoint(no_quality)


def test_two_networks_are_compared_after_each_budget(results):
    short, two, three = [(3000, 3), (9000, 2)], [(3000, 3), (9000, 3)], [(3000, 3), (9000, 3), (27_000, 3)]
    for rungs, tables in ((short[:1], 0), (short, 0), (two, 1), (three, 1)):
        published(results, *rungs)
        shown = [*latents(read_ladders(results)[LATENTS])]
        assert sum("| difference | dit | unet | same sign |" in text for text in shown) == tables
        assert shown.count("Two networks, after 9,000 steps:\n") == tables
    found = orders(read_ladders(results)[LATENTS])
    assert [(one.short, one.long) for one in found] == [(3000, 9000), (3000, 27_000), (9000, 27_000)]
