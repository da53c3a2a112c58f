"""The variables of torchrun."""

import pytest

from genbench.errors import ConfigError
from genbench.training.torchrun_variables import local_rank


def test_the_rank_is_that_of_torchrun_and_0_without_it(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert local_rank() == 0
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert local_rank() == 3


@pytest.mark.parametrize("value", ["", "-1", "1.0", "x", " 1"])
def test_a_variable_that_is_no_whole_number_is_refused(monkeypatch, value):
    monkeypatch.setenv("WORLD_SIZE", value)
    with pytest.raises(ConfigError, match=r"WORLD_SIZE=.*is not a whole number"):
        local_rank()
