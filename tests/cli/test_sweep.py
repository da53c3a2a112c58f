"""sweep: only what is missing, failures, stopping, and folders that it must not write."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.command_line import genbench
from helpers.records import published
from helpers.tracks import TRAINED

SUITE = """
datasets = ["moons"]
models = ["cfm", {name = "wcfm", kappa = [0.5, 1.0]}]
metrics = ["sliced_w2"]
seeds = [0, 1]
plan = {steps = 20, batch_size = 32}
evaluation = {n = 64, curve = []}
"""


def test_a_sweep_does_only_what_is_missing_and_does_not_depend_on_jobs(tmp_path, forked_workers):
    suite = tmp_path / "tiny.toml"
    suite.write_text(SUITE)
    assert "6 cells, 6 to run" in genbench("sweep", suite, "--results", tmp_path / "a", "--dry-run").stderr
    assert not (tmp_path / "a").exists()
    first = genbench("sweep", suite, "--results", tmp_path / "a")
    assert "wcfm kappa=0.5" in first.stdout
    second = genbench("sweep", suite, "--results", tmp_path / "b", "--jobs", 2)
    assert "6 cells, 6 to run" in second.stderr
    for name in ("tiny/table.md", "tiny/table.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert published(tmp_path / "a/tiny/records.jsonl.gz") == published(tmp_path / "b/tiny/records.jsonl.gz")
    assert "6 cells, 0 to run" in genbench("sweep", suite, "--results", tmp_path / "a").stderr
    suite.write_text(SUITE.replace("[0, 1]\n", "[0, 1, 2]\n"))
    assert "9 cells, 3 to run" in genbench("sweep", suite, "--results", tmp_path / "a", "--dry-run").stderr


def test_a_dry_run_tells_budgets_apart_of_which_one_is_done(cli, tmp_path):
    suite, plans = tmp_path / "two.toml", [f'{{name = "cfm", plan = {{steps = {n}, batch_size = 8}}}}' for n in (2, 3)]
    head = 'datasets = ["moons"]\nmetrics = ["nfe"]\nevaluation = {n = 16, curve = []}\n'
    suite.write_text(f"{head}models = [{plans[0]}]\n")
    assert cli("sweep", suite, "--results", tmp_path / "r")[0] == 0
    suite.write_text(f"{head}models = [{', '.join(plans)}]\n")
    assert cli("sweep", suite, "--results", tmp_path / "r", "--dry-run")[1] == "cfm steps=3 on moons, seed 0\n"


def test_tables_show_what_another_command_measured_during_the_sweep(swept, first_path, monkeypatch):
    suite, results = swept

    def meanwhile(*_):
        genbench("eval", first_path(results).parents[1], "--metric", "norm", "--results", results)
        return []

    monkeypatch.setattr("genbench.sweeps.execution.execute", meanwhile)
    genbench("sweep", suite, "--results", results)
    assert "moons,cfm,norm," in (results / "tiny/table.csv").read_text()


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


@pytest.mark.slow
@pytest.mark.parametrize(("jobs", "number"), [(1, signal.SIGTERM), (2, signal.SIGINT)], ids=["term", "ctrl-c"])
def test_a_stopped_sweep_leaves_no_process(tmp_path, jobs, number):
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
        sweep.send_signal(number)
    _, said = sweep.communicate(timeout=500)
    assert sweep.returncode == 130
    assert "stopped: repeat the command to go on; finished runs are not repeated" in said
    assert "Traceback" not in said
    deadline = time.monotonic() + 300
    while alive(sweep.pid):
        assert time.monotonic() < deadline, "a process of the sweep is left"
        time.sleep(0.1)


@pytest.mark.parametrize("results", ["/proc/x", "stray", "file"])
@pytest.mark.parametrize(
    "command",
    [
        ["sweep", "s.toml"],
        ["run", "--model", "cfm", "--dataset", "moons"],
        ["tune", "cfm", "--dataset", "moons", "--over", "plan.lr=[1]"],
    ],
)
def test_a_results_folder_that_cannot_be_written_is_refused_before_any_cell_starts(inside, tmp_path, results, command):
    (tmp_path / "s.toml").write_text('datasets = ["moons"]\nmodels = ["cfm"]\nplan = {steps = 1}\n')
    for folder in ("stray", "stray/tuning"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "leases").touch()
    (tmp_path / "file").touch()
    code, _, said = inside(*command, "--results", results)
    assert code == 2
    assert len(said.splitlines()) == 1
    assert "results" in said


@pytest.mark.parametrize(
    ("name", "said"),
    [("mine", "mine is no folder that can be written: rename the suite, or choose another --results")]
    + [(f"mine/{table}", f"mine/{table} would be overwritten") for table in ("table.csv", "table.md")],
)
def test_a_sweep_does_not_overwrite_files_of_others(inside, tmp_path, name, said):
    (tmp_path / "mine.toml").write_text('datasets = ["moons"]\nmodels = ["cfm"]\n')
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("my own data")
    code, _, err = inside("sweep", "mine.toml", "--results", ".")
    assert (code, said in err) == (2, True)
    assert (tmp_path / name).read_text() == "my own data"


def test_settings_that_a_track_fixes_are_refused(inside, tmp_path):
    code, _, err = inside("sweep", "plane-v1", "--set", "plan.lr=0.02", "--results", tmp_path / "r")
    assert (code, "plane-v1 fixes all settings except data.*" in err) == (2, True)
    assert not (tmp_path / "r").exists()


def test_a_dry_run_checks_files_and_takes_the_settings_that_a_suite_needs_from_outside(cli, tmp_path):
    (tmp_path / "own.csv").write_text("x,y\n" + "".join(f"{n},{-n}\n" for n in range(40)))
    suite = tmp_path / "own.toml"
    suite.write_text('datasets = ["points"]\nmodels = ["cfm"]\nmetrics = ["nfe"]\n')
    words = ["sweep", suite, "--dry-run", "--results", tmp_path / "r"]
    assert "points needs the setting 'path'" in cli(*words)[2]
    assert cli(*words, "--set", f"data.path={tmp_path / 'own.csv'}")[0] == 0
    measured = 'metrics = ["fid-legacy"]\n[metric]\nfid-legacy = { statistics = "nowhere.npz" }\n'
    suite.write_text('datasets = ["digits"]\nmodels = ["cfm"]\n' + measured)
    code, _, err = cli(*words)
    place = tmp_path / "nowhere.npz"
    assert (code, err) == (2, f"genbench: {suite}: metric.fid-legacy.statistics: {place} does not exist\n")


def test_a_row_of_ones_own_is_trained_for_a_track_and_ranked(tmp_path, monkeypatch, cli):
    monkeypatch.chdir(tmp_path)
    Path("some.toml").write_text(TRAINED)
    genbench("sweep", "some.toml")
    genbench("new", "model", "mine")
    first = genbench("sweep", "some.toml", "--model", "mine.py", "--dataset", "moons")
    assert "some.toml: 3 cells, 3 to run" in first.stderr
    assert re.search(r"mine +lacks pinwheel", first.stdout)
    assert first.stdout.endswith("next: genbench leaderboard --track some.toml --results results\n")
    assert len(published(Path("results/some/records.jsonl.gz"))) == 18  # untouched
    second = genbench("sweep", "some.toml", "--model", "mine.py")
    assert "some.toml: 6 cells, 3 to run" in second.stderr
    rows = json.loads(genbench("leaderboard", "--track", "some.toml", "--json").stdout)["rows"]
    mine = [row for row in rows if row["model"] == "mine" and row["nfe"] is None]
    assert [(row["data"], row["seeds"], row["word"], bool(row["letters"])) for row in mine] == [
        (data, 3, "", True) for data in ("moons", "pinwheel")
    ]
    err = cli("sweep", "some.toml", "--model", "mine.py", "--budget", 12).stderr
    assert "--model takes neither --budget nor --settings" in err


PLAIN = """
from genbench.models.flow_matching.couplings.base import Independent
from genbench.models.flow_matching.flow_map import FlowMap
from genbench.models.flow_matching.mean_flow import MeanFlowLoss
from genbench.models.flow_matching.pair_model import DEFAULTS
from genbench.models.flow_matching.paths import Straight
from genbench.models.flow_matching.velocity_model import FlowMatching
from genbench.registry import models
@models.register("plain", version=1)
def plain(event, source) -> FlowMatching:
    return FlowMatching(event, source, net=None, coupling=Independent(), path=Straight(0.0), shared=DEFAULTS)
