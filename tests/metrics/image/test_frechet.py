import numpy as np
import pytest
import torch

from genbench.metrics.evaluation import standard_error
from genbench.metrics.image.frechet import (
    Moments,
    bias_constant,
    frechet,
    frechet_from_few,
    frechet_of_few,
    influence,
    influence_of_few,
)


def exact_moments(n, mean, root, seed=0):
    """Return samples whose mean and covariance are exactly mean and root root^T."""
    x = torch.randn(n, len(mean), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    x = x - x.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(x.T @ x / (n - 1)), x.T, upper=False).T
    return white @ root.T + mean


def mixed(n, d, seed):
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, dtype=torch.float64, generator=stream) @ torch.randn(
        d, d, dtype=torch.float64, generator=stream
    ) + torch.randn(d, dtype=torch.float64, generator=stream)


def test_the_distance_of_gaussians_with_a_common_basis_is_the_closed_form():
    a, b = torch.tensor([1.0, 2.0, 0.5]).double(), torch.tensor([3.0, 2.0, 1.5]).double()
    shift = torch.tensor([1.0, -2.0, 2.0]).double()
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    x = exact_moments(50, torch.zeros(3).double(), turn * a, 1)
    y = exact_moments(70, shift, turn * b, 2)
    expected = 9 + float((a - b).square().sum())
    torch.testing.assert_close(frechet(Moments([x]), Moments([y])), expected, atol=1e-9, rtol=0)
    torch.testing.assert_close(frechet_of_few(x, y), expected, atol=1e-9, rtol=0)


def test_the_influence_is_the_change_with_one_more_sample():
    x, y = mixed(5000, 4, 0), mixed(300, 4, 1)
    own, other = Moments([x]), Moments([y])
    found = influence(x, own, other)
    changes = [frechet(Moments([x, x[i : i + 1]]), other) - frechet(own, other) for i in range(20)]
    torch.testing.assert_close(
        torch.tensor(changes).double() * len(x), found[:20] - found.mean(), rtol=0.02, atol=0.05 * float(found.std())
    )


@pytest.mark.parametrize(("shift", "low", "high"), [(0.0, 1.2, 1.5), (1.0, 0.85, 1.15)])
def test_the_standard_error_is_right_and_at_a_distance_of_0_too_large_by_up_to_41_percent(shift, low, high):
    stream = torch.Generator().manual_seed(0)
    exact = Moments([exact_moments(100, torch.zeros(16).double(), torch.eye(16).double())])
    distances, errors = [], []
    for _ in range(200):
        x = torch.randn(300, 16, dtype=torch.float64, generator=stream) + shift
        own = Moments([x])
        distances.append(frechet(own, exact))
        errors.append(standard_error(influence(x, own, exact))["standard_error"])
    assert low < np.mean(errors) / np.std(distances, ddof=1) < high


def test_all_forms_agree_and_the_distance_to_itself_is_zero():
    x, y = mixed(100, 12, 0), mixed(90, 12, 1)
    torch.testing.assert_close(frechet_of_few(x, y), frechet(Moments([x]), Moments([y])), atol=1e-8, rtol=1e-8)
    fewer = frechet_from_few(x[:10], Moments([y]))
    torch.testing.assert_close(fewer, frechet(Moments([y]), Moments([x[:10]])), atol=1e-8, rtol=1e-8)
    assert abs(frechet(Moments([x]), Moments([x]))) < 1e-6
    few = mixed(10, 64, 2)
    assert abs(frechet_of_few(few, few)) < 1e-9


def test_features_that_never_vary_are_no_obstacle_and_have_no_influence():
    assert not influence(torch.ones(9, 2), Moments([torch.ones(9, 2)]), Moments([mixed(9, 2, 0)])).any()
    x, y = mixed(100, 5, 0), mixed(100, 5, 1)
    constant = torch.ones(100, 2, dtype=torch.float64)
    wide = Moments([torch.cat([x, constant], 1)]), Moments([torch.cat([y, constant], 1)])
    torch.testing.assert_close(frechet(*wide), frechet(Moments([x]), Moments([y])), atol=1e-6, rtol=0)


def test_moments_do_not_depend_on_the_batch_size_even_far_from_zero():
    x = mixed(1000, 6, 0) + 1e4
    whole = Moments([x])
    torch.testing.assert_close(whole.mean, x.mean(0))
    torch.testing.assert_close(whole.covariance, torch.cov(x.T), rtol=1e-9, atol=1e-9)
    y = Moments([mixed(500, 6, 1)])
    for size in (1, 7, 999):
        parts = Moments(x.split(size))
        assert parts.n == 1000
        torch.testing.assert_close(parts.covariance, whole.covariance, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(frechet(parts, y), frechet(whole, y), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("n", "m"), [(400, 400), (300, 900)])
def test_the_bias_is_that_of_gaussian_features(n, m):
    scale = torch.linspace(0.2, 2.0, 16, dtype=torch.float64)
    stream = torch.Generator().manual_seed(0)

    def draw(count):
        return Moments([torch.randn(count, 16, dtype=torch.float64, generator=stream) * scale])

    measured = torch.tensor([frechet(draw(n), draw(m)) for _ in range(60)])
    expected = bias_constant(draw(100_000)) * (1 / n + 1 / m)
    assert abs(measured.mean() - expected) < 3 * measured.std() / 60**0.5 + 0.03 * expected
    # In one dimension, the variance of the mean is v/n, and the variance of the standard deviation is v/2n.
    line = Moments([exact_moments(50, torch.zeros(1).double(), torch.tensor([[3.0]]).double())])
    assert bias_constant(line) == pytest.approx(9 * 1.5)


def test_the_influence_of_fewer_samples_than_features_is_the_growth_with_the_weight():
    x, to = mixed(6, 9, 1), Moments([mixed(80, 9, 2)])
    effect = influence_of_few(x, to) - influence_of_few(x, to).mean()
    copies = 2000  # of all samples, among which one more of the first is little

    def distance(extra):
        return frechet(Moments([x.repeat(copies, 1), *([x[:1]] * extra)]), to)

    assert (distance(1) - distance(0)) * 6 * copies == pytest.approx(float(effect[0]), rel=0.02)
