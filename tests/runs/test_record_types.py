"""The typed model of records: what tables and pages read is checked, and so is the agreement of its parts."""

import shutil

import pytest
from helpers.records import edit_record

from genbench.runs.record import read_record
from genbench.storage.files import Damaged

FORGED = [
    lambda record: record["results"][0].update(n=10**30),
    lambda record: record["results"][0].update(step=10**30),
    lambda record: record["results"][0].update(value=None),
    lambda record: record["results"][0].update(details={"bias": "x"}),
    lambda record: record["results"][0].update(details={"half_interval": -1.0}),
    lambda record: record["provenance"]["training"]["cost"].pop("parameters"),
    lambda record: record["provenance"]["training"]["machine"].pop("device"),
    lambda record: record["provenance"]["training"]["machine"].pop("cores"),
    lambda record: record["provenance"]["training"]["machine"].update(libraries=None),
    lambda record: record["provenance"]["training"]["code"].update(commit=7),
    lambda record: record["provenance"]["measurements"][0]["cost"].pop("evaluate_seconds"),
    lambda record: record["provenance"]["measurements"][0]["metrics"].pop(),
    lambda record: record["provenance"]["measurements"].append(record["provenance"]["measurements"][0]),
    lambda record: record["labels"].update(model="otcfm"),
    lambda record: record["labels"].update(data="moons2"),
    lambda record: record.update(failure="it failed, with results"),
]


@pytest.mark.parametrize("change", FORGED)
def test_what_tables_and_pages_read_is_checked(finished_sweep, first_path, tmp_path, change):
    path = shutil.copy(first_path(finished_sweep / "r"), tmp_path / "record.json")
    edit_record(path, change)
    with pytest.raises(Damaged):
        read_record(path)
