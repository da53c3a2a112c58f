"""eval: of kept runs, of samples in files, and what is refused."""

import json

import numpy as np
import pytest
from helpers.command_line import genbench

from genbench.runs.make_spec import restore_spec
from genbench.runs.record import format_record


def evaluation_key(record):
    return restore_spec(record["spec"]).evaluation_key


def test_eval_measures_more_without_training(kept):
    results, record, _ = kept
    run = record["labels"]["run"]
    done = genbench("eval", run, "--metric", "energy_distance", "--results", results, "--json")
    again = json.loads(done.stdout)
    assert {row["metric"] for row in again["results"]} == {"energy_distance", "nfe", "sliced_w2"}
    assert [r for r in again["results"] if r["metric"] == "sliced_w2"] == [
        r for r in record["results"] if r["metric"] == "sliced_w2"
    ]
    other = genbench(
        "eval",
        results / "runs" / run,
        "--set",
        "sample.method=heun",
        "--set",
        "sample.steps=3",
        "--metric",
        "nfe",
        "--json",
    )
    assert json.loads(other.stdout)["results"][0]["value"] == 6.0
    refused = genbench("eval", run, "--set", "plan.steps=31", "--results", results, code=2)
    assert "does not train" in refused.stderr


def test_eval_measures_external_samples(kept, tmp_path):
    results, record, _ = kept
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).normal(size=(500, 2)).astype("float32"))
    done = genbench(
        "eval", tmp_path / "mine.npy", "--dataset", "moons", "--metric", "w2", "--json", "--set", "metric.w2.n=400"
    )
    (row,) = json.loads(done.stdout)["results"]
    assert row["value"] > row["floor"] > 0
    run = results / "runs" / record["labels"]["run"]
    samples = run / evaluation_key(record) / "samples.npz"
    same = genbench("eval", samples, "--dataset", "moons", "--metric", "sliced_w2", "--json")
    ours = next(r for r in record["results"] if r["metric"] == "sliced_w2" and r["point"] == "main")
    assert json.loads(same.stdout)["results"][0]["value"] == pytest.approx(ours["value"], rel=1e-6)
    np.save(tmp_path / "wrong.npy", np.zeros((5, 3), "float32"))
    assert "shape (3,)" in genbench("eval", tmp_path / "wrong.npy", "--dataset", "moons", code=2).stderr
    assert "--dataset" in genbench("eval", tmp_path / "mine.npy", code=2).stderr


def test_eval_uses_the_sampling_options_of_the_run(kept):
    results, record, _ = kept
    run = record["labels"]["run"]
    genbench("eval", run, "--set", "sample.method=euler", "--set", "sample.steps=3", "--results", results)
    done = genbench("eval", run, "--metric", "mmd", "--results", results, "--json")
    assert json.loads(done.stdout)["spec"]["sample"] == record["spec"]["sample"]


def test_a_record_of_another_version_is_refused(kept, tmp_path):
    _, record, _ = kept
    run = tmp_path / "runs" / record["labels"]["run"]
    place = run / evaluation_key(record)
    record = json.loads(json.dumps(record))
    record["spec"]["model"]["version"] = 0
    place.mkdir(parents=True)
    (place / "record.json").write_text(format_record(record))
    done = genbench("eval", run, "--metric", "nfe", code=2)
    assert "made with version 0 of model 'cfm'" in done.stderr
