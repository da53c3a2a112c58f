"""run and sweep: what is trained, kept and printed, failures, and stopping."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from helpers.command_line import METRICS, TINY, genbench

from genbench.storage.lease import leases_in

SUITE = """
datasets = ["moons"]
models = ["cfm", {name = "wcfm", kappa = [0.5, 1.0]}]
metrics = ["sliced_w2"]
seeds = [0, 1]
plan = {steps = 20, batch_size = 32}
evaluation = {n = 64, curve = []}
"""


def test_json_is_the_record_alone_and_progress_goes_to_stderr(kept):
    _, record, done = kept
    assert set(record) == {"labels", "spec", "results", "provenance"}
    assert "step 30 of 30" in done.stderr
    assert {row["metric"] for row in record["results"]} == {"sliced_w2", "nfe"}
    curve = [row for row in record["results"] if row["point"] == "curve"]
    assert [(row["metric"], row["nfe"]) for row in curve] == [("sliced_w2", 1.0), ("sliced_w2", 4.0)]


def test_a_second_run_trains_nothing_and_prints_the_same_record(kept):
    results, record, _ = kept
    done = genbench("run", "--model", "cfm", "--dataset", "moons", *TINY, *METRICS, "--results", results, "--json")
    assert json.loads(done.stdout) == record
    assert "step" not in done.stderr


def test_guided_samples_have_no_likelihood_of_the_unguided_model(tmp_path):
    arguments = ["--set", "model.conditional=true", "--set", "sample.guidance=1", "--metric", "sliced_w2", *TINY]
    done = genbench(
        "run", "--model", "cfm", "--dataset", "moons", *arguments, "--metric", "nll", "--json", "--results", tmp_path
    )
    rows = {(row["metric"], row["point"], row["nfe"]): row for row in json.loads(done.stdout)["results"]}
    assert "guidance" in rows["nll", "main", None]["reason"]
    assert "do not divide" in rows["sliced_w2", "curve", 1.0]["reason"]
    assert rows["sliced_w2", "curve", 4.0]["value"] > 0


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


def alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def owners_in(results):
    return {lease.owner.pid for lease in leases_in(results / "leases")}


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
            killed = leases_in(tmp_path / "leases")[0].owner.pid
            os.kill(int(killed), signal.SIGKILL)
            deadline = time.monotonic() + 180
            while len(owners_in(tmp_path) - {killed}) < jobs:  # until another worker is in its place
                assert time.monotonic() < deadline, "the killed worker is not replaced"
                assert sweep.poll() is None
                time.sleep(0.2)
        sweep.send_signal(number)
    _, said = sweep.communicate(timeout=300)
    assert ("killed by signal 9" in said) == (number == signal.SIGKILL)
    assert sweep.returncode == (-number if number == signal.SIGKILL else 130)
    assert ("stopped; finished work is kept" in said) == (number != signal.SIGKILL)
    assert "Traceback" not in said
    deadline = time.monotonic() + 60
    while alive(sweep.pid):
        assert time.monotonic() < deadline, "a process of the sweep is left"
        time.sleep(0.1)


@pytest.mark.parametrize("results", ["/proc/x", "stray", "file"])
@pytest.mark.parametrize(
    "command", [["sweep", "s.toml"], ["tune", "cfm", "--dataset", "moons", "--over", "plan.lr=[1]"]]
)
def test_a_results_folder_that_cannot_be_written_is_refused_before_any_cell_starts(inside, tmp_path, results, command):
    (tmp_path / "s.toml").write_text('datasets = ["moons"]\nmodels = ["cfm"]\nplan = {steps = 1}\n')
    for folder in ("stray", "stray/tuning"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "leases").touch()
    (tmp_path / "file").touch()
    code, said = inside(*command, "--results", results)
    assert code == 2
    assert len(said.splitlines()) == 1
    assert "results" in said


BROKEN = """
from genbench.registry import models
from genbench.testing.affine_flow import AffineFlow
class Broken(AffineFlow):
    "Broken."
    def loss(self, example):
        return {BODY}
@models.register("broken")
def broken(event, source) -> Broken:
    "Broken."
    return Broken(event, source)
"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("1 // 0", "broken.py:7, in loss: ZeroDivisionError: integer division or modulo by zero"),
        ("None", "TypeError: "),
    ],
)
def test_an_error_of_the_users_own_code_is_told_as_theirs(inside, tmp_path, body, message):
    (tmp_path / "broken.py").write_text(BROKEN.replace("{BODY}", body))
    code, err = inside("run", "--model", "broken.py", "--dataset", "moons", *TINY, "--metric", "norm", "-q")
    assert code == 1
    assert message in err
    assert "(genbench check FILE.py tests your broken)" in err
    assert "this is a bug" not in err


@pytest.mark.parametrize("line", ["import sys; sys.exit(0)", "raise SystemExit"])
def test_a_file_that_ends_the_program_is_refused(inside, tmp_path, line):
    (tmp_path / "ends.py").write_text(line)
    code, err = inside("run", "--model", "ends.py", "--dataset", "moons")
    assert code == 2
    assert "ends.py cannot be loaded: SystemExit" in err


def test_a_sweep_does_not_overwrite_tables_of_others(inside, tmp_path):
    (tmp_path / "mine.toml").write_text('datasets = ["moons"]\nmodels = ["cfm"]\n')
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/table.csv").write_text("my own data")
    code, err = inside("sweep", "mine.toml", "--results", ".")
    assert code == 2
    assert "mine/table.csv would be overwritten: rename the suite, or choose other --results" in err
    assert (tmp_path / "mine/table.csv").read_text() == "my own data"
