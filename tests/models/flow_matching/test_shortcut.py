"""Shortcut models against the closed-form flow of Gaussians."""

import pytest
import torch
from helpers.toy_flows import stream
from torch.testing import assert_close

from genbench.core import Batch
from genbench.models.flow_matching.shortcut import AveragedWeights


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


def test_the_exact_flow_is_its_own_target(built, exact, gaussian_flow):
    """Two exact half steps are one exact step, so that the loss of bootstrapped steps vanishes."""
    model, data = built("shortcut", "gaussian", share=1.0, finest=16)
    flow = gaussian_flow
    model.net = exact(lambda t, x, level: flow.mean_velocity(t, t + 2.0 ** -level.reshape(-1, 1), x))
    model.map_loss.average = AveragedWeights(model.net, 0.999)
    example = model.draw(data.train.batch(0, 512, 0), stream())
    assert model.loss(example)["loss"] < 1e-10
    x0 = torch.randn(64, 2)
    for steps in (1, 4, 16):
        assert_close(model.sample(x0, steps=steps).x, 1 + 0.4 * x0)


def test_steps_and_times_lie_on_the_grid_in_their_shares(built):
    model, _ = built("shortcut", "gaussian", share=0.25, finest=8)
    t, end = model.draw_times(40_000, stream())
    step = end - t
    assert step.unique().tolist() == [1 / 8, 1 / 4, 1 / 2, 1]
    for size, share in ((1 / 8, 0.75), (1 / 4, 0.25 / 3), (1.0, 0.25 / 3)):
        assert (step == size).float().mean().item() == pytest.approx(share, abs=0.01)
    assert torch.equal(t / step, (t / step).round())
    assert end.max() == 1


def test_the_smallest_step_learns_the_velocity_of_its_pair(built):
    model, data = built("shortcut", "gaussian", share=0.0)
    batch = data.train.batch(0, 64, 0)
    example = model.draw(batch, stream())
    assert_close(example.x + (1 - example.t[:, None]) * example.velocity, batch.x)
    assert_close(example.end - example.t, torch.full((64,), 1 / 128))


def test_guidance_acts_on_the_smallest_half_steps_of_kept_labels(built):
    model, _ = built("shortcut", "moons", conditional=True, target_guidance=3.0, share=1.0, finest=4)
    plain, _ = built("shortcut", "moons", conditional=True, share=1.0, finest=4)
    for each in (model, plain):
        torch.manual_seed(1)
        for mean in each.map_loss.average.means:
            mean.copy_(0.3 * torch.randn(mean.shape))
        each.map_loss.average.update = lambda net: None
    batch = Batch(torch.randn(400, 2), torch.arange(400) % 2)
    guided, unguided = model.draw(batch, stream()), plain.draw(batch, stream())
    differ = (guided.velocity != unguided.velocity).any(1)
    assert torch.equal(differ, (guided.label < 2) & (guided.end - guided.t == 0.5))
