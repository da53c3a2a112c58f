"""The allocator: memory that is freed is not fetched from the kernel again."""

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource, sys
import torch
from genbench.training.allocator import keep_freed
if sys.argv[1] == "keep":
    keep_freed()
def work():
    x = torch.ones(200_000)
    for _ in range(4):
        x = torch.relu(x + torch.exp(x - x))
for _ in range(20):
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator of another C library is left alone")
def test_freed_memory_is_kept():
    def faults(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", COUNT, how], capture_output=True, text=True, check=True)
        return int(done.stdout)

    # 800 KB are 196 pages: one tensor mapped afresh in every round would already be 19,600.
    assert faults("keep") < 2_000
