"""Conformance of modules: violations are reported per component, and an installed plug-in is found and passes."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.command_line import begin_all

from genbench.errors import ConfigError
from genbench.testing import check_module

PLUGIN = Path(__file__).parents[1] / "plugin"


def test_a_module_reports_every_violation(tmp_path):
    file = tmp_path / "two_models.py"
    file.write_text(
        "from genbench.registry import models\n"
        "from genbench.testing.toys import AffineFlow\n"
        "@models.register('test-good')\n"
        "def good(event, source) -> AffineFlow:\n    'Good.'\n    return AffineFlow(event, source)\n"
        "@models.register('test-bad')\n"
        "def bad(event, source) -> AffineFlow:\n    return AffineFlow(event, source)\n"
    )
    lines = []
    try:
        for line in check_module(str(file)):
            lines.append(line)
    except AssertionError as error:
        lines.append(str(error))
    assert lines[-1].startswith(f"{file}: failed: ")
    assert "model test-bad: VIOLATED: test-bad has no docstring: its first line is what `genbench list` shows" in lines
    assert any(line.startswith("model test-good on vectors: draw") for line in lines)


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        ("genbench.errors", "registers no model"),
        ("no_such_module", "cannot be imported"),
        ("no/such.py", "does not exist"),
    ],
)
def test_a_module_without_components_raises_a_config_error(module, sentence):
    with pytest.raises(ConfigError, match=sentence):
        list(check_module(module))


@pytest.mark.parametrize(
    ("line", "said"), [("undefined", "NameError: name 'undefined' is not"), ("exit(0)", "SystemExit: 0")]
)
def test_an_error_in_a_module_is_the_users(tmp_path, monkeypatch, line, said):
    (tmp_path / "wrong_module.py").write_text(line)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=f"wrong_module cannot be imported: {re.escape(said)}"):
        list(check_module("wrong_module"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """What commands say where the example package is installed, from a copy since building leaves traces."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(PLUGIN, folder / "source", ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps", "--no-index"]
    options = ["--no-build-isolation", "--target", str(folder / "site"), str(folder / "source")]
    subprocess.run([*pip, *options], check=True, capture_output=True, text=True)
    run = ["run", "--model", "example-affine", "--dataset", "example-laplace", "--results", str(folder / "results")]
    commands = {"list": ["list"], "check": ["check", "genbench_plugin_example"]}
    commands["run"] = [*run, "--set", "plan.steps=20", "--json"]
    return begin_all(commands, folder / "site")


def test_an_installed_plug_in_is_listed(installed):
    assert installed["list"].code == 0
    for name in ("example-affine", "example-laplace", "example-mean"):
        assert name in installed["list"].stdout


def test_an_installed_plug_in_conforms(installed):
    done = installed["check"]
    assert done.code == 0, done
    assert "model example-affine on vectors: draw, loss, gradient, sample, state, log_prob" in done.stdout
    assert "data set example-laplace: meanings, units, defaults, splits" in done.stdout
    assert "metric example-mean on example-laplace: example-mean = " in done.stdout


def test_an_installed_plug_in_runs(installed):
    assert installed["run"].code == 0, installed["run"]
    assert '"metric": "example-mean"' in installed["run"].stdout
