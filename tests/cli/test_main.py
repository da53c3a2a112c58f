"""The command line as a whole: wrong commands, signals, what it imports."""

import os
import subprocess
import sys
from importlib.metadata import version

import pytest


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
        (["eval", "nowhere"], "is not a kept run"),
        (["sweep", "nowhere.toml"], "no suite at nowhere.toml"),
        (["report", "nowhere"], "no results folder at nowhere"),
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
        (["run", "--model", "cfm", "--dataset", "moons", "--results", ""], "--results ''"),
        (["run", "--model", "cfm", "--dataset", "moons", "--results="], "--results="),
    ],
)
def test_wrong_commands_exit_with_2_and_write_nothing(inside, tmp_path, arguments, message):
    code, said = inside(*arguments)
    assert code == 2
    assert message in said
    assert not list(tmp_path.iterdir())


def test_the_version_is_that_of_the_package(cli):
    assert cli("--version")[1] == f"genbench {version('genbench')}\n"


@pytest.mark.parametrize("ignored", [False, True])
def test_a_hangup_stops_unless_it_is_ignored_as_under_nohup(ignored):
    code = f"""
import os, signal
signal.signal(signal.SIGHUP, signal.{"SIG_IGN" if ignored else "SIG_DFL"})
from genbench.cli import main
def hang_up(*arguments, **options):
    os.kill(os.getpid(), signal.SIGHUP)
main.app = hang_up
main.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == (0 if ignored else 130), done.stderr
    assert ("stopped" in done.stderr) != ignored


def test_sweeps_start_without_torchmetrics():
    pytest.importorskip("torchmetrics")
    code = """
import sys
import genbench.sweeps.execution.executors, genbench.sweeps.suite, genbench.report.publish
assert not {"torchmetrics", "torchvision", "transformers"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_encoding_without_arrows_fails_no_command():
    code = """
import sys
from genbench.cli.main import main
from genbench.cli.options import stdout
sys.argv = ["genbench", "--version"]
try:
    main()
finally:
    stdout().print("w2 ↓")
"""
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1] == "w2 \\u2193"
