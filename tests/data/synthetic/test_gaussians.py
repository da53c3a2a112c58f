"""The data sets of Gaussians: distances in closed form, placement of modes, and what is refused."""

import pytest
import torch
from scipy.linalg import sqrtm

from genbench.errors import ConfigError
from genbench.registry import datasets


def test_path_energy_of_a_gaussian_along_the_exact_field():
    """s = 1/2 in one dimension: energy .46460184 by the closed form of metrics.md."""
    data = datasets["gaussian"].build(dims=1, std=0.5)
    assert data.truth.w2_squared == pytest.approx(0.25)
    times = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    one = torch.ones(1, 1, dtype=torch.float64)
    # v is linear in x, so E v^2 at time t is the slope squared times the variance.
    variance = (1 - times) ** 2 + times**2 / 4
    slope = torch.stack([data.truth.velocity(t, one)[0, 0] for t in times])
    assert float((slope.square() * variance).mean()) == pytest.approx(0.46460184, abs=1e-6)


def test_gaussian_against_torch_and_scipy():
    data = datasets["gaussian"].build(dims=4, mean=0.7, std=0.8, spread=5.0, correlation=0.6)
    x = data.train.take(200_000, 0).x.double()
    stds = 0.8 * 5.0 ** torch.linspace(-0.5, 0.5, 4, dtype=torch.float64)
    covariance = stds[:, None] * (0.4 * torch.eye(4) + 0.6) * stds
    mean = torch.full((4,), 0.7, dtype=torch.float64)
    law = torch.distributions.MultivariateNormal(mean, covariance)
    torch.testing.assert_close(data.truth.log_prob(x), law.log_prob(x))
    torch.testing.assert_close(x.T.cov(), covariance, rtol=0.02, atol=0.01)
    bures = 4 * 0.7**2 + float(torch.trace(torch.eye(4) + covariance)) - 2 * sqrtm(covariance.numpy()).real.trace()
    assert data.truth.w2_squared == pytest.approx(bures)


def test_placement_is_seeded_and_any_dimension_is_cheap_to_build():
    modes = [datasets["mixture"].build(dims=3072, placement=seed).truth.modes for seed in (0, 0, 1)]
    torch.testing.assert_close(modes[0], modes[1], rtol=0, atol=0)
    assert not torch.equal(modes[0], modes[2])
    assert datasets["gaussian"].build(dims=1, spread=3.0).train.take(3, 0).x.shape == (3, 1)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("gaussian", {"correlation": 1.0}, "must be below 1"),
        ("mixture", {"modes": 2, "means": ((1.0, 1.0),)}, "write 2 centres"),
        ("mixture", {"modes": 1, "means": ((1.0, 1.0, 1.0),)}, "of 2 coordinates"),
        ("mixture", {"weights": (1.0, 2.0)}, "write 8 of them"),
    ],
)
def test_impossible_settings_are_refused(name, settings, message):
    with pytest.raises(ConfigError, match=message):
        datasets[name].build(**settings)
