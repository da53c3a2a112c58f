import json
import shutil

import pytest
from helpers.command_line import METRICS, TINY, genbench


@pytest.fixture(scope="session")
def one_run(tmp_path_factory):
    """A results folder and the command that made it."""
    results = tmp_path_factory.mktemp("one_run")
    command = ["run", "--model", "cfm", "--dataset", "moons", *TINY, *METRICS, "--results", results, "--json"]
    return results, genbench(*command)


@pytest.fixture
def kept(one_run, tmp_path):
    """A results folder of this test, the record in it, and the command that made it."""
    results, done = one_run
    return shutil.copytree(results, tmp_path / "kept"), json.loads(done.stdout), done
