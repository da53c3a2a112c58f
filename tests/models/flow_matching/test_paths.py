import pytest
import torch
from torch.testing import assert_close

from genbench.errors import Unsupported
from genbench.models.flow_matching.paths import Bridge, Lipman, Straight, VariancePreserving

PATHS = [Straight(), Lipman(0.1), Bridge(0.5), VariancePreserving("cosine"), VariancePreserving("linear")]


def at(path, x0, x1, t, seed=0):
    return path(x0, x1, t, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("path", PATHS, ids=repr)
def test_paths_lead_from_noise_to_data_and_the_target_is_their_time_derivative(path):
    """With the same noise, x_t moves by its velocity: checked by a central difference in float64."""
    x0, x1 = torch.randn(50, 3, dtype=torch.float64), torch.randn(50, 3, dtype=torch.float64)
    t, h = torch.rand(50, 1, dtype=torch.float64) * 0.8 + 0.1, 1e-6
    ahead, behind = at(path, x0, x1, t + h).x, at(path, x0, x1, t - h).x
    assert_close(at(path, x0, x1, t).velocity, (ahead - behind) / (2 * h), rtol=1e-6, atol=1e-6)
    start, end = (at(path, x0, x1, torch.full_like(t, time)).x for time in path.t_range)
    assert_close(start, x0, rtol=0, atol=0.12)
    assert_close(end, x1, rtol=0, atol=0.12 if not isinstance(path, Lipman) else 0.1 * 4.5)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_variance_is_preserved(schedule):
    a, s, da, ds = VariancePreserving(schedule).coefficients(torch.linspace(0.0, 0.99, 50, dtype=torch.float64))
    assert_close(a**2 + s**2, torch.ones(50, dtype=torch.float64))
    assert_close(a * da + s * ds, torch.zeros(50, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_the_regression_on_a_diffusion_is_its_probability_flow(schedule):
    """Between N(0, 1) and N(0, b^2) the drift f x - g^2 score / 2 (Song et al., 2021), in time s = 1 - t, is linear.

    dx = f x ds + g dW keeps x = a x1 + sigma x0 where f = d log a / ds and g^2 = d sigma^2 / ds - 2 f sigma^2.
    """
    b, t = 0.5, torch.linspace(0.05, 0.95, 10, dtype=torch.float64)
    path = VariancePreserving(schedule)
    scale, noise, d_scale, d_noise = (term.double() for term in path.coefficients(t))
    f, variance = -d_scale / scale, (scale * b) ** 2 + noise**2
    g_squared = -2 * noise * d_noise - 2 * f * noise**2
    drift = -(f + g_squared / (2 * variance))  # minus: t runs against s
    x0, x1 = torch.randn(400_000, 1, dtype=torch.float64), b * torch.randn(400_000, 1, dtype=torch.float64)
    for time, exact in zip(t, drift, strict=True):
        x, velocity = at(path, x0, x1, time.expand(len(x0), 1))
        regression = (x * velocity).mean() / x.square().mean()
        assert regression.item() == pytest.approx(exact.item(), abs=0.02)


@pytest.mark.parametrize(
    "path", [Straight(), Straight(0.3), *(p for p in PATHS[1:] if not isinstance(p, Bridge))], ids=repr
)
@pytest.mark.parametrize("t", [0.0, 0.3, 0.9])
def test_the_score_of_a_gaussian_follows_from_its_velocity(path, t):
    """x1 ~ N(m, s^2) makes (x_t, u) jointly Gaussian: E[u | x] is a regression, and p_t has a known score."""
    mean, std, time = 1.5, 0.4, torch.full((1, 1), t, dtype=torch.float64)

    def coefficients(x0, x1):
        """Return x_t and u as linear functions of x0 and x1, without the noise of the path."""
        quiet = Straight() if isinstance(path, Straight) else path
        return [
            part.item() for part in at(quiet, *(torch.full((1, 1), v, dtype=torch.float64) for v in (x0, x1)), time)
        ]

    (of_noise, u_noise), (of_data, u_data) = coefficients(1.0, 0.0), coefficients(0.0, 1.0)
    own = path.sigma if isinstance(path, Straight) else 0.0
    variance = of_noise**2 + (of_data * std) ** 2 + own**2
    covariance = of_noise * u_noise + of_data * u_data * std**2
    x = torch.linspace(-3, 3, 7, dtype=torch.float64)[:, None]
    velocity = u_data * mean + covariance / variance * (x - of_data * mean)
    assert_close(path.score(t, x, velocity), -(x - of_data * mean) / variance, rtol=1e-9, atol=1e-9)


def test_a_bridge_has_no_score():
    with pytest.raises(Unsupported, match="does not determine a score"):
        Bridge(0.5).score(0.5, torch.zeros(1, 1), torch.zeros(1, 1))
