import torch
from torch.testing import assert_close

from genbench.core import Normal
from genbench.metrics.starting_noise import noise


def test_sample_i_has_the_same_noise_however_many_are_drawn():
    source = Normal((3, 4))
    whole = noise(source, 20, seed=5)
    assert_close(torch.cat([noise(source, 7, 5), noise(source, 13, 5, start=7)]), whole, rtol=0, atol=0)
    assert not torch.equal(noise(source, 20, seed=6), whole)


def test_noise_is_standard_normal():
    x = noise(Normal((2,)), 20_000, seed=0)
    assert_close(x.mean(0), torch.zeros(2), rtol=0, atol=0.03)
    assert_close(x.T.cov(), torch.eye(2), rtol=0, atol=0.04)


def test_modifying_noise_does_not_change_later_noise():
    source = Normal((3,))
    first = noise(source, 4, 0)
    kept = first.clone()
    first.zero_()
    assert torch.equal(noise(source, 4, 0), kept)
