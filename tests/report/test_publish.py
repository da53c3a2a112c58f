"""Publishing: what depends on the machine is in separate files, and what did not run here stays as published."""

import shutil

import numpy as np
import pandas as pd
import pytest
from helpers.command_line import genbench

from genbench.report.publish import publish_suite, refresh_suite, write_suite
from genbench.runs.store import Store
from genbench.sweeps.suite import load

POINT = {"value": 1.0, "floor": 0.2, "n": 64, "protocol": "exact", "better": "lower", "solver": "dopri5", "nfe": 20.0}
COST = {"evaluate_seconds": 1.0, "train_peak_mib": 1.0, "evaluate_peak_mib": 2.0, "sample_seconds": 1.0}


def record(train_seconds):
    points = [{"point": "main"}, *({"point": "curve", "solver": "euler", "nfe": nfe} for nfe in (1.0, 16.0))]
    cost = COST | {"steps_per_second": 3.0, "parameters": 10, "train_seconds": train_seconds}
    return {
        "labels": {"run": "cfm-0", "model": "cfm", "data": "moons"},
        "spec": {"seed": 0, "data": {"name": "moons"}, "model": {"name": "cfm"}, "plan": {}, "evaluation": {}},
        "results": [{"metric": "w2"} | POINT | point for point in points],
        "provenance": {"code": {}, "data": {}, "machine": {"device": "cpu"}, "cost": cost},
    }


def test_costs_have_separate_files_and_results_are_reproducible(tmp_path):
    written = write_suite(tmp_path / "out" / "syn", [record(1.0)], [])
    names = ["table.md", "table.csv", "cost.md", "cost.csv", "records.jsonl.gz"]
    assert sorted(p.name for p in written) == sorted(names)
    first = {p.name: p.read_bytes() for p in written}
    again = write_suite(tmp_path / "again" / "syn", [record(99.0)], [])
    for path in again:
        same = path.read_bytes() == first[path.name]
        assert same is ("cost" not in path.name), path.name
    assert pd.read_csv(tmp_path / "again/syn/cost.csv")["train_seconds"].tolist() == [99.0]


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_cells_that_did_not_run_here_keep_their_published_records(swept, caplog):
    """A sweep of a fresh checkout that is interrupted loses no row: neither its values, nor its costs and origins."""
    suite, results = swept
    specs, published = load(suite).specs, files_of(results / "tiny")
    shutil.rmtree(Store(results).record_path(specs[1]).parent)
    publish_suite("tiny", specs, Store(results))
    assert f"1 of {len(specs)} cells have no record here" in caplog.text
    assert files_of(results / "tiny") == published
    shutil.rmtree(results / "runs")
    refresh_suite(suite, Store(results))
    assert files_of(results / "tiny") == published


def test_a_failed_cell_keeps_what_was_published_and_is_shown_as_failed(swept):
    suite, results = swept
    specs, store = load(suite).specs, Store(results)
    records = files_of(results / "tiny")["records.jsonl.gz"]
    shutil.rmtree(store.record_path(specs[1]).parent)
    publish_suite("tiny", specs, store, failed={store.record_path(specs[1]): "the loss is not finite"})
    assert files_of(results / "tiny")["records.jsonl.gz"] == records
    assert (pd.read_csv(results / "tiny/table.csv")["failed_runs"] > 0).sum() == 1


def test_a_published_failure_stays_until_its_cell_runs(swept):
    suite, results = swept
    specs, store = load(suite).specs, Store(results)
    folder, published = store.record_path(specs[1]).parent, files_of(results / "tiny")
    kept = shutil.copytree(folder, results / "kept")
    shutil.rmtree(folder)
    (results / "tiny/records.jsonl.gz").unlink()  # so that the cell has no published record either
    publish_suite("tiny", specs, store, failed={store.record_path(specs[1]): "the loss is not finite"})
    failed = files_of(results / "tiny")
    publish_suite("tiny", specs, store)
    assert files_of(results / "tiny") == failed
    shutil.copytree(kept, folder)
    publish_suite("tiny", specs, store)
    assert files_of(results / "tiny") == published


def test_records_of_data_from_a_file_stay_without_opening_it(swept, tmp_path):
    """They are compared by the names of their runs, which hash the content: the path itself is not published."""
    np.save(tmp_path / "points.npy", np.random.default_rng(0).normal(size=(300, 2)))
    suite = tmp_path / "own.toml"
    suite.write_text(SUITE.format(path=tmp_path / "points.npy"))
    results = tmp_path / "r"
    genbench("sweep", suite, "--results", results)
    published = files_of(results / "own")
    assert len(load(suite).specs) == 2
    shutil.rmtree(Store(results).record_path(load(suite).specs[0]).parent)
    publish_suite("own", load(suite).specs, Store(results))
    assert files_of(results / "own") == published


SUITE = """
datasets = [{{ name = "points", path = "{path}" }}]
models = ["gaussian"]
seeds = [0, 1]
metrics = ["norm"]
[plan]
steps = 0
"""


def test_records_of_no_cell_leave_the_tables_with_a_warning(swept, caplog):
    suite, results = swept
    publish_suite("tiny", load(suite).specs[:1], Store(results))
    assert "tiny: 3 published records match no cell of this suite" in caplog.text


@pytest.mark.parametrize("damage", [b"damaged", b""])
@pytest.mark.parametrize("name", ["records.jsonl.gz", "table.csv", "cost.csv", "origins.json"])
def test_damaged_published_files_are_set_aside(swept, caplog, name, damage):
    suite, results = swept
    published = files_of(results / "tiny")
    for content in (damage, b"again"):
        (results / "tiny" / name).write_bytes(content)
        publish_suite("tiny", load(suite).specs, Store(results))
        assert f"tiny/{name} is damaged, and is now " in caplog.text
    aside = {f"{name}.damaged": damage, f"{name}.damaged2": b"again"}
    assert files_of(results / "tiny") == published | aside
