"""run and eval: what is trained, kept and printed, and errors of the user's own code."""

import json
import shutil
import urllib.error
import urllib.request

import numpy as np
import pytest
from helpers.command_line import METRICS, TINY, genbench
from helpers.image_trees import write_images
from helpers.records import main_row

from genbench.runs.make_spec import restore_spec
from genbench.runs.store import Store


def test_json_is_the_record_alone_and_progress_goes_to_stderr(kept):
    results, record, done = kept
    again = genbench("run", "--model", "cfm", "--dataset", "moons", *TINY, *METRICS, "--results", results, "--json")
    assert (json.loads(again.stdout), "step" in again.stderr) == (record, False)  # nothing is trained again
    assert set(record) == {"labels", "spec", "results", "provenance"}
    assert "step 30 of 30" in done.stderr
    assert {row["metric"] for row in record["results"]} == {"sliced_w2", "nfe"}
    curve = [row for row in record["results"] if row["point"] == "curve"]
    assert [(row["metric"], row["nfe"]) for row in curve] == [("sliced_w2", 1.0), ("sliced_w2", 4.0)]


def test_guided_samples_have_no_likelihood_of_the_unguided_model(tmp_path):
    arguments = ["--set", "model.conditional=true", "--set", "sample.guidance=1", "--metric", "sliced_w2", *TINY]
    run = ["run", "--model", "cfm", "--dataset", "moons", "--metric", "nll", "--json", "--results", tmp_path]
    done = genbench(*run, *arguments)
    rows = {(row["metric"], row["point"], row["nfe"]): row for row in json.loads(done.stdout)["results"]}
    assert "guidance" in rows["nll", "main", None]["reason"]
    assert "do not divide" in rows["sliced_w2", "curve", 1.0]["reason"]
    assert rows["sliced_w2", "curve", 4.0]["value"] > 0


@pytest.mark.parametrize(
    ("data", "metric", "why"),
    [
        ("moons", "fid-legacy", "fid-legacy cannot be measured here: features need images"),
        ("digits", "w2", "w2 cannot be measured here: distances between pixels say little"),
        ("moons", "bits_per_dim", "bits_per_dim cannot be measured here: the data is continuous"),
    ],
)
def test_a_metric_that_the_data_rules_out_is_refused_before_training(inside, tmp_path, data, metric, why):
    code, _, err = inside("run", "--model", "cfm", "--dataset", data, "--metric", metric)
    assert (code, why in err, err.count("\n")) == (2, True, 1)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(("offline", "why"), [("", "cannot be downloaded (no network): put"), ("1", "is missing: put")])
def test_missing_weights_are_in_the_way_of_trainings_only(cli, own_home, tmp_path, monkeypatch, offline, why):
    """A dry run downloaded a network, and one network without weights lost the values of all other metrics."""
    asked = []

    def fail(*_, **__):
        asked.append(1)
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    monkeypatch.setenv("GENBENCH_OFFLINE", offline)
    write_images(tmp_path / "images", {"train": 9, "test": 4})
    np.save(tmp_path / "s.npy", np.full((8, 3, 8, 8), 9, np.uint8))
    data = ["--set", f"data.path={tmp_path / 'images'}", "--set", "data.size=8", "--set", "data.valid=0.0"]
    both, there = ["--metric", "kid", "--metric", "norm"], ["--results", tmp_path / "r"]
    run = ["run", "--model", "gaussian", "--dataset", "folder", *data, "--set", "evaluation.n=8", *there]
    assert cli(*run, *both, "--dry-run")[0] == 0
    assert not asked
    code, _, err = cli(*run, *both)
    assert (code, f"kid cannot be measured here: inception-2015-12-05.pt {why}" in err) == (2, True)
    assert cli(*run, "--metric", "nfe")[0] == 0
    saved = ["eval", "gaussian", "--metric", "kid", "--metric", "norm", *there]
    for words in ([*run, *both], saved, ["eval", tmp_path / "s.npy", "--dataset", "folder", *data, *both]):
        code, out, err = cli(*words, "--json")
        assert code == 0, err
        rows = {row["metric"]: row for row in json.loads(out)["results"]}
        assert rows["norm"]["value"] > 0
        assert rows["kid"]["reason"].startswith(f"inception-2015-12-05.pt {why}")


BROKEN = """
from genbench.registry import models
from genbench.testing.toys import AffineFlow
class Broken(AffineFlow):
    "Broken."
    def loss(self, example):
        return {BODY}
@models.register("broken")
def broken(event, source) -> Broken:
    "Broken."
    return Broken(event, source)
import os
READER, PIPE = os.pipe()
os.close(READER)
"""
EXIT = "__import__('sys').exit(0)"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("1 // 0", "broken.py:7, in loss: ZeroDivisionError: integer division or modulo by zero"),
        ("None", "TypeError: loss returned a NoneType: return a dict with the scalar 'loss' in it"),
        ("__import__('torch').zeros(())", "genbench: TypeError: loss returned a Tensor: return a dict"),
        (EXIT, "broken.py:7, in loss: SystemExit: 0"),
        ("os.write(PIPE, b'x')", "broken.py:7, in loss: [Errno 32] Broken pipe"),
    ],
)
def test_an_error_of_the_users_own_code_is_told_as_theirs(inside, tmp_path, body, message):
    (tmp_path / "broken.py").write_text(BROKEN.replace("{BODY}", body))
    code, _, err = inside("run", "--model", "broken.py", "--dataset", "moons", *TINY, "--metric", "norm", "-q")
    assert code == 1
    assert message in err
    assert "(genbench check broken.py tests your broken)" in err
    assert "this is a bug" not in err


