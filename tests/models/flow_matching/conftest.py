"""Flows between pairs that are known exactly, and networks that are functions."""

import pytest
import torch
from torch import nn


class Exact(nn.Module):
    """A closed form in the place of a network."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, t, x, label=None, *interval):
        return self.function(t if t.dim() == 0 else t.reshape(-1, *[1] * (x.dim() - 1)), x, *interval)


class GaussianFlow:
    """The flow of independent pairs of N(0, I) and N(m, s^2 I): X_r = r m + S(r) / S(t) (x - t m)."""

    def __init__(self, m=1.0, s=0.4):
        self.m, self.s = m, s

    def scale(self, t):
        return ((1 - t) ** 2 + t**2 * self.s**2) ** 0.5

    def moved(self, t, r, x):
        return r * self.m + self.scale(r) / self.scale(t) * (x - t * self.m)

    def velocity(self, t, x):
        return self.m + (t * self.s**2 - (1 - t)) / self.scale(t) ** 2 * (x - t * self.m)

    def mean_velocity(self, t, r, x):
        """u(x, t, r), written without the division by r - t, so that it is exact where both times are equal."""
        # S(r) - S(t) = (S(r)^2 - S(t)^2) / (S(r) + S(t)), and the numerator is (r - t) times a polynomial.
        slope = (self.s**2 + 1) * (r + t) - 2
        return self.m + slope / (self.scale(r) + self.scale(t)) / self.scale(t) * (x - t * self.m)


@pytest.fixture
def exact():
    """exact(function) is a network that returns function(t, x, *interval), with t a number or shaped like x."""
    return Exact


@pytest.fixture
def gaussian_flow():
    return GaussianFlow()
