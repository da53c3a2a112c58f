import pytest

from genbench.runs.store import Store
from genbench.sweeps.suite import load


@pytest.fixture
def runs(swept):
    """The store of a finished sweep, and the specs of its cells: cfm with two seeds, then wcfm."""
    suite, results = swept
    return Store(results), load(suite).specs