def test_code_that_ends_the_process_fails_alone(inside, tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN.replace("{BODY}", EXIT))
    (tmp_path / "s.toml").write_text(
        'datasets = ["moons"]\nmodels = ["broken.py:broken", "gaussian"]\nmetrics = ["norm"]\n'
        "[plan]\nsteps = 2\n[evaluation]\nn = 16\n"
    )
    code, _, err = inside("sweep", "s.toml")
    assert (code, "broken.py:7, in loss: SystemExit: 0" in err) == (1, True)
    assert "moons,gaussian,norm," in (tmp_path / "results/s/table.csv").read_text()
    assert inside("check", "broken.py")[0] == 1
    (tmp_path / "data.py").write_text(
        f"from genbench.registry import datasets\n@datasets.register('mine')\ndef mine():\n    {EXIT}\n"
    )
    code, _, err = inside("run", "--model", "gaussian", "--dataset", "data.py")
    assert (code, "data.py:4, in mine: this code ends the process" in err) == (1, True)


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
    heun = ["--set", "sample.method=heun", "--set", "sample.steps=3"]
    other = genbench("eval", results / "runs" / run, *heun, "--metric", "nfe", "--json", "--results", results)
    assert json.loads(other.stdout)["results"][0]["value"] == 6.0
    done = genbench("eval", "cfm-moons", "--metric", "norm", "--results", results, "--json")  # beginning of the name
    assert json.loads(done.stdout)["spec"]["sample"] == record["spec"]["sample"]  # not of the last evaluation
    refused = genbench("eval", run, "--set", "plan.steps=31", "--results", results, code=2)
    assert "does not train" in refused.stderr


def test_eval_measures_more_of_a_run_whose_curve_has_chosen_metrics(cli, tmp_path):
    curve = [*TINY[:-1], "evaluation.curve=[1]", "--set", 'evaluation.curve_metrics=["sliced_w2"]']
    run = ["run", "--model", "cfm", "--dataset", "moons", "--metric", "sliced_w2", "--metric", "nfe", *curve]
    assert cli(*run, "--results", tmp_path)[0] == 0
    ((before, record),) = Store(tmp_path).saved()
    code, _, err = cli("eval", record["labels"]["run"], "--metric", "norm", "--results", tmp_path)
    assert code == 0, err
    ((path, after),) = Store(tmp_path).saved()
    assert (path, [row for row in after["results"] if row["metric"] != "norm"]) == (before, record["results"])
    assert [(row["metric"], row["point"]) for row in after["results"] if row not in record["results"]] == [
        ("norm", "main")
    ]


def test_eval_keeps_the_settings_of_the_metrics_of_a_run(cli, tmp_path):
    few = ["--metric", "sliced_w2", "--metric", "nfe", "--set", "metric.sliced_w2.n=20"]
    few += ["--set", "plan.validate_every=10", "--set", "metric.validation_loss.draws=64"]
    assert cli("run", "--model", "cfm", "--dataset", "moons", *few, *TINY, "--results", tmp_path)[0] == 0
    ((path, record),) = Store(tmp_path).saved()
    for more, metrics in ([], {"sliced_w2", "nfe"}), (["--metric", "norm"], {"norm"}), (["--metric", "nfe"], {"nfe"}):
        code, _, err = cli("eval", record["labels"]["run"], *more, "--results", tmp_path)
        assert code == 0, err
        ((again, after),) = Store(tmp_path).saved()
        assert (again, [row for row in after["results"] if row["metric"] != "norm"]) == (path, record["results"])
        assert metrics <= {row["metric"] for row in after["results"]}


@pytest.mark.parametrize("disk", ["", "disk/runs", "disk/of_runs"])
def test_eval_finds_a_run_in_its_results_folder_and_refuses_any_other_path(cli, swept, tmp_path, monkeypatch, disk):
    """The leases are beside `runs`, which may be a link to another disk: no other path tells where they are."""
    (place := tmp_path / "runs" / "monday").mkdir(parents=True)
    shutil.move(swept[1], place / "results")
    if disk:
        (tmp_path / "disk").mkdir()
        (place / "results/runs").rename(tmp_path / disk)
        (place / "results/runs").symlink_to(tmp_path / disk)
    run = next(path.name for path in sorted((place / "results/runs").iterdir()))
    monkeypatch.chdir(place)
    for what in (run, f"results/runs/{run}", (tmp_path / disk if disk else place / "results/runs") / run):
        code, out, err = cli("eval", what, "--metric", "norm")
        assert code == 0, err
        assert f"\nsaved in results/runs/{run}/" in out
    shutil.copytree(place / "results/runs" / run, tmp_path / "runs/best")
    shutil.copytree(place / "results/runs" / run, tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    for what, said in (
        (f"runs/monday/results/runs/{run}", "is not a run in results/runs: add --results runs/monday/results"),
        ("runs/best", "is not a run in results/runs: add --results ."),
        ("mine", "is not a saved run in results/runs: see genbench list runs"),
    ):
        assert cli("eval", what, "--metric", "norm") == (2, "", f"genbench: {what} {said}\n")


def test_eval_measures_samples_in_a_file_as_those_of_a_run(kept):
    results, record, _ = kept
    samples = results / "runs" / record["labels"]["run"] / evaluation_key(record) / "samples.npz"
    (same,) = json.loads(genbench("eval", samples, "--dataset", "moons", "--metric", "sliced_w2", "--json").stdout)[
        "results"
    ]
    assert same["value"] == pytest.approx(main_row(record)["value"], rel=1e-6)
