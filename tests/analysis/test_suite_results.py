"""Suites: what a results folder has published, and what is read from files."""

import gzip
import json
import os
import platform
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from helpers.reports import DIGITS
from PIL import Image

import genbench
from genbench.analysis.suite_results import FLAT, load_records, load_suites
from genbench.errors import ConfigError
from genbench.report.publish import publish_suite
from genbench.runs.make_spec import make_spec
from genbench.runs.store import Store

RESULTS = Path(__file__).parents[2] / "results"


def test_published_records_of_images_name_no_local_folder_and_are_read_without_the_images(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_HOME", str(tmp_path / "home"))
    (tmp_path / "photos").mkdir()
    for i in range(20):
        Image.fromarray(np.full((8, 8, 3), 12 * i, np.uint8)).save(tmp_path / "photos" / f"{i}.png")
    store = Store(tmp_path / "results")
    settings = DIGITS | {"data": {"path": str(tmp_path / "photos"), "size": 8}}
    spec = make_spec("cfm", "folder", metrics=["failed"], settings=settings)
    genbench.run("cfm", "folder", metrics=["failed"], settings=settings, results=store.root)
    (records,) = [path for path in publish_suite("photos", [spec], store) if path.suffix == ".gz"]
    assert str(tmp_path) not in gzip.decompress(records.read_bytes()).decode()
    for gone in (store.root / "runs", tmp_path / "photos"):
        shutil.rmtree(gone)
    (suite,) = load_suites(store)
    assert [run.record["results"][0]["value"] for run in suite.runs] == [0]


def test_a_file_without_records_is_refused(tmp_path):
    path = tmp_path / "x-records.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": 1}\n'))
    with pytest.raises(ConfigError, match=r"x-records\.jsonl\.gz holds no records: labels: field required"):
        load_records(path)
    with pytest.raises(ConfigError, match=r"nowhere is not a folder or run with records$"):
        load_records(tmp_path / "nowhere", tmp_path / "nowhere")


def test_the_file_names_of_earlier_versions_are_still_read(tmp_path):
    for name, ending in FLAT.items():
        for published in (RESULTS / "batch").glob(name):
            shutil.copy(published, tmp_path / f"batch{ending}")
    (suite,), (known,) = load_suites(Store(tmp_path)), load_suites(Store(RESULTS), ["batch"])
    assert suite.name == "batch"
    assert [run.record for run in suite.runs] == [run.record for run in known.runs]
    assert suite.costs == known.costs
    assert len(load_records(tmp_path)) == 90


def test_published_records_keep_what_made_them(cli, swept):
    _, results = swept
    shutil.rmtree(results / "runs")
    assert cli("report", "--results", results, "--html", results / "page.html")[0] == 0
    (numbers,) = [path.read_text() for path in (results / "page").glob("*tiny-numbers.html")]
    assert f"genbench {version('genbench')}" in numbers
    assert f"Python {platform.python_version()}" in numbers
    (made,) = json.loads((results / "tiny/origins.json").read_text())
    assert len(made["runs"]) == 4


@pytest.mark.parametrize("damage", ["[{}]", "[", '{"code": 1}', "[1]"])
def test_a_damaged_file_of_origins_is_reported_and_left_out(cli, swept, damage):
    _, results = swept
    shutil.rmtree(results / "runs")
    (results / "tiny/origins.json").write_text(damage)
    code, out, err = cli("report", "--results", results)
    assert code == 0
    assert "tiny/origins.json is left out: " in err
    assert "sliced_w2" in out


@pytest.mark.parametrize("damage", ["pipe", "a,b\n1,2\n", "run,model\n1\n", "", "\xff", '"'])
@pytest.mark.parametrize("name", ["table.csv", "cost.csv"])
def test_a_damaged_table_is_reported_and_left_out(tmp_path, name, damage, caplog):
    shutil.copytree(RESULTS / "captions", tmp_path / "captions")
    path = tmp_path / "captions" / name
    path.unlink()
    if damage == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(damage.encode("latin-1"))
    (suite,), (known,) = load_suites(Store(tmp_path)), load_suites(Store(RESULTS), ["captions"])
    assert [run.record["results"] for run in suite.runs] == [run.record["results"] for run in known.runs]
    assert f"captions/{name} is left out: " in caplog.text


@pytest.mark.parametrize("spec", ["[" * 200_000, "[1]", '{"data": 5, "model": "x", "seed": [1]}', "{}"])
def test_a_note_of_a_failure_without_a_spec_is_of_unknown_components(tmp_path, spec):
    note = tmp_path / "runs/a/b/failure.txt"
    note.parent.mkdir(parents=True)
    note.write_text(f"no memory\n\nspec: {spec}\n")
    (suite,) = load_suites(Store(tmp_path))
    ((model, data, seed, reason),) = suite.failures
    assert (model, data, seed) == ("unknown", "unknown", 0)
    assert "is damaged" in reason or reason == "no memory"
