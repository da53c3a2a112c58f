"""ODE solvers, trajectories and log-densities against closed forms; the SDE against its law."""

import math

import pytest
import torch
from torch.testing import assert_close

from genbench.errors import RunFailed
from genbench.numerics.ode import SOLVERS, euler_maruyama, integrate, log_density, rademacher, trajectory

ORDER = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4}


def grow(t, x):
    return x * torch.cos(3 * t)


def exact(x, t):
    return x * math.exp(math.sin(3 * t) / 3)


@pytest.mark.parametrize("method", ORDER)
def test_fixed_solvers_converge_with_their_order_and_count_their_evaluations(method):
    x, errors = torch.ones(1, 1, dtype=torch.float64), []  # x' = t - x from 1 ends at 2/e
    for steps in (32, 64, 1, 7, 49):
        calls = []
        solved = integrate(lambda t, x, calls=calls: calls.append(1) or t - x, x, method=method, steps=steps)
        errors.append(abs(solved.x.item() - 2 / math.e))
        assert solved.nfe == len(calls) == SOLVERS[method].stages * steps
    assert math.log2(errors[0] / errors[1]) == pytest.approx(ORDER[method], abs=0.1)


def test_the_adaptive_solver_meets_its_tolerance_and_counts():
    x = torch.rand(10, 2, dtype=torch.float64)
    loose, tight = (integrate(grow, x, tol=tol) for tol in (1e-3, 1e-9))
    assert_close(tight.x, exact(x, 1), rtol=1e-7, atol=0)
    assert loose.nfe < tight.nfe


def test_a_trajectory_passes_through_its_times():
    times = torch.linspace(0, 1, 5)
    x = torch.ones(1, 1)
    path, _ = trajectory(grow, x, times, tol=1e-7)
    assert_close(path[:, 0, 0], torch.tensor([exact(1.0, t.item()) for t in times]), rtol=1e-4, atol=0)


def test_solving_forward_and_backward_returns_to_the_start():
    x = torch.randn(20, 3, dtype=torch.float64)
    there = integrate(grow, x, tol=1e-9).x
    back = trajectory(grow, there, torch.tensor([1.0, 0.0]), tol=1e-9).x[-1]
    assert_close(back, x, rtol=1e-6, atol=1e-8)


def rotate_and_stretch(t, x):
    return x @ torch.tensor([[0.3, 1.0], [-1.0, -0.7]], dtype=x.dtype)


def test_log_density_of_a_linear_flow_is_that_of_the_gaussian():
    matrix = torch.tensor([[0.3, 1.0], [-1.0, -0.7]], dtype=torch.float64)
    flow = torch.linalg.matrix_exp(matrix)  # row vectors: x(1) = x(0) flow
    target = torch.distributions.MultivariateNormal(torch.zeros(2, dtype=torch.float64), flow.T @ flow)
    x = torch.randn(50, 2, dtype=torch.float64)

    def source(y):
        return torch.distributions.Normal(0.0, 1.0).log_prob(y).sum(1)

    assert_close(log_density(rotate_and_stretch, x, source, tol=1e-8).x, target.log_prob(x), rtol=1e-5, atol=1e-6)
    # Hutchinson's variance for a linear field comes from the symmetric off-diagonal part, here 0.
    probes = rademacher((1, 50, 2), torch.Generator().manual_seed(0)).double()
    assert_close(
        log_density(rotate_and_stretch, x, source, probes=probes, tol=1e-8).x, target.log_prob(x), rtol=1e-5, atol=1e-6
    )


def test_a_field_that_is_not_finite_is_an_error_of_one_line():
    with pytest.raises(RunFailed, match="dopri5 cannot continue"):
        integrate(lambda t, x: x / (t - t), torch.ones(1, 1))


def test_an_adaptive_solver_ends_where_the_field_diverges(monkeypatch):
    monkeypatch.setattr("genbench.numerics.ode.MAX_EVALUATIONS", 1000)
    stiff = integrate(lambda t, x: -50 * x, torch.ones(1, 1), tol=1e-4)
    assert stiff.nfe < 1000
    with pytest.raises(RunFailed, match=r"more than 1,000 evaluations at tolerance 0\.0001"):
        integrate(lambda t, x: torch.sin(1e6 * t) * 1e6, torch.ones(1, 1), tol=1e-4)


def start(n=100, dims=200):
    return torch.randn(n, dims, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_an_ornstein_uhlenbeck_process_has_the_moments_of_its_steps():
    """Of dx = -x dt + sqrt(2) dW, n Euler steps of size h lead to mean, variance and covariance in closed form."""
    x, h = start(), 1 / 10
    found = euler_maruyama(lambda t, x: -x, lambda t: 2.0, x, steps=10)
    assert found.nfe == 10
    variance = (1 - h) ** 20 + sum(2 * h * (1 - h) ** (2 * k) for k in range(10))
    assert float(found.x.var()) == pytest.approx(variance, rel=5 * math.sqrt(2 / x.numel()))
    assert float(found.x.mean()) == pytest.approx(0, abs=5 / math.sqrt(x.numel()))
    assert float((x * found.x).mean()) == pytest.approx((1 - h) ** 10, abs=0.05)


def test_without_variance_it_takes_euler_steps():
    x = start(4, 3)
    plain = integrate(lambda t, x: x * torch.cos(3 * t), x, method="euler", steps=7)
    assert_close(euler_maruyama(lambda t, x: x * torch.cos(3 * t), lambda t: 0.0, x, steps=7).x, plain.x)


def test_the_noise_of_a_sample_depends_on_its_start_alone():
    x = start(6, 2).float()

    def solved(x):
        return euler_maruyama(lambda t, x: 0 * x, lambda t: 2 * (1 - t), x, steps=4).x

    assert torch.equal(solved(x), solved(x))
    assert torch.equal(solved(x)[2:4], solved(x[2:4]))
    moves = solved(x) - x
    assert len(moves.unique(dim=0)) == 6
