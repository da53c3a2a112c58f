"""Publishing: views do not depend on the times of a machine, and what did not run here stays as published."""

import copy
import gzip
import json
import shutil
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from helpers.command_line import genbench
from helpers.records import drop_metric, edit_published, edit_record, main_row, run
from rich.console import Console

from genbench.errors import ConfigError
from genbench.report.publish import publish_report, publish_suite, write_suite
from genbench.runs.make_spec import make_spec
from genbench.runs.record import format_published, read_published, read_record
from genbench.runs.record_types import no_origin
from genbench.runs.store import Store, failed_record
from genbench.sweeps.suite import load

FILES = ["records.jsonl.gz", "table.md", "table.csv"]


def timed(seconds):
    """Return a record of a training of so many seconds, with a curve."""
    record = run("cfm", 0, 1.0, curve=[(1.0, 2.0), (16.0, 1.5)]).record
    record["provenance"]["training"]["cost"]["train_seconds"] = seconds
    return record


def test_times_are_in_the_records_and_views_are_reproducible(tmp_path):
    written = write_suite(tmp_path / "out" / "syn", [timed(1.0)], [])
    assert sorted(path.name for path in written) == sorted(FILES)
    first = {path.name: path.read_bytes() for path in written}
    for path in write_suite(tmp_path / "again" / "syn", [timed(99.0)], []):
        assert (path.read_bytes() == first[path.name]) is (path.name != "records.jsonl.gz"), path.name
    (again,) = gzip.decompress((tmp_path / "again/syn/records.jsonl.gz").read_bytes()).splitlines()
    assert json.loads(again) == json.loads(json.dumps(timed(99.0)))


def test_tables_are_written_even_if_nobody_reads_the_summary(tmp_path):
    console = Mock(width=80, **{"print.side_effect": BrokenPipeError})
    with pytest.raises(BrokenPipeError):
        write_suite(tmp_path / "syn", [timed(1.0)], [], console)
    assert sorted(path.name for path in (tmp_path / "syn").iterdir()) == sorted(FILES)


def test_values_that_contradict_one_another_are_reported_once(tmp_path, caplog):
    """The summary on the terminal and the tables each reported them."""
    two = timed(1.0), timed(1.0)
    two[1]["labels"]["run"] = "later"
    main_row(two[1], "w2")["value"] = 2.0
    write_suite(tmp_path / "syn", two, [], Console(quiet=True))
    assert caplog.text.count("later contradicts") == 1


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
    publish_suite("tiny", specs, Store(results))
    assert files_of(results / "tiny") == published


def test_a_failed_cell_keeps_what_was_published_and_its_failure_stays_until_it_runs(swept):
    """It was published twice: with its record, and as failed."""
    suite, results = swept
    specs, store, published = load(suite).specs, Store(results), files_of(results / "tiny")
    folder = store.record_path(specs[1]).parent
    folder.rename(results / "kept")
    failed = {store.record_path(specs[1]): "the loss is not finite"}
    publish_suite("tiny", specs, store, failed=failed)
    assert files_of(results / "tiny") == published
    (results / "tiny/records.jsonl.gz").unlink()
    publish_suite("tiny", specs, store, failed=failed)
    *others, failure = read_published(results / "tiny/records.jsonl.gz")
    assert len(others) == len(specs) - 1
    assert (failure["failure"], failure["spec"]) == ("the loss is not finite", specs[1].json())
    assert (pd.read_csv(results / "tiny/table.csv")["failed_runs"] > 0).sum() == 1
    stated = files_of(results / "tiny")
    publish_suite("tiny", specs, store)
    assert files_of(results / "tiny") == stated
    (results / "kept").rename(folder)
    publish_suite("tiny", specs, store)
    assert files_of(results / "tiny") == published


def test_published_values_that_a_record_here_lacks_stay_and_those_that_it_replaces_are_reported(
    swept, first_path, caplog
):
    """A record of one metric, measured in a checkout, deleted the published values of all others."""
    suite, results = swept
    specs, published = load(suite).specs, files_of(results / "tiny")

    def change(record):
        record["results"][0]["value"] += 100

    edit_record(first_path(results), drop_metric("sliced_w2"))
    publish_suite("tiny", specs, Store(results))
    assert files_of(results / "tiny") == published
    assert "published" not in caplog.text
    edit_record(first_path(results), change)
    publish_suite("tiny", specs, Store(results))
    assert "tiny: values of 1 of 4 cells replace published ones that differ" in caplog.text
    assert {len(record["results"]) for record in read_published(results / "tiny/records.jsonl.gz")} == {3}


