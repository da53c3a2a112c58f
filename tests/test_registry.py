"""Registries: names of other packages, some of which are broken."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from genbench.errors import ConfigError
from genbench.registry import Registry

ENTRY_POINTS = """
[genbench.models]
raises = broken_plugin.raises
[genbench.datasets]
unwritten = broken_plugin.unwritten
forgotten = broken_plugin.forgotten
[genbench.metrics]
garbled = broken_plugin.garbled
"""
FILES = {
    "broken_plugin/__init__.py": "",
    "broken_plugin/raises.py": "raise OSError('no license server')",
    "broken_plugin/forgotten.py": "",
    "broken_plugin/garbled.py": "def garbled(:",
    "broken_plugin-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n",
    "broken_plugin-1.0.dist-info/entry_points.txt": ENTRY_POINTS,
}
REASONS = {
    "raises": "broken_plugin.raises cannot be imported: OSError: no license server",
    "unwritten": "broken_plugin.unwritten cannot be imported: ModuleNotFoundError",
    "forgotten": "broken_plugin.forgotten does not register it",
    "garbled": "broken_plugin.garbled cannot be imported: SyntaxError",
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """An environment with a package whose four components are broken, each in another way."""
    site = tmp_path_factory.mktemp("site")
    for name, text in FILES.items():
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).write_text(text)
    return os.environ | {"PYTHONPATH": str(site)}


COMMANDS = {
    "run": ("run", "--model", "cfm", "--dataset", "moons", "--dry-run"),
    "list": ("list", "--json"),
    "doctor": ("doctor",),
    "schema": ("schema",),
    "broken": ("run", "--model", "raises", "--dataset", "moons"),
}
CODE = f"""
import json, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from helpers.command_line import begin
print(json.dumps({{name: begin(*words) for name, words in {COMMANDS!r}.items()}}))
"""


@pytest.fixture(scope="module")
def said(environment):
    """What each command says in that environment: {command: (exit code, stdout, stderr)}."""
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_broken_components_are_named_and_all_others_work(said):
    assert said["run"][0] == 0, said["run"]
    found = {name: summary for names in json.loads(said["list"][1]).values() for name, summary in names.items()}
    for name, reason in REASONS.items():
        assert reason in found[name]
        assert "of broken-plugin" in found[name]
        assert reason in " ".join(said["doctor"][1].split())
        assert reason in said["schema"][2]
    assert found["cfm"].startswith("Conditional flow matching")
    assert json.loads(said["schema"][1])["$defs"]["ModelEntry"]
    assert said["broken"] == [2, "", f"genbench: model 'raises' of broken-plugin is broken: {REASONS['raises']}\n"]


def test_a_name_is_suggested():
    known = Registry("shape", "tests.shapes")
    known.register("square")(lambda: None)
    with pytest.raises(ConfigError, match="no shape 'sqare'; did you mean 'square'"):
        known["sqare"]
