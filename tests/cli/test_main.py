import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple
from unittest import mock

import numpy as np
import pytest

from genbench.cli.main import main
from genbench.runs.spec import restore
from genbench.storage.lease import leases_in

TINY = ["--set", "plan.steps=30", "--set", "evaluation.n=128", "--set", "evaluation.curve=[1, 4]"]
METRICS = ["--metric", "sliced_w2", "--metric", "nfe"]


def evaluation_key(record):
    return restore(record["spec"]).evaluation_key


class Done(NamedTuple):
    code: int
    stdout: str
    stderr: str


def begin(*arguments):
    """Run the command line in this process, and leave the process as it was."""
    out, err = io.StringIO(), io.StringIO()
    logger, stop = logging.getLogger("genbench"), signal.getsignal(signal.SIGTERM)
    handlers = list(logger.handlers)
    with (
        mock.patch.object(sys, "argv", ["genbench", *map(str, arguments)]),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    logger.handlers = handlers
    signal.signal(signal.SIGTERM, stop)
    return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def genbench(*arguments, code=0):
    done = begin(*arguments)
    assert done.code == code, done.stderr + done.stdout
    return done


def alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def inside(monkeypatch, tmp_path):
    """Run the command line in an empty folder: (exit code, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        done = begin(*arguments)
        return done.code, done.stderr

    return call


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A results folder, the record in it, and the process that made it."""
    results = tmp_path_factory.mktemp("results")
    command = ["run", "--model", "cfm", "--dataset", "moons", *TINY, *METRICS, "--results", str(results), "--json"]
    done = subprocess.run([sys.executable, "-m", "genbench", *command], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return results, json.loads(done.stdout), done


def test_json_is_the_record_alone_and_progress_goes_to_stderr(kept):
    _, record, done = kept
    assert set(record) == {"labels", "spec", "results", "provenance"}
    assert "step 30 of 30" in done.stderr
    assert {row["metric"] for row in record["results"]} == {"sliced_w2", "nfe"}
    curve = [row for row in record["results"] if row["point"] == "curve"]
    assert [(row["metric"], row["nfe"]) for row in curve] == [("sliced_w2", 1.0), ("sliced_w2", 4.0)]


def test_a_second_run_trains_nothing_and_says_the_same(kept):
    results, record, _ = kept
    done = genbench("run", "--model", "cfm", "--dataset", "moons", *TINY, *METRICS, "--results", results, "--json")
    assert json.loads(done.stdout) == record
    assert "step" not in done.stderr


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


def test_eval_measures_somebody_elses_samples(kept, tmp_path):
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


@pytest.mark.parametrize(
    "array",
    [np.zeros((0, 2)), np.zeros((9, 2), complex), np.array([["a", "b"]]), np.zeros((9, 3))],
    ids=["empty", "complex", "text", "shape"],
)
def test_samples_that_are_none_are_refused(inside, tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    code, said = inside("eval", "x.npy", "--dataset", "moons")
    assert code == 2
    assert len(said.strip().splitlines()) == 1


def test_eval_of_a_run_is_of_its_own_sampling_whatever_else_was_measured(kept):
    results, record, _ = kept
    run = record["labels"]["run"]
    genbench("eval", run, "--set", "sample.method=euler", "--set", "sample.steps=3", "--results", results)
    done = genbench("eval", run, "--metric", "mmd", "--results", results, "--json")
    assert json.loads(done.stdout)["spec"]["sample"] == record["spec"]["sample"]


def test_guided_samples_say_nothing_of_the_model_without_guidance(tmp_path):
    arguments = ["--set", "model.conditional=true", "--set", "sample.guidance=1", "--metric", "sliced_w2", *TINY]
    done = genbench(
        "run", "--model", "cfm", "--dataset", "moons", *arguments, "--metric", "nll", "--json", "--results", tmp_path
    )
    rows = {(row["metric"], row["point"], row["nfe"]): row for row in json.loads(done.stdout)["results"]}
    assert "guidance" in rows["nll", "main", None]["reason"]
    assert "do not divide" in rows["sliced_w2", "curve", 1.0]["reason"]
    assert rows["sliced_w2", "curve", 4.0]["value"] > 0


def test_report_writes_its_tables(kept):
    results, _, _ = kept
    done = genbench("report", results, "--full")
    assert "sliced_w2" in done.stdout
    for ending in ("md", "csv"):
        assert (results / f"REPORT.{ending}").stat().st_size > 100


def test_python_loads_what_the_command_line_kept(kept):
    import genbench as package

    results, record, _ = kept
    model = package.load(results, record["labels"]["run"])
    import torch

    from genbench.metrics.starting_noise import noise

    with torch.no_grad():
        x = model.sample(noise(model.source, 5, 0)).x
    assert x.shape == (5, 2)
    assert set(package.table(results)["metric"]) >= {"sliced_w2", "nfe"}


SUITE = """
datasets = ["moons"]
models = ["cfm", {name = "wcfm", kappa = [0.5, 1.0]}]
metrics = ["sliced_w2"]
seeds = [0, 1]
plan = {steps = 20, batch_size = 32}
evaluation = {n = 64, curve = []}
"""


def test_a_sweep_does_only_what_is_missing_and_does_not_depend_on_jobs(tmp_path):
    suite = tmp_path / "tiny.toml"
    suite.write_text(SUITE)
    assert "6 cells, 6 to run" in genbench("sweep", suite, "--results", tmp_path / "a", "--dry-run").stderr
    assert not (tmp_path / "a").exists()
    first = genbench("sweep", suite, "--results", tmp_path / "a")
    assert "wcfm kappa=0.5" in first.stdout
    second = genbench("sweep", suite, "--results", tmp_path / "b", "--jobs", 2)
    assert "6 cells, 6 to run" in second.stderr
    for name in ("tiny/table.md", "tiny/table.csv", "tiny/table.tex", "tiny/records.jsonl.gz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert "6 cells, 0 to run" in genbench("sweep", suite, "--results", tmp_path / "a").stderr
    suite.write_text(SUITE.replace("[0, 1]\n", "[0, 1, 2]\n"))
    assert "9 cells, 3 to run" in genbench("sweep", suite, "--results", tmp_path / "a", "--dry-run").stderr


def test_a_failed_cell_is_shown_retried_and_leaves_the_others_alone(tmp_path):
    suite = tmp_path / "bad.toml"
    suite.write_text(SUITE.replace('"cfm"', '{name = "cfm", plan = {lr = 1e30}}'))
    done = genbench("sweep", suite, "--results", tmp_path, code=1)
    assert "2 of 6 cells failed" in done.stderr
    assert "not finite at step" in done.stderr
    assert "failed" in (tmp_path / "bad/table.md").read_text()
    assert "6 cells, 2 to run" in genbench("sweep", suite, "--results", tmp_path, "--dry-run").stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("jobs", "number"), [(1, signal.SIGTERM), (2, signal.SIGINT), (2, signal.SIGKILL)], ids=["term", "ctrl-c", "kill"]
)
def test_a_stopped_sweep_leaves_no_process_and_replaces_a_killed_worker(tmp_path, jobs, number):
    suite = tmp_path / "long.toml"
    suite.write_text(SUITE.replace("steps = 20,", "steps = 10_000_000,"))
    command = [sys.executable, "-m", "genbench", "sweep", str(suite), "--results", str(tmp_path), "--jobs", str(jobs)]
    sweep = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests in the background do not hear Ctrl-C
    )
    while not list(tmp_path.glob("runs/*/train.csv")):
        assert sweep.poll() is None
        time.sleep(0.2)
    if number == signal.SIGINT:
        os.killpg(sweep.pid, number)  # a terminal tells all processes
    else:
        if number == signal.SIGKILL:
            os.kill(int(leases_in(tmp_path / "leases")[0].owner.pid), signal.SIGKILL)
            heard: list[str] = []
            assert sweep.stderr is not None
            while sum(" started " in line for line in heard) < 3:  # two at first, and one in the place of the killed
                heard.append(sweep.stderr.readline())
                assert heard[-1], heard
            assert "killed by signal 9" in "".join(heard)
        sweep.send_signal(number)
    _, said = sweep.communicate(timeout=300)
    assert sweep.returncode == (-number if number == signal.SIGKILL else 130)
    assert ("stopped; finished work is kept" in said) == (number != signal.SIGKILL)
    assert "Traceback" not in said
    deadline = time.monotonic() + 60
    while alive(sweep.pid):
        assert time.monotonic() < deadline, "a process of the sweep is left"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("datasetz = ['moons']", "no key 'datasetz'; did you mean 'datasets'?"),
        ("datasets = ['moons']", "models: field required"),
        ("datasets = ['moons']\nmodels = ['cmf']", "no model 'cmf'; did you mean 'cfm'?"),
        (
            "datasets = ['moons']\nmodels = [{name='cfm', sigmaa=1}]",
            "cfm has no setting 'sigmaa'; did you mean 'sigma'?",
        ),
        ("datasets = ['moons'", "is no TOML"),
        ("datasets = ['moons']\nmodels = [{name='wcfm', kappa=[]}]", "wcfm.kappa: [] is wrong"),
        ("datasets = ['moons']\nmodels = ['cfm']\nexclude = [{model='cfm'}]", "exclude removes every cell"),
        ("datasets = ['moons']\nmodels = ['cfm']\nseeds = 3", "seeds: 3 is wrong"),
        (
            "datasets = ['moons']\nmodels = ['cfm']\n[plan]\nstep = 3",
            "plan has no setting 'step'; did you mean 'steps'?",
        ),
    ],
)
def test_wrong_suites_are_one_line(inside, tmp_path, text, message):
    (tmp_path / "wrong.toml").write_text(text)
    code, said = inside("sweep", "wrong.toml", "--results", "r")
    assert code == 2
    assert message in said
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--model", "wcfn", "--dataset", "moons"], "did you mean 'wcfm'?"),
        (["run", "--model", "wcfm", "--dataset", "moons", "--set", "model.kapa=1"], "did you mean 'kappa'?"),
        (["run", "--model", "wcfm", "--dataset", "moons", "--set", "plan.steps"], "write section.name=value"),
        (["run", "--model", "wcfm", "--dataset", "moons", "--set", "plan.steps=-5"], "plan.steps: -5 is wrong"),
        (["run", "--model", "wcfm", "--dataset", "moons", "--metric", "w22"], "did you mean 'w2'?"),
        (["run", "--model", "cfm", "--dataset", "cifar10", "--set", "data.path=nowhere"], "nowhere"),
        (
            [
                "run",
                "--model",
                "cfm",
                "--dataset",
                "digits",
                "--metric",
                "fid-legacy",
                "--set",
                "plan.steps=100000",
                "--set",
                "metric.fid-legacy.features.weights=nowhere.pt",
            ],
            "fid-legacy.features.weights: nowhere.pt does not exist",
        ),  # before the training, which would take hours
        (["eval", "nowhere"], "is no kept run"),
        (["sweep", "nowhere.toml"], "no suite at nowhere.toml"),
        (["report", "nowhere"], "holds no current records"),
        (["show", "wcfn"], "did you mean 'wcfm'?"),
        (["list", "modells"], "did you mean 'models'?"),
        (["frobnicate"], "No such command"),
        (["run", "--model", "cfm", "--dataset", "moons", "--set", "sample.steps=5"], "set sample.method=euler"),
        (["run", "--model", "cfm", "--dataset", "moons", "--set", "sample.method=euler"], "needs a number of steps"),
        (["run", "--model", "cfm", "--dataset", "moons", "--set", "evaluation.curve_metrics=['w22']"], "did you mean"),
        (["run", "--model", "sbcfm", "--dataset", "moons", "--set", "model.clip=0.9"], "sbcfm.clip: 0.9 is wrong"),
        (
            ["run", "--model", "wcfm", "--dataset", "moons", "--set", "model.kappa=1", "--set", "model.epsilon=1"],
            "not both",
        ),
        (["run", "--model", "cfm", "--dataset", "moons", "--results", "/dev/null/x"], "/dev/null/x"),
    ],
)
def test_wrong_commands_exit_with_2_and_write_nothing(inside, tmp_path, arguments, message):
    code, said = inside(*arguments)
    assert code == 2
    assert message in said
    assert not list(tmp_path.iterdir())