def test_published_values_keep_their_training_beside_those_of_a_model_that_was_trained_here(swept, first_path):
    suite, results = swept
    specs, path = load(suite).specs, results / "tiny/records.jsonl.gz"
    ours, theirs = copy.deepcopy(read_record(first_path(results))["provenance"]["training"]), no_origin()

    def of_others(record):
        (measurement,) = record["provenance"]["measurements"]
        more = [measurement | {"metrics": [name]} for name in measurement["metrics"]]
        record["provenance"].update(training=theirs, measurements=more)

    theirs |= {**copy.deepcopy(ours), "machine": {"device": "H100"}}
    edit_published(path, of_others)
    edit_record(first_path(results), drop_metric("sliced_w2"))
    for _ in range(2):
        publish_suite("tiny", specs, Store(results))
        (joined,) = [each for each in read_published(path) if len(each["provenance"]["measurements"]) == 2]
        assert joined["provenance"]["training"] == ours
        stated = {m["metrics"][0]: m.get("training") for m in joined["provenance"]["measurements"]}
        assert stated == {"nfe": None, "sliced_w2": theirs}


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


@pytest.mark.parametrize("lose", [lambda path: edit_record(path, drop_metric("sliced_w2")), Path.unlink])
def test_published_records_that_exist_nowhere_else_are_set_aside_once_their_suite_has_no_such_cell(
    swept, lose, monkeypatch
):
    suite, results = swept
    specs, store, published = load(suite).specs, Store(results), files_of(results / "tiny")
    publish_suite("tiny", specs[:3], store)
    assert files_of(results / "tiny").keys() == published.keys()
    publish_suite("tiny", specs, store)
    lose(store.record_path(specs[3]))
    with monkeypatch.context() as full:
        full.setattr("genbench.report.publish.write_suite", Mock(side_effect=OSError("full")))
        with pytest.raises(OSError, match="full"):
            publish_suite("tiny", specs[:3], store)
    assert files_of(results / "tiny") == published | {"records.jsonl.gz.aside": published["records.jsonl.gz"]}
    publish_suite("tiny", specs[:3], store)
    assert files_of(results / "tiny")["records.jsonl.gz.aside"] == published["records.jsonl.gz"]


def refused(record):
    main_row(record, "nfe")["value"] = -1.0


def of_other_data(record):
    drop_metric("sliced_w2")(record)
    record["provenance"]["data"]["sha256"] = "f" * 64


def outdated(record):
    record["spec"]["metrics"]["sliced_w2"]["version"] = 0


@pytest.mark.parametrize(
    ("there", "here", "cells"),
    [
        (refused, drop_metric("sliced_w2"), 4),
        (lambda record: record["provenance"]["data"].update(sha256="e" * 64), of_other_data, 4),
        (lambda record: None, outdated, 3),
    ],
    ids=["impossible", "of other data", "of a newer version, in no cell"],
)
def test_a_published_value_is_kept_unless_the_same_is_written_or_saved(swept, there, here, cells):
    """A poorer record of the same cell is no copy of it."""
    suite, results = swept
    specs, store, path = load(suite).specs, Store(results), results / "tiny/records.jsonl.gz"
    last = store.record_path(specs[3])
    edit_published(path, lambda record: there(record) if record["labels"]["run"] == last.parts[-3] else None)
    edit_record(last, here)
    before = path.read_bytes()
    publish_suite("tiny", specs[:cells], store)
    assert path.read_bytes() != before
    assert files_of(results / "tiny")["records.jsonl.gz.aside"] == before


def test_publishing_removes_its_own_leftovers_and_no_file_of_the_user(swept):
    """A folder of the user may have the name of the suite."""
    suite, results = swept
    names = [".notes.tmp", ".tmpAb12Cd", ".mine.zip.s05r98hd.tmp"]
    mine = [folder / name for folder in (results, results / "tiny") for name in names]
    for path in mine:
        path.write_text("mine")
    (killed := results / "tiny/.table.md.s05r98hd.tmp").touch()
    publish_suite("tiny", load(suite).specs, Store(results))
    assert all(path.read_text() == "mine" for path in mine)
    assert not killed.exists()


