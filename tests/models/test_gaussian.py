"""The Gaussian baseline: moments, density and samples are those of the data, and what has no density is refused."""

from dataclasses import replace

import pytest
import torch
from helpers.fixed_samples import Fixed
from torch.distributions import MultivariateNormal
from torch.testing import assert_close

from genbench.errors import ConfigError
from genbench.models.gaussian import Gaussian
from genbench.testing.toys import toy_tasks

CORRELATED = {"dims": 3, "mean": 4.0, "std": 2.0, "spread": 2.0, "correlation": 0.7}


def test_moments_samples_and_density_are_those_of_correlated_data(trained, drawn):
    model, data = trained("gaussian", "gaussian", data=CORRELATED, plan={"steps": 0})
    x = data.test.take(20_000, seed=0).x
    samples = drawn(model, 20_000)
    assert_close(samples.mean(0), x.mean(0), rtol=0, atol=0.15)
    assert_close(samples.T.cov(), x.T.cov(), rtol=0.1, atol=0.2)
    covariance = model.root @ model.root.T
    assert_close(
        model.log_prob(x[:99]), MultivariateNormal(model.mean, covariance).log_prob(x[:99]), rtol=1e-4, atol=1e-4
    )
    gap = (data.truth.log_prob(x) - model.log_prob(x)).mean().item()  # the KL divergence, if it were the expectation
    assert gap == pytest.approx(0, abs=0.003)


def test_equal_images_have_the_variance_of_their_bins():
    """Uniform noise of the bin's width has variance bin^2 / 12."""
    task = toy_tasks()["labeled images"]
    model = Gaussian(task.event, task.source, n=8)
    model.prepare(replace(task, train=Fixed(torch.ones(8, 1, 4, 4))), 0)
    assert_close(model.root.detach(), torch.eye(16) * task.event.bin / 12**0.5)
    assert model.density == "dequantized data"


def test_data_without_density_is_an_error():
    task = toy_tasks()["vectors"]
    with pytest.raises(ConfigError, match="2 samples in 2 dimensions has no inverse: it takes more samples"):
        Gaussian(task.event, task.source, n=2).prepare(task, 0)
    with pytest.raises(ConfigError, match="1 samples in 2 dimensions"):
        Gaussian(task.event, task.source, n=1).prepare(task, 0)
