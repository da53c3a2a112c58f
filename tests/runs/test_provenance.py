"""Provenance: the commit is that of genbench, and a cost is that of its block."""

import subprocess
import time

import pytest
import torch

from genbench.runs import provenance

CPU = torch.device("cpu")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The working directory is another repository, with a commit of its own."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "other"], check=True)
    monkeypatch.chdir(tmp_path)
    provenance.code.cache_clear()
    yield subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    provenance.code.cache_clear()


def test_the_commit_is_not_that_of_the_working_directory(elsewhere):
    found = provenance.code()
    assert found["genbench"]
    assert found.get("commit") != elsewhere
    assert ("commit" in found) == ("dirty" in found)


def test_a_block_costs_its_own_seconds_and_the_memory_of_the_process():
    kept = torch.ones(2**25)  # 128 MiB before the block
    with provenance.Meter(CPU) as idle:
        time.sleep(0.05)
    with provenance.Meter(CPU) as busy:
        made = torch.ones(2**26)  # 256 MiB
        del made
    assert idle.seconds >= 0.05
    assert idle.peak_mib > 128
    assert busy.peak_mib - idle.peak_mib == pytest.approx(256, abs=100)  # the system may take back pages of libraries
    assert kept[0] == 1
    meter = provenance.Meter(CPU)
    with pytest.raises(ZeroDivisionError), meter:
        1 / 0  # noqa: B018
    assert meter.seconds > 0  # it stops at an error
