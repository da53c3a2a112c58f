import numpy as np
import pytest
import torch
from torch.testing import assert_close
from torchdiffeq import odeint

from genbench.ode import integrate, log_density, trajectory
from genbench.rungekutta import DOPRI5, FIXED, MIDDLE, Underflow, adaptive, fixed

TIMES = torch.linspace(0, 1, 6)


def turn(t, x):
    return torch.stack([-6 * x[..., 1] + torch.sin(9 * t), 6 * x[..., 0] * torch.cos(t)], -1)


class Counted:
    def __init__(self, field):
        self.field, self.calls = field, 0

    def __call__(self, t, x):
        self.calls += 1
        return self.field(t, x)


@pytest.mark.parametrize("tol", [1e-3, 1e-5, 1e-8])
@pytest.mark.parametrize("reverse", [False, True])
def test_dopri5_takes_the_steps_of_torchdiffeq(tol, reverse):
    x = torch.randn(30, 2, dtype=torch.float64)
    times = TIMES.double().flip(0) if reverse else TIMES.double()
    theirs = Counted(turn)
    path, nfe = trajectory(turn, x, times, tol=tol)
    assert_close(path, odeint(theirs, x, times, rtol=tol, atol=tol, method="dopri5"), rtol=1e-9, atol=1e-9)
    assert nfe == theirs.calls


def test_dopri5_measures_the_parts_of_a_state_as_torchdiffeq_does():
    def field(t, state):
        return turn(t, state[0]), 100 * state[0].sum(1)

    start = (torch.randn(30, 2, dtype=torch.float64), torch.zeros(30, dtype=torch.float64))
    theirs = Counted(field)
    ours, nfe = trajectory(field, start, TIMES.double())
    expected = odeint(theirs, start, TIMES.double(), rtol=1e-5, atol=1e-5, method="dopri5")
    for one, other in zip(ours, expected, strict=True):
        assert_close(one, other, rtol=1e-9, atol=1e-9)
    assert nfe == theirs.calls


@pytest.mark.parametrize(
    ("method", "name"), [("euler", "euler"), ("midpoint", "midpoint"), ("heun", "heun2"), ("rk4", "rk4")]
)
def test_fixed_methods_are_those_of_torchdiffeq(method, name):
    x, grid = torch.randn(5, 2, dtype=torch.float64), torch.linspace(0, 1, 11, dtype=torch.float64)
    path = trajectory(turn, x, grid, method=method, steps=10).x
    assert_close(path, odeint(turn, x, grid, method=name), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("tableau", [*FIXED.values(), DOPRI5])
def test_stages_stand_at_the_sums_of_their_weights(tableau):
    assert [sum(row) for row in tableau.a] == pytest.approx(list(tableau.c))
    assert sum(tableau.b) == pytest.approx(1)


def test_the_middle_of_a_step_is_reached_in_half_of_it():
    assert MIDDLE.sum() == pytest.approx(0.5)
    assert MIDDLE @ DOPRI5.c == pytest.approx(0.125)


def test_systems_side_by_side_go_as_they_go_alone():
    speeds = torch.tensor([0.2, 1.0, 5.0], dtype=torch.float64)
    x = torch.randn(3, 20, 2, dtype=torch.float64)

    def together(t, y):
        return speeds[:, None, None] * turn(t[:, None], y)

    path, evaluations = adaptive(together, x, TIMES.double().numpy(), 1e-6)
    assert len(set(evaluations)) == 3
    for i, speed in enumerate(speeds):
        alone, nfe = trajectory(lambda t, y, speed=speed: speed * turn(t, y), x[i], TIMES.double(), tol=1e-6)
        assert_close(path[:, i], alone, rtol=1e-12, atol=1e-12)
        assert evaluations[i] == nfe
    steps = fixed(together, x, np.linspace(0, 1, 9), "rk4", 8)
    for i, speed in enumerate(speeds):
        alone = integrate(lambda t, y, speed=speed: speed * turn(t, y), x[i], method="rk4", steps=8).x
        assert_close(steps[1, i], alone, rtol=1e-12, atol=1e-12)


def test_one_system_that_fails_is_not_overlooked():
    def field(t, y):
        return y / (torch.tensor([1.0, 0.0])[:, None] - t[:, None])

    with pytest.raises(Underflow):
        adaptive(field, torch.ones(2, 3), np.array([0.0, 0.5]), 1e-5)


def test_a_step_that_does_nothing_is_no_error():
    assert_close(integrate(lambda t, x: torch.zeros_like(x), torch.ones(2, 2)).x, torch.ones(2, 2))
    normal = torch.distributions.Normal(0.0, 1.0)
    x = torch.randn(4, 2)
    value = log_density(lambda t, y: 0 * y, x, lambda y: normal.log_prob(y).sum(1)).x
    assert_close(value, normal.log_prob(x).sum(1))
