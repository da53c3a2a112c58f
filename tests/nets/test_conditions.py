"""Networks on samples with conditions: these are read, and stay."""

import torch

from genbench.core import Event
from genbench.nets.presets import build


def test_conditions_are_read_and_do_not_move():
    net = build(Event((3,), conditions=1), 0, None)
    x = torch.randn(5, 3)
    v = net(torch.tensor(0.5), x, None)
    assert torch.equal(v[:, 2], torch.zeros(5))
    assert (v[:, :2] != 0).all()
    assert not torch.equal(net(torch.tensor(0.5), x + torch.tensor([0.0, 0.0, 1.0]), None)[:, :2], v[:, :2])


def test_channels_of_images_may_be_conditions():
    net = build(Event((3, 8, 8), conditions=2), 0, None, times=2)
    v = net(torch.tensor(0.5), torch.randn(2, 3, 8, 8), None, torch.tensor(0.1))
    assert torch.equal(v[:, 1:], torch.zeros(2, 2, 8, 8))
