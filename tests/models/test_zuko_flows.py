"""The flow of zuko: likelihood against the closed form, conditional densities, and what is refused."""

import importlib.util

import pytest
import torch
from torch.testing import assert_close

from genbench.core import Event, Normal
from genbench.errors import ConfigError, Unsupported
from genbench.registry import models

PLAN = {"steps": 200, "batch_size": 512, "lr": 5e-3, "schedule": "cosine"}


def test_the_likelihood_of_a_correlated_gaussian_is_its_entropy(trained, drawn):
    settings = {"dims": 2, "mean": 4.0, "std": 2.0, "spread": 2.0, "correlation": 0.7}
    model, data = trained("nsf", "gaussian", data=settings, plan=PLAN)
    x = data.test.take(8192, seed=0).x
    with torch.no_grad():
        gap = data.truth.log_prob(x) - model.log_prob(x)  # on average the KL divergence, which is not negative
    assert 0 < gap.mean().item() < 0.02
    with torch.no_grad():
        z = model._map(None)((x - model.mean) / model.std)
        back = model.sample(z)
    assert_close(back.x, x, rtol=0, atol=1e-3)
    assert back.nfe == 2
    samples = drawn(model, 8192)
    assert_close(samples.mean(0), x.mean(0), rtol=0, atol=0.15)
    assert_close(samples.T.cov(), x.T.cov(), rtol=0.1, atol=0.2)


def test_a_conditional_flow_separates_classes(trained):
    data = {"dims": 1, "modes": 2, "means": [[-3.0], [3.0]], "std": 0.5}
    model, task = trained("nsf", "mixture", data=data, model={"conditional": True}, plan=PLAN)
    x, label = task.test.take(4000, seed=0)
    with torch.no_grad():
        per_class = model.log_prob(x, label=label).mean()
        assert per_class > model.log_prob(x, label=1 - label).mean() + 3
        side = model.sample(torch.randn(500, 1), label=torch.arange(500) % 2).x[:, 0].sign()
    whole = task.truth.log_prob(x).mean() + torch.tensor(2.0).log()  # the mode of a point is known but for its half
    assert per_class.item() == pytest.approx(whole.item(), abs=0.03)
    assert_close(side, 2.0 * (torch.arange(500) % 2) - 1)


def test_images_and_a_missing_package_are_errors(built, monkeypatch):
    with pytest.raises(Unsupported, match="for vectors"):
        built("nsf", "digits")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'genbench\[zuko\]'"):
        models["nsf"].build(Event((2,)), Normal((2,)))
