"""The command line as a whole: wrong commands, signals, what it imports."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from argparse import ArgumentParser
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from helpers.processes import begun

from genbench import registry
from genbench.cli import main
from genbench.core import Data
from genbench.errors import ProcessesEnded

RUN = ("run", "--model", "wcfm", "--dataset", "moons")
NAMES = [
    ((*RUN[:2], "wcfn", *RUN[3:]), "no model 'wcfn'; did you mean 'wcfm'?"),
    ((*RUN[:4], "Moons"), "no data set 'Moons'; did you mean 'moons'?"),
    ((*RUN[:4], "~nosuchuser"), "no data set '~nosuchuser'; known: "),
    ((*RUN, "--results", "gr\udcf6sse"), "a name is not UTF-8: rename it, or use a UTF-8 locale: genbench run"),
    ((*RUN[:2], "~nosuchuser/m.py", *RUN[3:]), "~nosuchuser/m.py does not exist or is not a file"),
    ((*RUN, "--metric", "FID"), "did you mean 'fid-clean' or 'fid-legacy'?"),
    ((*RUN, "--steps", "5"), "settings are written as --set plan.steps=5"),
    (("tune", "cfm", "--dataset", "moons", "--over", "lr=[1,2]"), "--over lr=[1,2]: write section.name=value"),
    ((*RUN[:4], "deep.toml"), "deep.toml: data files are .npy, .npz, .csv, .parquet, .py, or a folder or tar archive"),
    (("report", "--suite", "names", "--results", "."), "no tables of names yet: finish genbench sweep names.toml"),
    ((*RUN, "--seeds", "0-2", "--accelerator", "cpu"), "omit --accelerator and --devices"),
    ((*RUN, "--seeds", "3-"), "--seed / --seeds 3-: write a whole number from 0 on, or several as 0-4 or 0,2,5"),
    ((*RUN, "--devices", "0"), "genbench run: Invalid value for '--devices'"),
    ((*RUN, "--accelerator", "abacus"), "genbench run: Invalid value for '--accelerator': 'abacus' is not one of"),
    ((*RUN, "--sed", "3"), "genbench run: No such option"),
    ((*RUN, "--model=cfm"), "--model: given 2 times: write one; several models are a suite"),
    ((*RUN, "--seed", "1", "--seeds", "0-4"), "--seed and --seeds: given 2 times: write it once, several seeds as"),
    (("results", "status", "--results", "a", "--results", "b"), "--results: given 2 times: write it once"),
    ((*RUN, "--log", "paper"), "Invalid value for '--log': 'paper' is not one of 'tensorboard', 'wandb'"),
    ((*RUN, "--results", "deep.toml"), "deep.toml is not a folder: name a folder with --results"),
    ((*RUN, "--results", ""), "--results ''"),
    ((*RUN, "--results="), "--results="),
    ((*RUN[:4], "none.npy"), "none.npy does not exist or is not a file"),
    (("sweep", "nowhere.toml"), "no suite at nowhere.toml"),
    (("sweep", "pipe.toml"), "no suite at pipe.toml"),
    (("sweep", "names.toml"), "names.toml: no model 'otcmf'; did you mean 'otcfm'?"),
    (("sweep", "smoke", "--settings", "tuned"), "smoke is not a track: omit --budget and --settings"),
    (("sweep", "plane-v1", "--budget", "5000", "--settings", "tuned"), "only default settings at 5000 steps: omit"),
    (("sweep", "plane-v1", "--budget", "3000"), "no budget of 3000 steps; its budgets are 2000, 5000, 20000"),
    (("sweep", "smoke", "--ray", "--jobs", "2"), "--ray takes no --jobs"),
    (("sweep", "smoke", "--gpus-per-cell", "2"), "--gpus-per-cell needs --ray"),
    (("sweep", "smoke", "--dataset", "moon"), "smoke has no data set 'moon'; did you mean 'moons'?"),
    (("sweep", "plane-v1", "--dataset", "mixtur dims=8"), "no data set 'mixtur'; did you mean 'mixture'?"),
    (("tune", "cfm", "otcfm", "--dataset", "moons"), "name the candidates with --over"),
    (("tune", "wcfn", "--dataset", "moons"), "did you mean 'wcfm'?"),
    (("eval", "nowhere"), "is not a saved run"),
    (("eval", "x.npy"), "add --dataset NAME to name the data set to compare it with"),
    (("eval", "some-run", "--seed", "7"), "--seed is for samples from other code"),
    (("verify", "nowhere"), "no submission at nowhere"),
    (("results", "submit", "x", "--to", "x.zip"), "call the file x.genbench.zip"),
    (("compare", "a", "b", "--metric", "w2"), "add --dataset"),
    (("leaderboard", "--add", "none"), "none does not exist or is not a file"),
    (("report", "--suite", "."), "there is no suite at ."),
    (("report", "--suite", "names.v2"), "no suite 'names.v2'; known: "),
    (("results", "merge", "deep.toml", "--results", "into"), "deep.toml is a file: name the results folder of another"),
    (("results", "merge", ".", "--results", "."), ". is --results itself"),
    (("show", "WCFM"), "did you mean 'wcfm'?"),
    (("list", "modells"), "did you mean 'models'?"),
    (("frobnicate",), "No such command"),
]
"""Requests that are refused before torch is imported: names, files and options."""
SETTINGS = [
    ((*RUN, "--set", "model.kapa=1"), "wcfm has no setting 'kapa'; did you mean 'kappa'?"),
    ((*RUN, "--set", "modle.kappa=1"), "no section of settings 'modle'; did you mean 'model'?"),
    ((*RUN, "--set", f"model.a={'b' * 10_000}\a"), "wcfm has no setting 'a'"),
    ((*RUN, "--set", "metric.w2=3"), "w2: 3 is wrong: write settings of w2 as name=value"),
    ((*RUN, "--metric", "norm", "--set", "metric.w2.n=3"), "settings for a metric that is not measured: 'w2'"),
    ((*RUN, "--set", "plan.threads=100000"), "plan.threads: 100000 is wrong"),
    ((*RUN, "--devices", "3", "--set", "plan.batch_size=64"), "plan.batch_size=64 cannot be divided into 3 devices"),
    ((*RUN, "--set", "sample.steps=many"), "sample.steps (wcfm): 'many' is wrong"),
    ((*RUN, "--set", "sample.steps=5"), "set sample.method=euler"),
    ((*RUN, "--set", "sample.method=euler"), "sample.method=euler needs a number of steps"),
    ((*RUN, "--set", "evaluation=3"), "write section.name=value"),
    ((*RUN, "--set", "evaluation.curve_metrics=['w22']"), "did you mean"),
    (("run", "--model", "sbcfm", "--dataset", "moons", "--set", "model.clip=0.9"), "sbcfm.clip: 0.9 is wrong"),
    (("run", "--model", "cfm", "--dataset", "cifar10", "--set", "data.path=nowhere"), "nowhere"),
    (
        (
            *("run", "--model", "cfm", "--dataset", "digits", "--metric", "fid-legacy", "--set", "plan.steps=100000"),
            *("--set", "metric.fid-legacy.features.weights=nowhere.pt"),
        ),
        "fid-legacy.features.weights: nowhere.pt does not exist",
    ),  # before the training, which would take hours
    ((*RUN, "--seeds", "4-0"), "the last seed is smaller than the first"),
    ((*RUN[:4], "points", "--set", "data.path=~nosuchuser/x.csv"), "~nosuchuser/x.csv does not exist"),
    (("sweep", "grid.toml"), "grid.toml: wcfm.kappa: 'x' is wrong"),
    (("sweep", "smoke", "--set", "plan.stesp=3"), "did you mean 'steps'"),
    ((*RUN, "--set", "evaluation.curve=1,2"), "evaluation.curve: '1,2' is wrong: it should be a list, in [ ]"),
    (("check", "names.toml"), "names.toml is a suite, which has no conformance tests: genbench sweep names.toml"),
]
DRY = [((*words, "--dry-run"), said) for words, said in [*NAMES, *SETTINGS][::3] if words[0] in ("run", "sweep")]
"""Without --dry-run, the same code refuses them."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep.toml").touch()
    (tmp_path / "names.toml").write_text("datasets=['moons']\nmodels=['otcmf']")
    (tmp_path / "grid.toml").write_text("datasets=['moons']\nmodels=[{name='wcfm', kappa=[1.0, 'x']}]")
    os.mkfifo(tmp_path / "pipe.toml")
    return tmp_path


