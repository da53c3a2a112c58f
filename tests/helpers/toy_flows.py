"""What weights make of Gaussians, in closed form, and seeded draws."""

import math

import torch

from genbench.settings import bind, call


def tilted(eps, b):
    """Covariance of (x0, x1) under exp(-|x0-x1|^2 / eps) N(0,1) x N(0,b^2): the inverse of the summed precisions."""
    precision = torch.tensor([[1 + 2 / eps, -2 / eps], [-2 / eps, 1 / b**2 + 2 / eps]])
    return torch.linalg.inv(precision)


def gaussian_tilt(epsilon, a, b):
    """Relative variance of E[exp(-(x0-x1)^2 / epsilon) | x1] for x0 ~ N(0, a^2), x1 ~ N(0, b^2)."""
    u = b * b / (epsilon + 2 * a * a)
    return (1 + 2 * u) / math.sqrt(1 + 4 * u) - 1


def gaussian_plan(reg, n):
    """Return the correlation of the entropic plan of N(0, 1) with itself, for the cost |x - y|^2, and n quantiles.

    The plan is Gaussian; its correlation solves rho / (1 - rho^2) = 2 / reg (Janati et al., 2020).
    """
    quantiles = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(n) + 0.5) / n)[:, None]
    return (math.sqrt(1 + 16 / reg**2) - 1) / (4 / reg), quantiles


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def component(registry, name, event, *parts, **settings):
    """Build a component for an event."""
    build = registry[name].build
    return call(build, event, *parts, settings=bind(build, settings, name, context=event))