class Shrunk(FlowMatching):
    def sample(self, x0, *, label=None, shrink: float = 1.0):
        return super().sample(shrink * x0, method="euler", steps=2)
class Passing(FlowMatching):
    def sample(self, x0, *, label=None, method: str = "dopri5", steps: int = 0, diffusion: float = 0.0):
        return super().sample(x0, method=method, steps=steps, diffusion=diffusion)
@models.register("passing", version=1)
def passing(event, source) -> Passing:
    return Passing(event, source, net=None, coupling=Independent(), path=Straight(0.0), shared=DEFAULTS)
class Own(FlowMatching):
    def sample(self, x0, *, label=None, method: str = "ddim", steps: int = 2):
        return super().sample(x0, method="euler", steps=steps)
@models.register("own", version=1)
def own(event, source) -> Own:
    return Own(event, source, net=None, coupling=Independent(), path=Straight(0.0), shared=DEFAULTS)
class Warm(FlowMap):
    def sample(self, x0, *, label=None, warmth: float = 1.0):
        return super().sample(warmth * x0)
@models.register("warm", version=1)
def warm(event, source) -> Warm:
    return Warm(event, source, net=None, coupling=None, loss=MeanFlowLoss(), shared=DEFAULTS)
@models.register("shrunk", version=1)
def shrunk(event, source, *, net: str = "linear") -> Shrunk:
    return Shrunk(event, source, net=None, coupling=Independent(), path=Straight(0.0), shared=DEFAULTS)