@pytest.mark.parametrize("damage", [b"damaged", b""])
def test_damaged_published_records_are_set_aside_with_the_tables_made_from_them(swept, caplog, damage):
    suite, results = swept
    specs, folder = load(suite).specs, results / "tiny"
    published = files_of(folder)
    for content in (damage, b"again"):
        (folder / "records.jsonl.gz").write_bytes(content)
        publish_suite("tiny", specs, Store(results))
        assert f"{folder / 'records.jsonl.gz'} was set aside as records.jsonl.gz.aside" in caplog.text
    aside = {"records.jsonl.gz.aside": damage, "records.jsonl.gz.aside2": b"again"}
    aside |= {f"{name}.aside{number}": published[name] for name in FILES[1:] for number in ("", 2)}
    assert files_of(folder) == published | aside
    shutil.rmtree(results / "runs")  # nothing is set aside where nothing is written
    (folder / "records.jsonl.gz").write_bytes(b"damaged")
    before = files_of(folder)
    assert publish_suite("tiny", specs, Store(results)) == []
    assert files_of(folder) == before


def test_more_than_can_be_read_is_not_published(cli, swept, monkeypatch, caplog):
    suite, results = swept
    publish_suite("tiny", load(suite).specs[:3], Store(results))
    assert "tiny: 1 published records match no cell of this suite" in caplog.text
    published = files_of(results / "tiny")
    size = len(gzip.decompress(published["records.jsonl.gz"]))
    monkeypatch.setattr("genbench.runs.record.MAX_PUBLISHED", size)
    with pytest.raises(ConfigError, match=rf"genbench reads at most {size:,} bytes "):
        publish_suite("tiny", load(suite).specs, Store(results))
    assert files_of(results / "tiny") == published
    suite.unlink()  # it is reported from its records without its file
    code, out, err = cli("report", "--results", results, "--suite", "tiny", "--full")
    assert (code, err, "moons" in out) == (0, "", True)
    (results / "tiny/records.jsonl.gz").unlink()
    suite.write_text("")
    err = cli("report", "--results", results, "--suite", suite)[2]
    assert f"has no tables of tiny yet: finish genbench sweep {suite}" in err


def test_a_page_elsewhere_is_written_also_if_nothing_can_be_written_in_the_results_folder(swept, tmp_path):
    _, results = swept
    (results / "leases").touch()
    publish_report(Store(results), tmp_path / "elsewhere.html", Console(quiet=True))
    assert (tmp_path / "elsewhere.html").exists()


def test_a_published_protocol_states_an_outdated_version_once_however_often_it_is_published(swept):
    """After three publications it read "version 0 of sliced_w2" three times, and matched no other value."""
    suite, results = swept
    store, specs, path = Store(results), load(suite).specs, results / "tiny/records.jsonl.gz"
    shutil.rmtree(results / "runs")
    records = read_published(path)
    for old in records:
        old["spec"]["metrics"]["sliced_w2"]["version"] = 0
    path.write_bytes(format_published(records))
    for _ in range(3):
        publish_suite("tiny", specs, store)
    assert read_published(path) == records
    protocols = set(pd.read_csv(results / "tiny/table.csv").query("metric == 'sliced_w2'")["protocol"])
    stated = {row["protocol"] for old in records for row in old["results"] if row["metric"] == "sliced_w2"}
    assert protocols == {f"{protocol}, version 0 of sliced_w2" for protocol in stated}


def test_published_files_name_no_folder_of_any_component_and_no_traceback(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "private").mkdir()
    np.save("private/points.npy", np.random.default_rng(0).normal(size=(99, 2)).astype("float32"))
    spec = make_spec("cfm", "points", metrics=["nfe"], settings={"data": {"path": "private/points.npy"}})
    failed = failed_record(spec, "Traceback:\n  File '/mine/x.py'\nRunFailed: no")
    failed["spec"]["metrics"]["nfe"]["statistics"] = str(tmp_path / "private/real.npz")
    write_suite(tmp_path / "mine", [], [failed])
    text = gzip.decompress((tmp_path / "mine/records.jsonl.gz").read_bytes()).decode()
    assert "private" not in text
    assert "/mine" not in text
    assert all(name in text for name in ("points.npy", "real.npz", "RunFailed: no"))
