"""The committed results keep their keys and their values: today's code reads what was published before."""

import io
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from genbench.analysis.values import load_suites
from genbench.report.formats.writers import csv, markdown, means
from genbench.report.tables import cost_tables, quality_tables
from genbench.runs.spec import Spec
from genbench.runs.store import Store, run_name

RESULTS = Path(__file__).parents[2] / "results"

EVALUATION_KEYS = {
    "balanced": {"7f35a8b0f2e1": 360},
    "batch": {"6386b14841c2": 90},
    "captions": {"01051863ea31": 4, "421c165a4d79": 3, "0f4c124a4533": 4, "6ebdd4152cc0": 3},
    "cifar10-small": {"7f74c264e884": 12},
    "conditions": {"e508ef07234d": 24},
    "couplings": {"86e970ab96d5": 120},
    "couplings-digits": {"7c710690d33e": 40},
    "couplings-dims": {"86e970ab96d5": 96},
    "density": {"6386b14841c2": 18},
    "digits": {"7c710690d33e": 30},
    "digits-long": {"0d17448bccd4": 35},
    "few-steps": {"86e970ab96d5": 420},
    "guidance": {
        "959d8fcf6982": 5,
        "e7c98e1266f7": 5,
        "77df9aea5e95": 5,
        "077fc688f27b": 5,
        "f8b7e2be3277": 5,
        "debe41e957ca": 8,
        "ac28b94a86ee": 8,
        "ab4143684830": 8,
        "6a91a3cb2160": 3,
        "7be7b4078bbe": 3,
        "62e070de6afe": 3,
        "4e825780e0a2": 3,
        "c0b75fa6e479": 3,
    },
    "images": {
        "cd8d385f4da2": 15,
        "f90eb7888950": 21,
        "e31d2b94f0f0": 6,
        "12b93ae76733": 6,
        "71e55343a8b5": 6,
        "9b9dc0100de5": 3,
        "8e87574d1d02": 3,
    },
    "kappa": {"6386b14841c2": 180},
    "mnist5k": {"7ccff55cf668": 12, "5eaef28bd8ee": 6},
    "starflow": {"7c710690d33e": 30, "103fd2a94378": 10, "bb7f208d3c91": 10},
    "synthetic": {"7f35a8b0f2e1": 207},
    "tong": {"49680c11076c": 90},
    "tutorial": {"8b9e32ab05e4": 40},
    "wcfm-toys": {"6386b14841c2": 160},
}
"""How many records of each suite had which evaluation key when they were published."""


@pytest.fixture(scope="module")
def suites(committed):
    """The published suites."""
    return {suite.name: suite for suite in load_suites(Store(committed))}


def assert_same_table(found: str, published: Path):
    """Compare two CSV files cell by cell; means may differ in their last bits from machine to machine."""
    known = pd.read_csv(published, float_precision="round_trip")
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(found), float_precision="round_trip"), known, rtol=1e-12)


def cells(markdown_text):
    """Return the cells of every table in a text, row by row, however its columns are split into panels."""
    tables = []
    for section in markdown_text.split("\n## ")[1:]:
        rows = {}
        for panel in section.split("\n\n"):
            for number, line in enumerate([line for line in panel.splitlines() if line.startswith("|")][2:]):
                rows.setdefault(number, []).extend(cell.strip() for cell in line.split("|")[2:-1])
        tables.append(rows)
    return tables


def test_every_suite_is_found(suites):
    assert suites.keys() == EVALUATION_KEYS.keys()
    assert sum(len(suite.runs) for suite in suites.values()) == 2128


@pytest.mark.parametrize("name", EVALUATION_KEYS)
def test_every_value_is_the_published_one(suites, name):
    assert_same_table(csv(means(suites[name].values, suites[name].failures)), RESULTS / name / "table.csv")


@pytest.mark.parametrize("name", EVALUATION_KEYS)
def test_every_cell_of_the_tables_has_the_published_numbers_and_marks(suites, name):
    suite = suites[name]
    found = {
        "table.md": quality_tables(suite.values, suite.failures),
        "cost.md": cost_tables(suite.costs, suite.values),
    }
    for file, tables in found.items():
        published = (RESULTS / name / file).read_text(encoding="utf-8")
        assert cells("\n" + "\n".join(map(markdown, tables))) == cells(published)


@pytest.mark.parametrize("name", EVALUATION_KEYS)
def test_every_record_keeps_its_keys(suites, name):
    specs = {run.record["labels"]["run"]: Spec(**run.record["spec"]) for run in suites[name].runs}
    for run, spec in specs.items():
        if spec.data.get("path") is None:  # the key of data from a path is that of its content, which is not here
            assert run_name(spec) == run
    found = [Spec(**run.record["spec"]).evaluation_key for run in suites[name].runs]
    assert found == [run.record["labels"]["evaluation"] for run in suites[name].runs]
    assert Counter(found) == EVALUATION_KEYS[name]
