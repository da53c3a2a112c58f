import os
import shutil
import tempfile

import pytest
import torch

collect_ignore = ["plugin"]  # a package of its own, installed by the tests that need it
torch.set_num_threads(1)
made_home: str | None = None


def pytest_configure():
    """Give the session a home of its own; the processes of xdist inherit it, so that caches are made once."""
    global made_home
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start
    os.environ["GENBENCH_OFFLINE"] = "1"  # no test waits for a download
    if "GENBENCH_HOME" not in os.environ:
        made_home = os.environ["GENBENCH_HOME"] = tempfile.mkdtemp(prefix="genbench-tests-")


def pytest_unconfigure():
    if made_home:
        shutil.rmtree(made_home, ignore_errors=True)


@pytest.fixture(autouse=True)
def _seeded():
    """Seed the global generator, so that a test which forgets a generator is at least the same every time."""
    torch.manual_seed(0)
