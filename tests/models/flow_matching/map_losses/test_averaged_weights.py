"""Averages of weights that are part of a loss."""

import torch
from torch.testing import assert_close

from genbench.models.flow_matching.map_losses.averaged_weights import AveragedWeights


def test_averaged_weights_lag_behind_and_draw_without_dropout():
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.5))
    average = AveragedWeights(net, 0.9)
    with torch.no_grad():
        net[0].weight.add_(1)
    before = average.means[0].clone()
    for _ in range(200):
        average.update(net)
    assert_close(average.means[0], net[0].weight.detach(), rtol=0, atol=1e-6)
    assert not torch.equal(before, average.means[0])
    x = torch.randn(5, 2)
    assert torch.equal(average(net, x), average(net, x))
    assert net.training
    assert net[1].training
