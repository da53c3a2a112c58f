import os
import shutil
import tempfile

import pytest
import torch

from genbench.core import Model, Samples, Transport

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


class FixedModel(Model):
    """A model with nothing to learn; its samples are its noise."""

    def __init__(self, event, source):
        super().__init__()
        self.event, self.source = event, source
        self.unused = torch.nn.Parameter(torch.zeros(()))

    def draw(self, batch, generator):
        raise NotImplementedError

    def loss(self, example):
        raise NotImplementedError

    def sample(self, x0, *, label=None):
        return Samples(x0, 0)


class FixedDensity(FixedModel):
    def __init__(self, event, source, log_prob):
        super().__init__(event, source)
        self._log_prob = log_prob

    def log_prob(self, x, *, label=None):
        return self._log_prob(x, label)


class FixedVelocity(FixedModel, Transport):
    def __init__(self, event, source, velocity):
        super().__init__(event, source)
        self._velocity = velocity

    def velocity(self, t, x, label=None):
        return self._velocity(t, x)


@pytest.fixture
def fixed_density():
    """Models with a known log-density: fixed_density(event, source, log_prob), with log_prob(x, label)."""
    return FixedDensity


@pytest.fixture
def fixed_velocity():
    """Models with a known velocity: fixed_velocity(event, source, velocity), with velocity(t, x)."""
    return FixedVelocity
