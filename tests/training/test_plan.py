"""Plans: learning rates, averages and parts of batches."""

import pytest
from helpers.toy_trainings import train

from genbench.errors import ConfigError
from genbench.training.plan import Plan


def test_warm_up_and_average_shrink_with_the_run():
    plan = Plan(steps=1500, warmup=5000, ema=0.9999, lr=1.0)
    assert plan.lr_at(0) == pytest.approx(1 / 150)
    assert plan.lr_at(150) == 1.0
    kept = 1.0
    for step in range(1500):
        kept *= plan.ema_at(step)
    assert kept < 1e-9  # with a constant 0.9999 the average would keep 86 % of the initial weights
    assert Plan(steps=400_000, ema=0.9999).ema_at(399_999) == 0.9999


def test_the_cosine_starts_at_the_peak_and_ends_at_its_floor():
    plan = Plan(steps=1000, lr=2.0, schedule="cosine", lr_min=0.1)
    assert plan.lr_at(0) == 2.0
    assert plan.lr_at(500) == pytest.approx(1.1)
    assert plan.lr_at(1000) == pytest.approx(0.2)
    with pytest.raises(ConfigError, match="cannot be divided"):
        train(steps=1, batch_size=10, accumulate=3)