"""


def test_a_method_without_settings_for_its_network_and_labels_is_swept_like_others(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("plain.py").write_text(PLAIN)
    for model in ("plain.py:plain", "plain.py:shrunk"):
        assert cli("sweep", "plane-v1", "--model", model, "--dataset", "moons", "--dry-run")[0] == 0
    few = "--set", "plan.steps=2", "--set", "evaluation.n=64", "--metric", "norm"
    for model, option in (("shrunk", "sample.shrink=0.5"), ("own", "sample.steps=3"), ("warm", "sample.warmth=0.5")):
        assert cli("run", "--model", f"plain.py:{model}", "--dataset", "moons", "--set", option, *few)[0] == 0
    for wrong in ("sample.method=euler", "sample.diffusion=1"):  # noise was recorded as samples
        assert cli("run", "--model", "plain.py:passing", "--dataset", "moons", "--set", wrong, *few)[0] == 2
    code, _, err = cli("run", "--model", "plain.py:plain", "--dataset", "moons", "--set", "sample.guidance=1")
    assert (code, err.startswith("genbench: sample.guidance needs labels and a model trained on them")) == (2, True)


def test_a_track_is_swept_in_parts_and_its_tables_keep_the_others(tmp_path):
    suite, results = tmp_path / "some.toml", tmp_path / "results"
    suite.write_text(TRAINED.replace('"wcfm"', '{ name = "wcfm", trials = { model = { kappa = [0.5, 2.0] } } }'))
    untuned = genbench("sweep", suite, "--results", results, "--settings", "tuned", code=2)
    assert "tuning has chosen no settings yet: run genbench tune --track" in untuned.stderr
    (tmp_path / "some.tuned.json").write_text('{"moons": {"wcfm": {"model": {"kappa": 0.5}}}}')

    def sweep(*words):
        return genbench("sweep", suite, "--results", results, *words)

    assert "9 cells, 9 to run" in sweep("--dataset", "moons", "--settings", "default").stderr
    done = sweep("--dataset", "moons", "--budget", 12, "--settings", "tuned")
    assert "3 cells, 3 to run" in done.stderr
    shown, across = done.stdout.split("some, tuned settings: excess over real data")
    assert "some, tuned settings: 12 steps (3 seeds), own sampler" in shown
    assert ("pinwheel" in shown, "missing" in shown) == (False, False)
    assert "tuning has chosen settings for 1 of 2 cells" in " ".join(across.split())
    assert done.stdout.endswith("--settings tuned\n")
    assert "12 cells, 0 to run" in sweep("--dataset", "moons", "--dry-run").stderr
    assert "21 cells, 9 to run" in sweep("--dry-run").stderr
    assert len(published(results / "some/records.jsonl.gz")) == 12


def test_a_data_file_is_selected_by_its_hash_which_the_refusal_of_its_name_states(cli, tmp_path, monkeypatch):
    """The refusal named "points" alone, which all data files of the suite share."""
    monkeypatch.chdir(tmp_path)
    for name, size in (("people", 40), ("places", 50)):
        Path(f"{name}.csv").write_text("".join(f"{i % 7},{i * i}\n" for i in range(size)))
    Path("two.toml").write_text('datasets = ["people.csv", "places.csv"]\nmodels = ["cfm"]\nmetrics = ["norm"]\n')
    code, _, err = cli("sweep", "two.toml", "--dataset", "people", "--dry-run")
    label, other = re.findall("points file=[0-9a-f]{8}", err)
    assert (code, label == other) == (2, False)
    assert "two.toml: 1 cell, 1 to run" in cli("sweep", "two.toml", "--dataset", label, "--dry-run")[2]


def test_a_row_of_ones_own_is_compared_with_methods_that_are_not_tuned_either(cli, tmp_path, monkeypatch):
    """The first table that ranked a method compared its defaults with tuned rivals."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("genbench.sweeps.execution.execute", lambda cells, *_: [None] * len(cells))
    code, out, err = cli("sweep", "plane-v1", "--model", "cfm", "--set", "model.sigma=0.1", "--dataset", "moons")
    assert code == 0, err
    assert [line.partition(" settings")[0] for line in out.splitlines() if line.startswith("plane-v1, ")] == [
        "plane-v1, default"
    ] * 2
    assert out.endswith("next: genbench leaderboard --track plane-v1 --results results --settings default\n")


def test_without_ray_a_line_says_what_to_install(cli, monkeypatch):
    monkeypatch.setattr("genbench.cli.sweep.find_spec", lambda name: None)
    code, _, err = cli("sweep", "smoke", "--ray")
    assert (code, err) == (2, "genbench: --ray needs Ray: pip install 'genbench[ray]'\n")
