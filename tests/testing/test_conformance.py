"""Conformance of modules: violations are reported per component, and an installed plug-in is found and passes."""

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
        (".", r"\. is neither a module nor a Python file: write package\.module or FILE\.py"),
        ("mine/", "mine/ is neither a module nor a Python file"),
        ("undefined_name", "undefined_name cannot be imported: NameError: name 'undefined' is not"),
        ("ending", "ending cannot be imported: SystemExit: 0"),
    ],
)
def test_a_module_without_components_raises_a_config_error(tmp_path, monkeypatch, module, sentence):
    (tmp_path / "undefined_name.py").write_text("undefined")
    (tmp_path / "ending.py").write_text("exit(0)")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=sentence):
        list(check_module(module))


def test_an_installed_plug_in_is_listed_conforms_and_runs(tmp_path):
    """From a copy, since building leaves traces."""
    shutil.copytree(PLUGIN, tmp_path / "source", ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps", "--no-index"]
    options = ["--no-build-isolation", "--target", str(tmp_path / "site"), str(tmp_path / "source")]
    subprocess.run([*pip, *options], check=True, capture_output=True, text=True)
    run = ["run", "--model", "example-affine", "--dataset", "example-laplace", "--results", str(tmp_path / "results")]
    commands = {"list": ["list"], "check": ["check", "genbench_plugin_example"]}
    commands["run"] = [*run, "--set", "plan.steps=20", "--json"]
    done = begin_all(commands, tmp_path / "site")
    assert {name: each.code for name, each in done.items()} == dict.fromkeys(commands, 0), done
    for name in ("example-affine", "example-laplace", "example-mean"):
        assert name in done["list"].stdout
    for said in (
        "model example-affine on vectors: draw, loss, gradient, sample, state, log_prob",
        "data set example-laplace: meanings, units, defaults, splits",
        "metric example-mean on example-laplace: example-mean = ",
    ):
        assert said in done["check"].stdout
    assert '"metric": "example-mean"' in done["run"].stdout
