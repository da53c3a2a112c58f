"""Importance weights: tilt and effective sample size against closed forms."""

import math

import pytest
import torch
from helpers.toy_flows import gaussian_tilt, stream
from torch.testing import assert_close

from genbench.numerics.importance_weights import cyclic_shifts, estimate_tilt, relative_ess, tilt_of_batch
from genbench.numerics.optimal_transport import Kernel


@pytest.mark.parametrize("epsilon", [0.5, 2.0, 8.0])
def test_the_tilt_is_that_of_gaussians_in_closed_form(epsilon):
    stream = torch.Generator().manual_seed(0)
    x0, x1 = torch.randn(2, 16384, 1, generator=stream, dtype=torch.float64) * torch.tensor([1.0, 2.0])[:, None, None]
    found = estimate_tilt(-((x0 - x1).square()[:, 0]) / epsilon for x0 in cyclic_shifts(x0, 64))
    assert found.data == pytest.approx(gaussian_tilt(epsilon, 1, 2), rel=0.04)
    assert found.source == pytest.approx(gaussian_tilt(epsilon, 2, 1), abs=0.003)
    # E w = (1 + 2 s / epsilon)^(-1/2) for the variance s = 5 of the difference, and E w^2 that at half of epsilon.
    assert found.share == pytest.approx(math.sqrt(1 + 20 / epsilon) / (1 + 10 / epsilon), rel=0.03)
    assert found.pairs == 16384 * 64


def test_equal_weights_do_not_tilt():
    found = estimate_tilt(torch.full((500,), -7000.0) for _ in range(8))
    assert (found.source, found.data, found.share) == pytest.approx((0, 0, 1), abs=1e-12)
    data_alone = torch.randn(4000, generator=torch.Generator().manual_seed(1))
    found = estimate_tilt(data_alone for _ in range(16))
    assert found.data == pytest.approx(math.e - 1, rel=0.15)  # of a lognormal law
    assert found.source == pytest.approx(0, abs=0.02)


def test_the_tilt_of_wcfm_between_gaussians_is_estimated_without_bias():
    """E[w | x0] is a Gaussian function of x0, so that its mean square is closed-form."""
    epsilon, a, b = 4.0, 1.0, 2.25
    mean = (1 + 2 * (a + b) / epsilon) ** -0.5
    seen = []
    for i in range(200):
        x0, x1 = torch.randn(64, 1, generator=stream(2 * i)), 1.5 * torch.randn(64, 1, generator=stream(2 * i + 1))
        weight = torch.exp(Kernel(epsilon, "sqnorm").log(x0, x1)) / mean
        seen.append(tilt_of_batch(weight, torch.zeros(64).long()).mean(0))
    found, error = torch.stack(seen).mean(0), torch.stack(seen).std(0) / 200**0.5
    for side, (own, other) in enumerate([(a, b), (b, a)]):
        square = 1 / (1 + 2 * other / epsilon) / math.sqrt(1 + 4 * own / (epsilon + 2 * other))
        assert abs(found[side].item() - (square / mean**2 - 1)) < 4 * error[side].item()


def test_relative_ess_of_equal_and_of_single_weights():
    assert_close(relative_ess(torch.full((50,), 3.0)), torch.tensor(1.0))
    assert_close(relative_ess(torch.eye(50)[0]), torch.tensor(1 / 50))
