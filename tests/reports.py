"""A results folder with a bit of everything that a report shows."""

from pathlib import Path

import genbench
from genbench.report.blocks import Report
from genbench.report.content import gather
from genbench.report.samples import Drawings
from genbench.report.suites import SuiteResults, load_suites
from genbench.runs.spec import resolve
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


def make(folder: Path) -> Path:
    """Run a suite, a model on images that is in none, and a cell that fails; return the results folder."""
    (folder / "tiny.toml").write_text(SUITE)
    results = folder / "results"
    genbench.sweep(folder / "tiny.toml", results=results)
    from rich.console import Console

    from genbench.report.publish import publish_suite
    from genbench.sweeps import suite

    store, specs = Store(results), suite.load(folder / "tiny.toml").specs
    bad = resolve("otcfm", "moons", seed=0, metrics=["failed"])
    with store.hold(bad) as held:
        held.write_failure(bad, "the field is not finite at step 3")
    publish_suite("tiny", [*specs, bad], store, Console(quiet=True))
    genbench.run("cfm", "digits", metrics=["failed"], settings=DIGITS, results=results)
    return results


def gathered(results: Path) -> tuple[Report, list[SuiteResults], list[Drawings]]:
    """Return what is reported of a folder."""
    suites = load_suites(Store(results))
    drawings = [Drawings(results, suite.name) for suite in suites]
    return gather(suites, drawings), suites, drawings
