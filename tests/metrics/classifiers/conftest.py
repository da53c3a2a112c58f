import pytest

from genbench.registry import datasets


@pytest.fixture(scope="session")
def digits():
    return datasets["digits"].build()


@pytest.fixture(scope="session")
def captioned():
    return datasets["digits-captions"].build()


@pytest.fixture(scope="session")
def digit_samples(digits):
    return digits.train.take(500, 3)
