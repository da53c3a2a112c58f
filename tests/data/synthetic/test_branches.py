"""The branches: their density and their distance from the source, against integration and optimal transport."""

import pytest
import torch
from torch.testing import assert_close

from genbench.metrics.wasserstein import squared_w2
from genbench.registry import datasets


def test_the_density_of_each_condition_integrates_to_that_of_the_condition():
    data = datasets["branches"].build()
    line = torch.linspace(-6, 6, 601, dtype=torch.float64)
    plane = torch.cartesian_prod(line, line)
    for c in (-0.9, 0.0, 0.4):
        density = data.truth.log_prob(torch.cat([plane, torch.full((len(plane), 1), c)], 1)).exp()
        assert float(density.sum() * 0.02**2) == pytest.approx(0.5, rel=1e-4)
        mean = (density[:, None] * plane).sum(0) * 0.02**2 / 0.5
        assert_close(mean, torch.tensor([3 * c, 0.0], dtype=torch.float64), rtol=0, atol=1e-4)


def test_samples_have_the_density():
    """The mean log-density of samples is minus the entropy: log 2 + log 2 + 1 + log(2 pi .09), of far branches."""
    data = datasets["branches"].build()
    x = data.test.take(20_000, 0).x
    far = x[:, 2] > 0
    entropy = 2 * torch.tensor(2.0).log() + 1 + torch.tensor(2 * torch.pi * 0.09).log()
    assert float(data.truth.log_prob(x[far]).mean()) == pytest.approx(-float(entropy), abs=0.04)


def test_its_distance_from_the_source_is_the_mean_over_conditions():
    data = datasets["branches"].build()
    stream, squared = torch.Generator().manual_seed(0), []
    x = data.test.take(40_000, 0).x
    for c in (torch.arange(8) + 0.5) / 4 - 1:
        near = x[(x[:, 2] - c).abs() < 0.02][:700, :2]
        squared.append(squared_w2(torch.randn(len(near), 2, generator=stream).double(), near.double())[0])
    assert data.truth.w2_squared == pytest.approx(sum(squared) / 8, rel=0.05)
