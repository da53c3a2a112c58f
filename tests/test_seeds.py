import torch
from torch.testing import assert_close

from genbench.seeds import derive, generator


def test_purposes_are_independent_streams():
    draws = {derive(seed, purpose, step) for seed in range(5) for purpose in ("a", "b") for step in range(5)}
    assert len(draws) == 50
    assert_close(torch.rand(3, generator=generator(1, "x")), torch.rand(3, generator=generator(1, "x")))
