import json
import shutil
from pathlib import Path

import pytest
from helpers.records import edit_record

from genbench import api
from genbench.results.status import cell_names, of_folder
from genbench.runs.make_spec import make_spec
from genbench.runs.record import read_published
from genbench.runs.store import Store, evaluation_name
from genbench.sweeps.suite import load


def test_running_failed_and_stale_runs_are_told_apart(cli, swept):
    suite, results = swept
    specs = load(suite).specs
    store = Store(results)
    with store.hold(specs[0]) as held:
        shutil.rmtree(held.record_path(specs[0]).parent)
        store.record_path(specs[1]).unlink()
        store.write_failure(specs[1], "the sky fell\nTypeError: it did")
        edit_record(store.record_path(specs[3]), lambda r: r["spec"]["metrics"]["nfe"].update(version=0))
        folder = json.loads(cli("results", "status", "--results", results, "--json")[1])
    assert list(folder["running"]) == [held.folder(specs[0]).name]
    assert list(folder["failed"].values()) == ["TypeError: it did"]
    why = "made with version 0 of metric 'nfe', which is now 1"
    assert folder["stale"] == {evaluation_name(store.record_path(specs[3])): why}
    with store.lock_tables():  # which is no run
        assert of_folder(store).running == {}


@pytest.mark.parametrize(
    "command",
    ["results status", "results clean", "verify", "report", "leaderboard", "compare cfm otcfm --dataset moons"],
)
def test_a_folder_that_is_not_there_is_no_empty_one(cli, tmp_path, command):
    code, _, err = cli(*command.split(), "--results", tmp_path / "resluts")
    assert (code, err) == (2, f"genbench: there is no results folder {tmp_path / 'resluts'}\n")


def test_published_suites_are_counted_and_a_damaged_one_does_not_hide_the_others(cli, tmp_path):
    for name in ("digits", "synthetic"):
        (tmp_path / name).mkdir()
    one = Path(__file__).parents[2] / "results/tutorial/records.jsonl.gz"
    count = len(read_published(one))
    (tmp_path / "synthetic/records.jsonl.gz").write_bytes(one.read_bytes())
    (tmp_path / "digits/records.jsonl.gz").write_bytes(one.read_bytes()[:300])
    code, out, _ = cli("results", "status", "--results", tmp_path)
    assert code == 0
    assert f"published: synthetic, {count} records" in out
    assert "damaged: " in out
    assert "digits/records.jsonl.gz holds no records" in out
    folder = json.loads(cli("results", "status", "--results", tmp_path, "--json")[1])
    assert folder["published"] == {"synthetic": count}


def test_a_record_of_a_component_that_is_not_installed_is_unknown_and_not_stale(cli, swept, first_path):
    _, results = swept
    first, second = sorted(results.glob("runs/*/*/record.json"))[:2]

    def with_metric(record):
        record["spec"]["metrics"]["elsewhere"] = {"name": "elsewhere", "version": 2}
        record["provenance"]["measurements"][0]["metrics"].append("elsewhere")

    edit_record(second, with_metric)
    run = results / "runs" / "elsewhere-moons-0-123456789abc"
    shutil.move(first.parents[1], run)
    path = run / first.parent.name / "record.json"

    def of_plugin(record):
        record["spec"]["model"] = {"name": "elsewhere", "version": 3, "power": 2}
        record["labels"] |= {"run": run.name, "model": "elsewhere power=2"}

    edit_record(path, of_plugin)
    code, out, _ = cli("results", "status", "--results", results)
    assert code == 0
    assert "4 records" in out
    assert "unknown: 1 x model 'elsewhere', not installed here" in out
    assert "unknown: 1 x metric 'elsewhere', not installed here" in out
    assert "stale" not in out
    assert len(json.loads(cli("results", "status", "--results", results, "--json")[1])["unknown"]) == 2


def test_cells_of_one_model_are_told_apart_by_their_budget():
    plans = [{"plan": {"steps": steps}} for steps in (10, 20)]
    names = cell_names([make_spec("cfm", "moons", metrics=["nfe"], settings=plan) for plan in plans])
    assert names == ["cfm steps=10 on moons, seed 0", "cfm steps=20 on moons, seed 0"]


def test_cells_without_metrics_are_to_be_run_until_their_weights_are_kept(tmp_path):
    suite = tmp_path / "weights.toml"
    suite.write_text('datasets = ["moons"]\nmodels = ["cfm"]\nmetrics = []\nplan = {steps = 2, batch_size = 8}\n')
    (spec,), store = load(suite).specs, Store(tmp_path / "results")
    assert not store.is_complete(spec, store.record(spec))
    api.sweep(suite, results=store.root)
    assert store.is_complete(spec, store.record(spec))
    store.weights_path(spec).unlink()
    assert not store.is_complete(spec, store.record(spec))
