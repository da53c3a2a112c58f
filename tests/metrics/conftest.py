import pytest

from genbench.registry import datasets, metrics


@pytest.fixture
def metric():
    """Register a metric under a name that is gone after the test."""
    names = []

    def register(name, compute, **traits):
        metrics.register(name, version=1, better="lower", of="samples", **traits)(compute)
        names.append(name)

    yield register
    for name in names:
        del metrics._entries[name]


@pytest.fixture
def moons():
    return datasets["moons"].build()


@pytest.fixture(scope="session")
def digits():
    return datasets["digits"].build()


@pytest.fixture(scope="session")
def captioned():
    return datasets["digits-captions"].build()
