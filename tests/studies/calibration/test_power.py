"""Power: the level is exact, and the power is that of the closed form."""

import math
import time

import pytest
import torch
from scipy.stats import norm

from genbench.studies.calibration import power
from genbench.studies.calibration.power import TRUE, Draws, OutOfTime, alarms, measure


def test_the_level_is_exact_and_the_power_is_that_of_a_z_test(normal):
    true, shifted = measure(normal, Draws(799, 1000, 400))
    for n, share, detected, sd in zip(true["n"], true["alarms"], shifted["power"], true["sd"], strict=False):
        assert share == pytest.approx(0.05, abs=0.03)
        assert sd == pytest.approx(1 / math.sqrt(n), rel=0.08)
        assert detected == pytest.approx(norm.sf(norm.isf(0.05) - 0.25 * math.sqrt(n)), abs=0.09)
    assert (true["sampler"], shifted["sampler"]) == (TRUE, "shifted by 0.25")


def test_false_alarms_of_exchangeable_values_are_five_percent():
    stream = torch.Generator().manual_seed(1)
    draws = torch.randn(600, 99 + 20, generator=stream)
    for better in ("lower", "higher", "none"):
        shares = [alarms(row[:99].tolist(), row[99:].tolist(), better) for row in draws]
        expected = 0.04 if better == "none" else 0.05  # two sides of 2.5 %: the largest rank below it is 2 of 100
        assert sum(shares) / len(shares) == pytest.approx(expected, abs=0.006)
    assert alarms([1.0] * 99, [1.0, 0.9], "higher") == 0.5  # ties are no alarm


def test_nothing_is_drawn_after_the_time(normal):
    sampler = next(power.samplers(normal))
    with pytest.raises(OutOfTime):
        power._values(normal, TRUE, sampler, "w2", 16, 5, time.process_time() - 1)
