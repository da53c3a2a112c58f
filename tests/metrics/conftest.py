import socket

import pytest

from genbench.registry import metrics


@pytest.fixture
def unused_port():
    """A port that nothing listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


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