def test_a_record_that_is_none_is_named(tmp_path):
    (tmp_path / "runs/x/y").mkdir(parents=True)
    (tmp_path / "runs/x/y/record.json").write_text("{")
    said = genbench("report", tmp_path, code=2).stderr
    assert "record.json is not a record" in said
    assert "holds no current records" in said


def test_a_record_of_another_version_is_refused(kept, tmp_path):
    _, record, _ = kept
    record = json.loads(json.dumps(record))
    record["spec"]["model"]["version"] = 0
    (tmp_path / "runs/x/y").mkdir(parents=True)
    (tmp_path / "runs/x/y/record.json").write_text(json.dumps(record))
    done = genbench("eval", tmp_path / "runs/x", "--metric", "nfe", code=2)
    assert "made with version 0 of model 'cfm'" in done.stderr


@pytest.mark.parametrize("ignored", [False, True])
def test_a_hangup_stops_unless_it_is_ignored_as_under_nohup(ignored):
    code = f"""
import os, signal
signal.signal(signal.SIGHUP, signal.{"SIG_IGN" if ignored else "SIG_DFL"})
from genbench.cli import main
def hang_up(**options):
    os.kill(os.getpid(), signal.SIGHUP)
main.app = hang_up
main.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == (0 if ignored else 130), done.stderr
    assert ("stopped" in done.stderr) != ignored


def test_names_are_listed_without_torch():
    code = """
import sys
from genbench.cli.main import main
from genbench.storage.lease import leases_in
sys.argv = ["genbench", "list"]
try:
    main()
finally:
    assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "wcfm" in done.stdout
    assert "Gibbs" in done.stdout


def test_sweeps_start_without_fabric_and_torchmetrics():
    pytest.importorskip("torchmetrics")
    code = """
import sys
import genbench.sweeps.executors, genbench.sweeps.suite, genbench.report.publish
assert not {"lightning_fabric", "torchmetrics", "torchvision", "transformers"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_show_tells_type_default_and_meaning():
    shown = json.loads(genbench("show", "wcfm", "--json").stdout)
    assert shown["settings"]["model"]["kappa"]["type"] == "float > 0 | none"
    assert all(s["meaning"] for section in shown["settings"].values() for s in section.values())
    assert "arxiv.org/abs/2507.22270" in shown["about"]


def test_show_tells_what_a_data_set_asks_for_by_default():
    shown = genbench("show", "cifar10").stdout
    for said in ("steps=400000", "batch_size=128", "ema=0.9999", "n=50000", "metrics by default: fid-legacy"):
        assert said in shown


def test_doctor_finds_what_is_here():
    assert "ok  torch" in genbench("doctor").stdout
