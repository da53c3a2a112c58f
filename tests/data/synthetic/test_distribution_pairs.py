"""Tasks with a source of their own: both ends are on the published scales."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons
from torch.testing import assert_close

from genbench.errors import Unsupported
from genbench.metrics.wasserstein import squared_w2
from genbench.registry import datasets

N = 20_000


def build(name, **settings):
    return datasets[name].build(**settings)


def test_pairs_start_and_arrive_on_the_tutorials_scale(assert_same_law):
    data = build("8gaussians-moons")
    gaussians = build("8gaussians")
    x0 = data.source.sample(N, torch.Generator().manual_seed(0))
    assert_same_law(x0.double().numpy(), gaussians.train.batch(0, N, 1).x.double().numpy())
    torch.testing.assert_close(data.source.log_prob(x0), gaussians.truth.log_prob(x0))
    moons = build("moons", scale="tutorial").train.batch(0, N, 1).x.double().numpy()
    assert_same_law(data.train.batch(0, N, 0).x.double().numpy(), moons)
    back = build("moons-8gaussians")
    assert_same_law(back.source.sample(N, torch.Generator().manual_seed(0)).double().numpy(), moons)
    with pytest.raises(Unsupported, match=r"source \(moons\) is not known"):
        back.source.log_prob(x0)


def test_the_pair_of_the_runner_has_its_published_scale(assert_same_law):
    data = build("moons-8gaussians", scale="runner")
    x = make_moons(N, noise=0.1, random_state=0)[0]
    assert_same_law(
        data.source.sample(N, torch.Generator().manual_seed(0)).double().numpy(), (x - x.mean()) / x.std() * 7
    )
    centers, x = np.random.default_rng(0).integers(8, size=N) * math.pi / 4, np.random.default_rng(1)
    published = 3 * (4 * np.stack([np.cos(centers), np.sin(centers)], 1) + 0.5 * x.standard_normal((N, 2)))
    assert_same_law(data.train.batch(0, N, 0).x.double().numpy(), published)


def test_five_gaussians_surround_those_of_the_source():
    data = build("gaussians-5gaussians", modes=4, inner=1.0)
    assert data.truth.modes.norm(dim=1).tolist() == pytest.approx([5.0] * 5)
    source = build("8gaussians", modes=4, radius=1.0)
    x = data.source.sample(1000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(data.source.log_prob(x), source.truth.log_prob(x))


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
    """The mean log-density of samples is minus the entropy: log 2 + log 2 + 1 + log(2 pi 0.09), of far branches."""
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
    assert data.truth.w2_squared() == pytest.approx(sum(squared) / 8, rel=0.05)


def test_between_tori_each_point_has_the_same_distances_and_the_distance_of_laws_is_exact():
    data = build("tori")
    x0 = data.source.sample(400, torch.Generator().manual_seed(0)).double()
    x1 = data.train.batch(0, 400, 0).x.double()
    torch.testing.assert_close(x0.reshape(-1, 2, 2).norm(dim=2), torch.ones(400, 2).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(x1.reshape(-1, 2, 2).norm(dim=2), 3 * torch.ones(400, 2).double(), atol=1e-6, rtol=0)
    # The mean Gibbs weight of a point of the data over the source is the same for all points.
    weight = torch.exp(-torch.cdist(x1, data.source.sample(100_000, torch.Generator().manual_seed(1)).double())).mean(1)
    assert float(weight.std() / weight.mean()) < 0.01
    assert data.truth.w2_squared() == pytest.approx(float((3 * x0 - x0).square().sum(1).mean()), rel=1e-6)
