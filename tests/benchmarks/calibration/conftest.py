import pytest
import torch

from benchmarks.calibration import faults
from benchmarks.calibration.faults import Fault, Pool, Real
from benchmarks.calibration.tasks import Task


@pytest.fixture(autouse=True)
def _home(own_home):
    """Keep nothing from other tests."""


@pytest.fixture
def normal():
    """A task on N(0, 1), whose metric w2 is the mean of samples: its power is that of a one-sided z test."""
    x = torch.randn(2**16, 1, generator=torch.Generator().manual_seed(0))
    pool = Pool.of((x - x.mean()) / x.std(), torch.zeros(len(x), dtype=torch.long))
    kinds = (Fault("shifted by {:g}", (0.25,), faults.shift),)
    measures = {"w2": lambda batch, seed: {"": float(batch.x.mean())}}
    return Task("8gaussians", Real(pool, pool, 0), kinds, lambda pool: pool, measures, (16, 64, 256), {})
