"""alpha-Flow against the flow of Gaussians."""

import pytest
import torch
from helpers.flow_maps import Biased, check_flow_matching, check_training, error, put, states
from torch.testing import assert_close


def test_the_error_of_alpha_flow_falls_with_the_cube_of_alpha(built, gaussian_flow):
    """It follows the tangent for a part alpha of the interval: an error of order alpha^2, squared, over alpha."""
    errors = []
    for alpha in (0.02, 0.01):
        model, _ = built("alphaflow", "gaussian", alpha_min=alpha)
        put(model, Biased(gaussian_flow))
        errors.append(error(model, states(gaussian_flow)).item())
    assert errors[0] / errors[1] == pytest.approx(8, rel=0.1)


def test_alpha_falls_from_one_over_training(built):
    model, data = built("alphaflow", "gaussian", ratio=1.0, alpha_min=0.2, anneal_steps=10)
    for step, alpha in ((0, 1.0), (5, 0.6), (10, 0.2), (1000, 0.2)):
        example = model.example(data.train, step, 64, 0, torch.Generator())
        assert_close(
            (example.middle - example.t) / (example.end - example.t), torch.full((64,), alpha), rtol=1e-3, atol=0
        )
    example = model.draw(data.train.batch(0, 64, 0), torch.Generator())  # validation has the last one
    assert_close((example.middle - example.t) / (example.end - example.t), torch.full((64,), 0.2), rtol=1e-3, atol=0)


def test_an_interval_of_two_neighboring_numbers_has_a_finite_error(built):
    model, data = built("alphaflow", "gaussian", ratio=1.0, alpha_min=0.2)
    example = model.example(data.train, 0, 64, 0, torch.Generator())
    short = example._replace(end=torch.nextafter(example.t, torch.tensor(2.0)))
    assert error(model, short).isfinite()


def test_an_interval_of_length_zero_is_flow_matching(built, gaussian_flow):
    check_flow_matching(built, gaussian_flow, "alphaflow")


def test_training_finds_the_map_of_gaussians(trained, drawn):
    check_training(trained, drawn, "alphaflow", anneal_steps=100)
