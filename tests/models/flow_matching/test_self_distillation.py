"""Self-distillation, terminal velocity matching and alpha-Flow against the flow of Gaussians."""

import pytest
import torch
from helpers.flow_maps import Biased, error, put, states
from helpers.toy_nets import UNET
from torch.testing import assert_close

NAMES = ["lagrangian", "tvm", "eulerian", "progressive"]


@pytest.mark.parametrize("name", NAMES)
def test_the_map_of_gaussians_has_no_error_and_descent_removes_what_does_not_belong_there(built, gaussian_flow, name):
    model, _ = built(name, "gaussian")
    example = states(gaussian_flow)
    put(model, Biased(gaussian_flow))
    assert error(model, example) < 1e-20
    put(model, Biased(gaussian_flow, 0.1))
    found = error(model, example)
    assert found > 1e-4
    found.backward()
    assert model.net.bias.grad > 0


@pytest.mark.parametrize("name", [*NAMES, "alphaflow"])
def test_on_an_interval_of_length_zero_the_error_is_that_of_the_velocity(built, gaussian_flow, name):
    model, _ = built(name, "gaussian")
    example = states(gaussian_flow)
    shifted = example._replace(end=example.t, velocity=example.velocity + 0.5)
    put(model, Biased(gaussian_flow, 3.0))
    assert_close(error(model, shifted).detach(), torch.tensor(0.25, dtype=torch.float64))


def test_the_targets_of_tvm_do_not_depend_on_dropout(built):
    """Otherwise a resumed run, whose global random state differs, would learn from others."""
    model, data = built("tvm", "digits", net=UNET | {"dropout": 0.5})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    targets = []
    for seed in (0, 1):
        model.map_loss.attach(model)
        torch.manual_seed(seed)
        targets.append(model.train().example(data.train, 0, 16, 0, torch.Generator()).velocity)
    assert_close(*targets, rtol=0, atol=0)
    assert model.training
