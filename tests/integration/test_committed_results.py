"""The committed results keep their keys and their values: today's code reads what was published before."""

import gzip
import json

import pytest
from helpers.published import RESULTS

from genbench.analysis.values import load_suites
from genbench.runs.store import Store

NAMES = sorted(path.parent.name for path in RESULTS.glob("*/records.jsonl.gz"))


@pytest.fixture(scope="module")
def suites(committed):
    """The published suites."""
    return {suite.name: suite for suite in load_suites(Store(committed))}


def test_every_suite_is_found(suites):
    assert suites.keys() == set(NAMES)
    studies = [suite for name, suite in suites.items() if not name.endswith("-v1")]  # tracks grow by budgets
    assert sum(len(suite.runs) for suite in studies) == 2470


@pytest.mark.parametrize("name", NAMES)
def test_every_published_value_is_read_as_it_is(suites, name):
    published, read = {}, {}
    for line in gzip.decompress((RESULTS / name / "records.jsonl.gz").read_bytes()).splitlines():
        record = json.loads(line)
        for row in record.get("results", ()):
            place = record["labels"]["run"], row["metric"], row["point"], row.get("nfe")
            published.setdefault(place, set()).add(row["value"])
    for value in suites[name].values:
        place = value.run, value.metric, value.point, value.nfe
        read.setdefault(place, set()).add(value.value)
    assert read == published
