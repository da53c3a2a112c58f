"""The committed results keep their keys and their values: today's code reads what was published before."""

import io
from pathlib import Path

import pandas as pd
import pytest
from helpers.published import RESULTS

from genbench.analysis.values import load_suites
from genbench.report.formats.writers import csv, markdown, means
from genbench.report.tables import quality_tables
from genbench.runs.store import Store

NAMES = sorted(path.parent.name for path in RESULTS.glob("*/records.jsonl.gz"))


@pytest.fixture(scope="module")
def suites(committed):
    """The published suites."""
    return {suite.name: suite for suite in load_suites(Store(committed))}


def assert_same_table(found: str, published: Path):
    """Compare two CSV files cell by cell; means may differ in their last bits from machine to machine."""
    known = pd.read_csv(published, float_precision="round_trip")
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(found), float_precision="round_trip"), known, rtol=1e-12)


def cells(markdown_text):
    """Return the names and cells of every table in a text, row by row, however its columns are split into panels."""
    tables = []
    for section in markdown_text.split("\n## ")[1:]:
        rows = {}
        for panel in section.split("\n\n"):
            for number, line in enumerate([line for line in panel.splitlines() if line.startswith("|")][2:]):
                name, *own = (cell.strip() for cell in line.split("|")[1:-1])
                rows.setdefault((number, name), []).extend(own)
        tables.append(rows)
    return tables


def test_every_suite_is_found(suites):
    assert suites.keys() == set(NAMES)
    studies = [suite for name, suite in suites.items() if not name.endswith("-v1")]  # tracks grow by budgets
    assert sum(len(suite.runs) for suite in studies) == 2470


@pytest.mark.parametrize("name", NAMES)
def test_every_value_cell_and_mark_of_the_tables_is_the_published_one(suites, name):
    suite = suites[name]
    assert_same_table(csv(means(suite.values, suite.failures)), RESULTS / name / "table.csv")
    found = "\n".join(map(markdown, quality_tables(suite.values, suite.failures)))
    published = (RESULTS / name / "table.md").read_text(encoding="utf-8")
    assert cells(f"\n{found}") == cells(published)
