import json
import shutil
import subprocess
import sys

import pytest
from helpers.command_line import METRICS, TINY, begin


@pytest.fixture
def inside(monkeypatch, tmp_path):
    """Run the command line in an empty folder: (exit code, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        done = begin(*arguments)
        return done.code, done.stderr

    return call


@pytest.fixture(scope="session")
def one_run(tmp_path_factory):
    """A results folder and the process that made it."""
    results = tmp_path_factory.mktemp("one_run")
    command = ["run", "--model", "cfm", "--dataset", "moons", *TINY, *METRICS, "--results", str(results), "--json"]
    done = subprocess.run([sys.executable, "-m", "genbench", *command], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return results, done


@pytest.fixture
def kept(one_run, tmp_path):
    """A results folder of this test, the record in it, and the process that made it."""
    results, done = one_run
    return shutil.copytree(results, tmp_path / "kept"), json.loads(done.stdout), done
