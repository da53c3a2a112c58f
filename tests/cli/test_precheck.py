"""Wrong requests: refused in one line, from the catalog, without torch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genbench import registry
from genbench.cli import precheck
from genbench.core import Data
from genbench.suites import packaged

RUN = ("run", "--model", "wcfm", "--dataset", "moons")
WRONG = [
    ((*RUN[:2], "wcfn", *RUN[3:]), "no model 'wcfn'; did you mean 'wcfm'?"),
    ((*RUN[:4], "Moons"), "no data set 'Moons'; did you mean 'moons'?"),
    ((*RUN, "--metric", "FID"), "did you mean 'fid-clean', 'fid-infinity' or 'fid-legacy'?"),
    ((*RUN, "--set", "model.kapa=1"), "wcfm has no setting 'kapa'; did you mean 'kappa'?"),
    ((*RUN, "--set", "model.net.widht=8", "--set", "model.net=mlp"), "wcfm.net (mlp) has no setting 'widht'"),
    ((*RUN, "--set", "metric.w2=3"), "w2: 3 is wrong: write a setting of w2, as name=value"),
    ((*RUN, "--set", "plan.threads=100000"), "plan.threads: 100000 is wrong"),
    ((*RUN, "--set", "sample.steps=many"), "sample (wcfm).steps: 'many' is wrong"),
    ((*RUN, "--set", "evaluation=3"), "write section.name=value"),
    ((*RUN, "--set", f"model.{'net.' * 3000}a=1"), "no setting is nested"),
    ((*RUN, "--set", f"plan.steps={'[' * 3000}{']' * 3000}"), "nested too deeply"),
    ((*RUN, "--stack", "[" * 30000 + "]" * 30000), "nested too deeply"),
    ((*RUN, "--stack", '[{"sed": 0}]'), "write a list such as"),
    ((*RUN, "--stack", '[{"seed": 0}, {"seed": 0}]'), "at least two different members"),
    ((*RUN, "--stack", '[{"seed": 0}, {"seed": 1, "kapa": 2}]'), "wcfm has no setting 'kapa'"),
    ((*RUN, "--devices", "3", "--set", "plan.batch_size=64"), "64 cannot be divided into 3 devices"),
    ((*RUN, "--set", "plan.batch_size=100000000000000"), "plan.batch_size=100000000000000 needs at least"),
    ((*RUN, "--set", "evaluation.n=100000000000000"), "evaluation.n=100000000000000 needs at least"),
    ((*RUN, "--set", "plan.lr=inf"), "plan.lr: inf is wrong: numbers are finite"),
    (
        ("run", "--model", "cfm", "--dataset", "mixture", "--set", "data.placement=9223372036854775808"),
        "whole numbers are below 2^63",
    ),
    (("sweep", "deep.toml"), "deep.toml is not a suite: it is nested too deeply"),
    (("sweep", "large.toml"), "large.toml is not a suite: it has more than"),
    (("sweep", "pipe.toml"), "no suite at pipe.toml"),
    (("sweep", "names.toml"), "names.toml: no model 'otcmf'; did you mean 'otcfm'?"),
    (("sweep", "grid.toml"), "grid.toml: wcfm.kappa: 'x' is wrong"),
    (("validate", "names.toml"), "no model 'otcmf'"),
    (("show", "WCFM"), "did you mean 'wcfm'?"),
    (("tune", "wcfm", "--dataset", "moons", "--metric", "W2"), "did you mean 'w2'?"),
    (("eval", "x.npy", "--dataset", "moonz"), "did you mean 'moons'?"),
    ((*RUN, "--seeds", "0-2", "--accelerator", "cpu"), "omit --accelerator and --devices"),
    ((*RUN, "--log", "paper"), "no logger 'paper'; known: tensorboard, wandb"),
    ((*RUN, "--metric", "mmd", "--set", "metric.w2.n=3"), "settings for a metric that is not measured: 'w2'"),
    ((*RUN, "--results", "deep.toml"), "deep.toml is not a folder: name another one for results"),
    ((*RUN[:4], "none.npy"), "none.npy does not exist or is not a file"),
    (("sweep", "smoke", "--engine", "slurm"), "'slurm' is not one of 'local', 'ray'"),
    (("sweep", "smoke", "--engine", "ray", "--jobs", "3"), "--jobs is an option of the local engine"),
    (("sweep", "smoke", "--gpus", "1"), "add --engine ray"),
    (("tune", "cfm", "otcfm", "--dataset", "moons"), "name the candidates with --over"),
    (("tune", "cfm", "--dataset", "moons", "--over", "plan.lr=3"), "--over plan.lr=3: write a list of values"),
    (("tune", "cfm", "--dataset", "moons", "--over", "plan.rate=[3]"), "plan has no setting 'rate'"),
    (
        ("tune", "cfm", "--dataset", "moons", *(f"--over=plan.{name}={[*range(1, 999)]}" for name in ("lr", "steps"))),
        "--over: more than 10,000 candidates of cfm",
    ),
    (("retry", "nowhere"), "no results folder at nowhere"),
    (("verify", "nowhere"), "no results folder or submission at nowhere"),
    (("merge", "into", "deep.toml"), "deep.toml is not a folder"),
    (("submit", "x", "--to", "x.zip"), "call the file x.genbench.zip"),
    (("compare", "a", "b", "--metric", "w2"), "add --dataset"),
    (("leaderboard", "--add", "none"), "none does not exist or is not a file"),
    (("report", "--suite", "digit"), "no suite 'digit'; did you mean 'digits'?"),
    (("status", "--suite", "digit"), "no suite 'digit'; did you mean 'digits'?"),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep.toml").write_text(f"datasets=['moons']\nmodels=['cfm']\nseeds={'[' * 5000}{']' * 5000}")
    (tmp_path / "large.toml").write_text("#" * 2**21)
    (tmp_path / "names.toml").write_text("datasets=['moons']\nmodels=['otcmf']")
    (tmp_path / "grid.toml").write_text("datasets=['moons']\nmodels=[{name='wcfm', kappa=[1.0, 'x']}]")
    os.mkfifo(tmp_path / "pipe.toml")
    return tmp_path


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=lambda value: str(value)[-40:])
def test_a_wrong_request_is_one_line_and_exit_code_2(cli, folder, arguments, message):
    code, out, err = cli(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not (folder / "results").exists()


@pytest.mark.parametrize("name", ["LOCAL_RANK", "RANK", "WORLD_SIZE"])
def test_a_variable_of_torchrun_that_is_no_number_is_refused_before_torch(folder, name):
    command = "import sys\nsys.argv = ['genbench', *sys.argv[1:]]\nfrom genbench.cli.main import main\n"
    command += "try:\n    main()\nfinally:\n    assert 'torch' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", command, *RUN], capture_output=True, text=True, env=os.environ | {name: "x"}
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"genbench: {name}=x is not a whole number: start with torchrun, or unset it\n"


@pytest.mark.parametrize("size", ["1", "2"])
def test_an_ensemble_is_not_divided_among_the_processes_of_torchrun(cli, folder, monkeypatch, size):
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, size)
    code, out, err = cli(*RUN, "--stack", '[{"seed": 0}, {"seed": 1}]', "--dry-run")
    assert (code, bool(out)) == ((0, True) if size == "1" else (2, False))
    assert err == ("" if size == "1" else "genbench: one process trains an ensemble: start it without torchrun\n")


def test_no_refusal_imports_torch(folder):
    precheck.read()  # the catalog is in the cache
    code = f"""
