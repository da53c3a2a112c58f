"""Registries: names of other packages, some of which are broken."""

import json
import os
import subprocess
import sys

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


def genbench(environment, *arguments):
    command = [sys.executable, "-c", "from genbench.cli.main import main; main()", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_broken_components_are_named_and_all_others_work(environment, tmp_path):
    done = genbench(environment, "run", "--model", "cfm", "--dataset", "moons", "--dry-run")
    assert done.returncode == 0, done.stderr
    listed = genbench(environment, "list", "--json")
    found = {name: summary for names in json.loads(listed.stdout).values() for name, summary in names.items()}
    for name, reason in REASONS.items():
        assert reason in found[name]
        assert "of broken-plugin" in found[name]
    assert found["cfm"].startswith("Conditional flow matching")
    doctor = genbench(environment, "doctor").stdout
    assert all(reason in doctor for reason in REASONS.values())
    schema = genbench(environment, "schema")
    assert json.loads(schema.stdout)["$defs"]["ModelEntry"]
    assert all(reason in schema.stderr for reason in REASONS.values())
    used = genbench(environment, "run", "--model", "raises", "--dataset", "moons")
    assert used.returncode == 2
    assert used.stderr == f"genbench: model 'raises' of broken-plugin is broken: {REASONS['raises']}\n"


def test_a_name_is_suggested():
    known = Registry("shape", "tests.shapes")
    known.register("square")(lambda: None)
    with pytest.raises(ConfigError, match="no shape 'sqare'; did you mean 'square'"):
        known["sqare"]
