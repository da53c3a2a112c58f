"""DDPM++: its published size, its conditions, resampling that keeps constants and means."""

import pytest
import torch
from helpers.toy_nets import make, parameters
from torch.testing import assert_close

from genbench.core import Event
from genbench.errors import ConfigError
from genbench.nets.ddpmpp import DDPMPlusPlus, Resample

SMALL = {"name": "ddpmpp", "channels": 16, "multipliers": [1, 2], "blocks": 1, "attention": [4], "frequencies": 8}


def test_the_default_has_the_number_of_parameters_of_edm_on_cifar10():
    assert parameters(Event((3, 32, 32)), "ddpmpp") + 9 * 128 == 55_733_891  # 9 labels of augmentation


@pytest.mark.parametrize("smooth", [False, True])
def test_resampling_keeps_means_and_constants(smooth):
    down, up, x = Resample("down", smooth), Resample("up", smooth), torch.randn(2, 3, 8, 8)
    inner = (..., slice(1, -1), slice(1, -1))
    assert_close(down(torch.ones(1, 1, 8, 8))[inner], torch.ones(1, 1, 2, 2))
    assert_close(up(torch.ones(1, 1, 8, 8))[inner], torch.ones(1, 1, 14, 14))
    x[..., 0, :] = x[..., -1, :] = x[..., 0] = x[..., -1] = 0  # nothing leaves the image
    assert_close(up(x).mean((2, 3)), x.mean((2, 3)))
    assert_close(down(x).mean((2, 3)), x.mean((2, 3)))
    if not smooth:
        assert_close(down(up(x)), x)


def test_time_interval_and_label_act():
    net = make(Event((3, 8, 8), 3), 3, SMALL, times=2)
    x, t, label = torch.randn(3, 3, 8, 8), torch.rand(3), torch.tensor([0, 1, 2])
    whole = net(t, x, label, t)
    for changed in (net(t / 2, x, label, t), net(t, x, label, t / 2), net(t, x, None, t)):
        assert (changed - whole).abs().max() > 1e-3


def test_levels_of_noise_beyond_the_sampled_ones_are_embedded_as_these():
    net, x = make(Event((3, 8, 8)), 0, SMALL | {"noise_level": True}), torch.randn(1, 3, 8, 8)
    for end, last in ((0.0, 1 / 81), (1.0, 1 / 1.002)):
        assert_close(net(torch.tensor(end), x), net(torch.tensor(last), x), rtol=1e-4, atol=1e-5)
    assert (net(torch.tensor(0.1), x) - net(torch.tensor(0.2), x)).abs().max() > 1e-4


def test_other_samples_are_refused():
    with pytest.raises(ConfigError, match="ddpmpp needs images"):
        DDPMPlusPlus(Event((2,)))
    with pytest.raises(ConfigError, match=r"ddpmpp\.multipliers: 3 levels need sides divisible by 4"):
        DDPMPlusPlus(Event((3, 6, 8)))