import sys
from genbench.cli.main import main
for arguments in {[arguments for arguments, _ in WRONG]!r}:
    sys.argv = ["genbench", *arguments]
    try:
        main()
    except SystemExit as stop:
        assert stop.code == 2, arguments
    assert "torch" not in sys.modules, arguments
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_suites_of_the_package_pass():
    for suite in packaged():
        precheck.check_suite(suite, {})


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--devices", "3"], "genbench: plan.batch_size 256 cannot be divided into 3 devices x 1 accumulated parts"),
        (["--devices", "0"], "genbench run: Invalid value for '--devices'"),
        (["--accelerator", "abacus"], "genbench run: Invalid value for '--accelerator': 'abacus' is not one of"),
        (["--log", "paper"], "no logger 'paper'; known: tensorboard, wandb"),
        (["--sed", "3"], "genbench run: No such option"),
        (["--seeds", "3-"], "--seed / --seeds 3-: write a whole number from 0 on, or several as 0-4 or 0,2,5"),
        (["--seeds", "4-0"], "the last seed is smaller than the first"),
        (["--stack", '[{"seed": 0}]', "--seed", "1"], "leave --seed out"),
        (["--set", "model.net=unet"], "unet needs images"),
        (["--set", f"model.a={'b' * 10_000}\a"], "wcfm has no setting 'a'"),
    ],
    ids=str,
)
def test_a_wrong_option_is_refused_also_by_a_dry_run(cli, folder, arguments, message):
    code, out, err = cli(*RUN, *arguments, "--dry-run")
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert len(err) < 1100
    assert err.strip().isprintable()
