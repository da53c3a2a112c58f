"""Consistency flow matching against the closed-form flow of Gaussians."""

import pytest
import torch
from helpers.toy_nets import UNET
from torch import nn
from torch.testing import assert_close

from genbench.errors import ConfigError
from genbench.models.flow_matching.pair_model import Example
from genbench.nets.unet import Residual

SCM = {"tangent": 0.1, "segments": 1, "boundary": 1.0}


def test_the_exact_predictions_agree_to_second_order(built, exact, gaussian_flow):
    """With the marginal velocity as path, predictions from two close points differ by O(delta^2)."""
    flow, losses = gaussian_flow, []
    for delta in (0.02, 0.01):
        model, _ = built("consistency", "gaussian", delta=delta, alpha=0.0)
        model.net = exact(lambda t, x, m=model: flow.mean_velocity(t, m.map_loss.segment_end(t.double() - 1e-9), x))
        t = torch.linspace(0.02, 0.45, 40, dtype=torch.float64)
        x, ones = torch.randn(40, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), torch.ones(40)
        example = Example(t, x, flow.velocity(t[:, None], x), ones, ones, None, end=t + delta)
        losses.append(model.loss(example)["loss"].item())
    assert losses[0] / losses[1] == pytest.approx(16, rel=0.1)


def test_one_step_per_segment_is_the_flow(built, exact, gaussian_flow):
    model, _ = built("consistency", "gaussian", segments=4)
    model.net = exact(lambda t, x: gaussian_flow.mean_velocity(t, model.map_loss.segment_end(t), x))
    x0 = torch.randn(50, 2)
    assert_close(model.sample(x0).x, 1 + 0.4 * x0)
    assert model.sample(x0).nfe == 4


@pytest.mark.parametrize(("model", "why"), [("consistency", "dropout mask"), ("nsf", "zuko")])
def test_a_model_that_compiles_in_pieces_refuses_to_be_compiled(model, why, trained):
    data, net = ("digits", {"net": UNET | {"dropout": 0.1}}) if model == "consistency" else ("moons", {})
    with pytest.raises(ConfigError, match=f"plan.compile=true: .*{why}"):
        trained(model, data, model=net, plan={"steps": 1, "compile": True})


@pytest.mark.parametrize("kind", [nn.Dropout, nn.Dropout2d])
def test_both_predictions_of_a_net_with_dropout_have_the_same_mask(built, monkeypatch, kind):
    inner = Residual.__init__

    def residual(self, in_channels, out_channels, embedding, dropout):
        inner(self, in_channels, out_channels, embedding, dropout)
        self.dropout = kind(dropout)

    monkeypatch.setattr(Residual, "__init__", residual)
    model, data = built("consistency", "digits", net=UNET | {"dropout": 0.5}, alpha=1e6, delta=1e-6)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
        example = model.draw(data.train.batch(0, 8, 0), torch.Generator().manual_seed(0))
        inside = example.end < model.map_loss.segment_end(example.t)
        example = type(example)(*(None if part is None else part[inside] for part in example))
        assert model.loss(example)["loss"] < 1e-2


def test_targets_are_the_ends_of_pairs_at_first_and_later_beyond_the_boundary(built):
    model, data = built("consistency", "gaussian", end_steps=5, delta=0.01)
    for step, share in ((4, 1.0), (5, 0.1)):
        example = model.example(data.train, step, 4000, 0, torch.Generator())
        end = model.map_loss.segment_end(example.t)
        by_end = example.end == end
        assert by_end.float().mean().item() == pytest.approx(share + 0.02 * (share < 1), abs=0.03)
        assert by_end[example.t >= 0.9].all()
        assert (example.end > example.t).all()
        assert (example.end - example.t)[~by_end].max() <= 0.0101 if share < 1 else True


def test_a_draw_for_validation_does_not_depend_on_the_latest_step_of_training(built):
    """A thread may draw the examples of training meanwhile."""
    model, data = built("consistency", "gaussian", end_steps=5)
    batch, ends = data.train.batch(0, 64, 0), []
    for step in (4, 5):
        model.example(data.train, step, 64, 0, torch.Generator())
        ends.append(model.draw(batch, torch.Generator().manual_seed(1)).end)
    assert torch.equal(*ends)


def pairs(model, n=200):
    """Return an example in float64 of pairs that are not on the flow."""
    draws = torch.randn(2, n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t, ones = torch.linspace(0.01, 0.98, n, dtype=torch.float64), torch.ones(n, dtype=torch.float64)
    return Example(t, draws[0], draws[1], ones, ones, None, end=t)


def test_a_tangent_is_the_limit_of_differences(built):
    for settings in (SCM, SCM | {"segments": 2}):
        model, _ = built("consistency", "gaussian", **settings)
        example, small = pairs(model.double()), 1e-6
        t, x, velocity, end = example.t, example.x, example.velocity, model.map_loss.segment_end(example.t)[:, None]
        with torch.no_grad():
            v, later = model.net(t, x), model.net(t + small, x + small * velocity)
            change = velocity + ((end - t[:, None] - small) * later - (end - t[:, None]) * v) / small
        size = change.norm(dim=1, keepdim=True)
        assert_close(model.loss(example)["loss"], (change / (size + 0.1)).square().mean(), rtol=1e-5, atol=0)


def test_the_tangents_of_the_exact_map_vanish(built, exact, gaussian_flow):
    """Tangents of another map do not, and descent removes what does not belong there."""
    model, _ = built("consistency", "gaussian", **SCM)
    example = pairs(model)
    example = example._replace(velocity=gaussian_flow.velocity(example.t[:, None], example.x))
    for size in (0.0, 0.1):
        bias = torch.full((1,), size, dtype=torch.float64, requires_grad=True)
        model.net = exact(lambda t, x, bias=bias: gaussian_flow.mean_velocity(t, 1, x) + bias * (1 - t))
        loss = model.loss(example)["loss"]
        assert (loss > 1e-2) if size else (loss < 1e-20)
        loss.backward()
    assert bias.grad > 0


def test_tangents_begin_as_flow_matching(built):
    """The gradient of the first step is the normalized one of flow matching, as it always is beyond the boundary."""
    model, data = built("consistency", "gaussian", **SCM | {"boundary": 0.5, "end_steps": 100})
    for step, flow_matching in ((0, 1.0), (100, 0.5)):
        example = model.example(data.train, step, 4000, 0, torch.Generator())
        assert ((example.end == 1).float().mean() - flow_matching).abs() < 0.03
        assert ((example.end == example.t) | (example.end == 1)).all()
    halfway = model.example(data.train, 50, 4000, 0, torch.Generator())
    early = halfway.t < 0.5
    assert_close(halfway.end[early], (halfway.t[early] + 1) / 2)
    example = model.example(data.train, 0, 64, 0, torch.Generator())
    v = model.net(example.t, example.x)
    (found,) = torch.autograd.grad(model.loss(example)["loss"], model.net.rest[-1].bias)
    away = (v - example.velocity).detach()
    (due,) = torch.autograd.grad((v * away / (away.norm(dim=1, keepdim=True) + 0.1)).mean(), model.net.rest[-1].bias)
    assert_close(found, 2 * due)
