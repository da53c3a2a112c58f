import gc
import os
import shutil
import tempfile
from multiprocessing import forkserver
from pathlib import Path

import pytest
import torch
import type_checks
from helpers import processes, small_pictures  # noqa: F401 (it acts on import)
from helpers.command_line import SUITE, begin, genbench

from genbench.core import Model, Samples, Transport
from genbench.errors import Unsupported

collect_ignore = ["plugin"]  # a package of its own, installed by the tests that need it
# Modules of programs, without doctests, that take seconds to import.
collect_ignore_glob = ["fake_gpu/[!t]*.py", "fake_gpu/t[!e]*.py"]
torch.set_num_threads(1)
gc.disable()  # while a million objects are made that stay
made_home: str | None = None
cut_short: list[pytest.CollectReport | pytest.TestReport] = []
"""Modules that cannot be imported, and tests that ended their process."""


def pytest_configure():
    """Give the session its own GENBENCH_HOME, which the processes of xdist inherit, so that caches are made once."""
    global made_home
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start
    os.environ["GENBENCH_OFFLINE"] = "1"  # no test waits for a download
    if "PYTEST_XDIST_WORKER" not in os.environ:
        made_home = os.environ["GENBENCH_HOME"] = tempfile.mkdtemp(prefix="genbench-tests-")


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(report):
    cut_short.append(report)


def pytest_collectreport(report):
    if report.failed:
        cut_short.append(report)


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


def pytest_sessionfinish(session):
    """End with another exit code than after a failed test, which `make test` repeats, where not every test ran."""
    if session.shouldfail or session.shouldstop or cut_short:
        session.exitstatus = pytest.ExitCode.INTERRUPTED


def pytest_unconfigure():
    if made_home:
        shutil.rmtree(made_home, ignore_errors=True)


@pytest.fixture(autouse=True)
def _seeded():
    """Seed the global generator, so that a test which forgets a generator is at least the same every time."""
    torch.manual_seed(0)
    type_checks.forget_calls()


class FixedModel(Model):
    """A model with nothing to learn; its samples are its noise."""

    def __init__(self, event, source):
        super().__init__()
        self.event, self.source = event, source
        self.unused = torch.nn.Parameter(torch.zeros(()))

    def draw(self, batch, generator):
        raise Unsupported("this model is not trained")

    def loss(self, example):
        raise Unsupported("this model is not trained")

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


@pytest.fixture(scope="session")
def committed(tmp_path_factory):
    """A copy of the committed results, without the runs that this checkout may hold besides."""
    local = shutil.ignore_patterns("runs", "leases", "cache", "foreign", "report", "report.html")
    folder = tmp_path_factory.mktemp("committed") / "results"
    return shutil.copytree(Path(__file__).parents[1] / "results", folder, ignore=local)


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    """A GENBENCH_HOME of the test's own, with empty caches."""
    monkeypatch.setenv("GENBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def cli():
    """Run the command line in this process: cli("report", "--results", path) -> (exit code, stdout, stderr)."""

    def call(*arguments):
        done = begin(*arguments)
        assert "Traceback" not in done.stderr
        return done

    return call


@pytest.fixture
def inside(cli, monkeypatch, tmp_path):
    """Run the command line as `cli`, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return cli


@pytest.fixture(scope="session")
def finished_sweep(tmp_path_factory):
    """A folder with tiny.toml and the results r of its four cells."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.toml").write_text(SUITE)
    genbench("sweep", folder / "tiny.toml", "--results", folder / "r")
    return folder


@pytest.fixture
def swept(finished_sweep, tmp_path):
    """A copy of the finished sweep: (suite, results)."""
    shutil.copytree(finished_sweep, tmp_path / "copy")
    return tmp_path / "copy/tiny.toml", tmp_path / "copy/r"


@pytest.fixture
def forger(swept, own_home):
    """A finished sweep whose files are changed and sealed again, and a home that remembers no verdicts."""
    from helpers.forger import Forger

    return Forger(swept[1])


@pytest.fixture
def forked_workers(monkeypatch):
    """Workers of sweeps are forked from a process that has imported genbench, instead of importing it again."""
    forkserver.ensure_running()  # sweeps start workers while SIGINT is blocked, which that process would inherit
    monkeypatch.setattr(
        "genbench.sweeps.execution.multiprocessing.get_context", lambda kind: {"spawn": processes.context}[kind]
    )


@pytest.fixture
def first_path():
    """first_path(results, pattern) returns the first path of a results folder that matches; by default a record."""

    def first(results, pattern="runs/*/*/record.json"):
        return sorted(results.glob(pattern))[0]

    return first
