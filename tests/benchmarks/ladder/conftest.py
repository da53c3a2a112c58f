import numpy as np
import pytest

from benchmarks.ladder.orders import Rung
from benchmarks.ladder.page import Contest


@pytest.fixture
def measured():
    """Return a function that measures methods of known means: a seed shifts all of them, and each has its own error."""
    stream = np.random.default_rng(0)

    def measure(means, errors=1.0, seeds=5, shift=1.0):
        noise = np.reshape(errors, (-1, 1)) * stream.standard_normal((len(means), seeds))
        table = np.reshape(means, (-1, 1)) + noise + shift * stream.standard_normal(seeds)
        return {f"m{i}": dict(enumerate(map(float, row))) for i, row in enumerate(table)}

    return measure


@pytest.fixture
def contest(measured):
    """Return a function that makes a task from the means of its methods at two budgets."""

    def make(data, short, long):
        budgets = (measured(means, 0.001, shift=0.001) for means in (short, long))
        return Contest(data, 100, 1000, *(Rung("w2", {"w2": own, "nll": own}) for own in budgets))

    return make
