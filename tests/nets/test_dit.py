"""The transformer for images: published sizes, conditions that act, no order of tokens."""

import pytest
import torch
from helpers.toy_nets import make, parameters
from torch.testing import assert_close

from genbench.core import Event
from genbench.errors import ConfigError
from genbench.nets.dit import DiT
from genbench.nets.presets import build

LATENT, IMAGE = Event((4, 32, 32), 1000), Event((3, 32, 32), 1000)
SMALL = {"patch": 2, "width": 32, "depth": 2, "heads": 4}


@pytest.mark.parametrize(
    ("event", "sizes", "millions"),
    [
        (LATENT, {}, 32.9),
        (LATENT, {"width": 768, "heads": 12}, 130.3),
        (LATENT, {"width": 1024, "depth": 24, "heads": 16}, 457.8),
        (LATENT, {"width": 1152, "depth": 28, "heads": 16}, 674.8),
    ],
)
def test_published_numbers_of_parameters(event, sizes, millions):
    count = parameters(event, {"name": "dit"} | sizes, event.classes)
    assert count / 1e6 == pytest.approx(millions, abs=0.2)


def test_it_starts_at_zero_and_time_interval_label_and_all_tokens_act():
    net = make(Event((2, 4, 6)), 3, {"name": "dit"} | SMALL, times=2)
    x, t, label = torch.randn(3, 2, 4, 6), torch.rand(3), torch.tensor([0, 1, 2])
    assert not DiT(Event((2, 4, 6)), **SMALL)(t, x).any()
    whole = net(t, x, label, t)
    for other in (net(t + 0.5, x, label, t), net(t, x, label, t + 0.5), net(t, x, label.flip(0), t)):
        assert (whole != other).any()
    moved = x.clone()
    moved[:, :, 0, 0] += 1
    assert (net(t, moved, label, t) != whole).all()
    assert_close(net(t, x, None, t), net(t, x, torch.full((3,), 3), t))
    assert_close(net(t[:1].squeeze(0), x, label, t), net(t[:1].expand(3), x, label, t))


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="images"):
        build(Event((2,)), 0, "dit")
    with pytest.raises(ConfigError, match=r"patch=3 does not divide samples of shape \(3, 32, 32\)"):
        build(IMAGE, 0, {"name": "dit", "patch": 3})
    with pytest.raises(ConfigError, match=r"dit\.width=32 must be a multiple of 4 and of dit\.heads=3"):
        build(IMAGE, 0, {"name": "dit", "width": 32, "heads": 3})
