"""Small flow-matching models, trained on the spot."""

import math

import torch

from genbench.metrics.starting_noise import noise
from genbench.models.build import build_model
from genbench.runs.spec import build_data, plan_of, resolve
from genbench.training.fabric import fabric_of
from genbench.training.loop import fit


def trained(model, dataset, /, **settings):
    spec = resolve(model, dataset, metrics=[], settings=settings)
    data, plan = build_data(spec.data), plan_of(spec)
    torch.manual_seed(0)
    return fit(build_model(spec.model, spec.encoder, data), data, plan, fabric_of(plan, "cpu"), seed=0), data


def drawn(model, n=4096, **options):
    with torch.no_grad():
        return model.sample(noise(model.source, n, seed=1), **options).x


def tilted(eps, b):
    """Covariance of (x0, x1) under exp(-|x0-x1|^2 / eps) N(0,1) x N(0,b^2): the inverse of the summed precisions."""
    precision = torch.tensor([[1 + 2 / eps, -2 / eps], [-2 / eps, 1 / b**2 + 2 / eps]])
    return torch.linalg.inv(precision)


def gaussian_tilt(epsilon, a, b):
    """Relative variance of E[exp(-(x0-x1)^2 / epsilon) | x1] for x0 ~ N(0, a^2), x1 ~ N(0, b^2)."""
    u = b * b / (epsilon + 2 * a * a)
    return (1 + 2 * u) / math.sqrt(1 + 4 * u) - 1
