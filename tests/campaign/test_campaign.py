"""A sample of the campaign; `make campaign` runs all of it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_a_sample_of_the_cases_ends_as_it_may():
    # In a process of its own: its forks would hang on locks that threads of earlier tests may hold.
    command = [sys.executable, "-m", "campaign.main", "--every", "307"]
    env = {name: value for name, value in os.environ.items() if name != "GENBENCH_HOME"}
    env |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    found = subprocess.run(command, env=env, capture_output=True, text=True, timeout=900)
    assert found.returncode == 0, found.stdout + found.stderr
    met = re.search(r"^(\d+) of (\d+) cases, 0 wrong$", found.stdout, re.MULTILINE)
    assert int(met[1]) >= 7
    assert int(met[2]) >= 2000