@pytest.mark.parametrize(("arguments", "message"), [*NAMES, *SETTINGS, *DRY], ids=lambda value: str(value)[-40:])
def test_a_wrong_request_is_one_line_and_exit_code_2(cli, folder, arguments, message):
    before = {*folder.iterdir()}
    code, out, err = cli(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert len(err) < 1100
    assert err.strip().isprintable()
    assert {*folder.iterdir()} == before


def test_an_unforeseen_error_is_one_line_that_names_the_file_of_its_traceback(cli):
    @registry.datasets.register("faulty")
    def faulty(*, dims: int = 2) -> Data:
        raise ZeroDivisionError("dims\nare nothing")

    try:
        code, out, err = cli("run", "--model", "cfm", "--dataset", "faulty")
    finally:
        del registry.datasets._entries["faulty"]
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert err.startswith("genbench: ZeroDivisionError: dims are nothing; this is a bug")
    (path,) = [Path(word) for word in err.split() if word.endswith(".txt")]
    assert "in faulty" in path.read_text()
    assert "run --model cfm --dataset faulty" in path.read_text()
    path.unlink()
    assert cli("--version")[1] == f"genbench {version('genbench')}\n"


def in_process(code, **variables):
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | variables, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_wrong_names_are_refused_before_torch_is_imported_and_an_encoding_without_arrows_fails_no_command(folder):
    code, out, err = in_process(
        f"""
import os, sys
from genbench.cli.main import main
from genbench.cli.options import stdout
def ends(code, *arguments):
    sys.argv = ["genbench", *arguments]
    try:
        main()
    except SystemExit as stop:
        assert (stop.code or 0) == code, arguments
    assert "torch" not in sys.modules, arguments
for arguments in {[arguments for arguments, _ in NAMES]!r}:
    ends(2, *arguments)
print("variables", file=sys.stderr)
for name in ("LOCAL_RANK", "RANK", "WORLD_SIZE"):
    os.environ[name] = "x"
    ends(2, *{RUN!r})
    del os.environ[name]
ends(0, "list")
stdout().print("w2 ↓")
""",
        PYTHONIOENCODING="ascii",
    )
    *listed, last = out.splitlines()
    assert (code, last) == (0, "w2 \\u2193"), err
    assert any("Gibbs" in line for line in listed)
    assert err.partition("variables\n")[2].splitlines() == [
        f"genbench: {name}=x is not a whole number: start with torchrun, or unset {name}"
        for name in ("LOCAL_RANK", "RANK", "WORLD_SIZE")
    ]


def test_a_hangup_stops_unless_it_is_ignored_as_under_nohup_and_sweeps_start_without_torchmetrics():
    code, out, err = in_process("""
import os, signal, sys
from genbench.cli import main
def hang_up(*arguments, **options):
    os.kill(os.getpid(), signal.SIGHUP)
main.app = hang_up
signal.signal(signal.SIGHUP, signal.SIG_IGN)
try:
    main.main()
except SystemExit as end:
    print("ends with", end.code or 0)
import genbench.sweeps.execution, genbench.sweeps.suite, genbench.report.publish
assert not {"torchmetrics", "torchvision", "transformers"} & set(sys.modules)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
main.main()
""")
    assert (code, out, "stopped" in err) == (130, "ends with 0\n", True), err


def call_long(said, pipe):
    def long_call(*arguments, **options):
        x = torch.rand(6000, 6000)
        threading.Timer(0.3, pipe.send, ["in the middle"]).start()
        while True:
            torch.linalg.svd(x)

    def sleep(seconds):
        said.with_name("a signal was heard").touch()
        while not said.with_name("a minute later").exists():
            time.sleep(0.01)

    main.time = SimpleNamespace(sleep=sleep)
    os.dup2(os.open(said, os.O_RDWR if said.name == "said" else os.O_RDONLY), sys.stderr.fileno())
    main.app = long_call
    main.main()


@pytest.mark.parametrize("stderr", ["said", "cannot be written"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_a_long_call_of_a_library_at_once(tmp_path, number, stderr):
    pipe, end = multiprocessing.Pipe()
    said = tmp_path / stderr
    said.touch()
    busy = begun(call_long, said, end)
    pipe.recv()
    os.kill(busy.pid, number)
    os.kill(busy.pid, number)  # as `timeout` sends it: the same one
    while not (tmp_path / "a signal was heard").exists():
        busy.join(0.1)
    busy.join(1)
    assert busy.is_alive()
    (tmp_path / "a minute later").touch()
    while stderr == "said" and not said.read_text().endswith("\n"):
        busy.join(0.1)
    for seconds in [300] if stderr == "said" else [1] * 300:
        if busy.is_alive():  # without a line on stderr, nobody knows when the first signal has been read
            os.kill(busy.pid, number)
            busy.join(seconds)
    busy.kill()
    assert busy.exitcode == 130
    assert stderr != "said" or said.read_text().splitlines() == [
        "genbench: stopping, which may take a while; a second signal ends at once",
        "genbench: ended at once: repeat the command to go on; finished runs are not repeated",
    ]


def test_the_help_fits_a_screen_and_lists_at_most_15_commands_by_task(cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = cli("--help")[1]
    sections = re.findall(r"^(\S.*):\n((?:  +\S.*\n)+)", out, re.MULTILINE)
    commands = {title: re.findall(r"^  (\w+)", rows, re.MULTILINE) for title, rows in sections[1:]}
    assert commands["Run"][:2] == ["run", "sweep"]
    assert "results" in commands["Share"]
    assert sum(map(len, commands.values())) <= 15
    assert len(out.splitlines()) <= 45
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("end", [sys.exit, ArgumentParser().error, exit])
def test_code_that_ends_the_process_has_failed_and_is_named_and_not_the_standard_library(capsys, end):
    assert main.exit_code(lambda: end("no")) == 1
    said = r"genbench: [\w.]*test_main:\d+, in <lambda>: this code ends the process: let it return, or raise an error"
    assert re.fullmatch(said, capsys.readouterr().err.splitlines()[-1])


@pytest.mark.parametrize("words", [("leaderboard", "--track", "plane-v1"), ("list",)], ids=" ".join)
def test_a_reader_that_has_read_enough_ends_a_command_without_a_word(words):
    command = [sys.executable, "-m", "genbench", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == ("", 128 + signal.SIGPIPE)


def test_torchrun_ends_the_process_with_its_own_code():
    with pytest.raises(ProcessesEnded):
        main.exit_code(Mock(side_effect=ProcessesEnded(0)))
