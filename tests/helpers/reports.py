"""Results folders, measured rows and tables for the tests of reports."""

import io
from pathlib import Path

from rich.console import Console

import genbench
from genbench.analysis.values import SuiteResults, Value, load_suites
from genbench.report.blocks import Report
from genbench.report.content import gather
from genbench.report.tables import comparison_tables
from genbench.runs.make_spec import make_spec
from genbench.runs.store import Store

SUITE = """
datasets = ["moons"]
models = ["cfm", {name = "wcfm", kappa = [0.5, 1.0, 4.0]}, {name = "tarflow", blocks = [1, 1], width = 16, head = 16}]
metrics = ["sliced_w2", "energy_distance", "straightness", "failed"]
seeds = [0, 1]
plan = {steps = 12, batch_size = 32}
evaluation = {n = 64, curve = [1, 4]}
"""
DIGITS = {"plan": {"steps": 2, "batch_size": 4}, "evaluation": {"n": 41, "curve": [], "floor": False}}
DIGITS |= {"model": {"net": {"channels": 8, "multipliers": [1], "attention": []}}}
DIGITS |= {"sample": {"method": "euler", "steps": 2}}


def make(folder: Path) -> Path:
    """Run a suite, a model on images that is in none, and a cell that fails; return the results folder."""
    (folder / "tiny.toml").write_text(SUITE)
    results = folder / "results"
    genbench.sweep(folder / "tiny.toml", results=results)

    from genbench.report.publish import publish_suite
    from genbench.sweeps import suite

    store, specs = Store(results), suite.load(folder / "tiny.toml").specs
    bad = make_spec("otcfm", "moons", seed=0, metrics=["failed"])
    with store.hold(bad) as held:
        held.write_failure(bad, "the field is not finite at step 3")
    publish_suite("tiny", [*specs, bad], store)
    genbench.run("cfm", "digits", metrics=["failed"], settings=DIGITS, results=results)
    return results


def gathered(results: Path) -> tuple[Report, list[SuiteResults]]:
    """Return what is reported of a folder."""
    suites = load_suites(Store(results))
    return gather(suites, results), suites


def written(results: Path) -> dict[str, str]:
    """Return the pages of a folder, by path."""
    from genbench.report.formats.page import pages

    report, _ = gathered(results)
    return pages(report, (), "report.html")


def blocks(report, kind):
    return [block for section in report.sections for block in section.walk() if isinstance(block, kind)]


def tables(report):
    return [table for section in report.sections for table in section.tables()]


def row(model, seed, value, metric="w2", **other):
    usual = {"run": f"{model}-{seed}", "model": model, "data": "moons", "seed": seed, "metric": metric, "value": value}
    usual |= {"floor": 0.24, "n": 2048, "protocol": "exact", "better": "lower", "point": "main", "solver": "dopri5"}
    return Value(**usual | {"nfe": 100.0, "step": None, "reason": None, "original": True} | other)


def refusal(model, seed, reason, metric="w2", **other):
    return row(model, seed, None, metric, floor=None, n=None, protocol=None, reason=reason, **other)


def three_seeds(**values):
    return [row(model, seed, value) for model, seeds in values.items() for seed, value in enumerate(seeds)]


def cells_of(table, label):
    return next(r for r in table.rows if r.label == label).cells


def comparison_table(rows, failures=()):
    (table,) = comparison_tables(rows, failures)
    return table


def curve_rows():
    rows = three_seeds(cfm=[1.0, 1.1, 1.2])
    rows += [v._replace(solver=None, nfe=64.0) for v in three_seeds(flow=[2.0, 2.1, 2.2])]
    for seed in range(3):
        rows += [row("cfm", seed, 1 + 8 / k, point="curve", solver="euler", nfe=float(k)) for k in (1, 16, 2)]
    return rows


def wide_table():
    rows = [row(m, s, v + s / 50, metric) for metric in ("w2", "sliced_w2", "mmd", "energy_distance", "straightness",
            "npe", "detour", "nll") for m, v in (("cfm", 1.0), ("wcfm kappa=0.5", 1.2), ("ot|cfm", 2.0))
            for s in range(3)]  # fmt: skip
    return comparison_table(rows)


def text(element):
    """Return the text of an HTML element."""
    return "".join(element.itertext())


def printed(show, *arguments, width=80, **options):
    """Return what a function prints on a console, which is its last argument."""
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    show(*arguments, console, **options)
    return console.file.getvalue()
