"""Means: standard errors in their limits, and how a mean is written."""

import math
import re

import numpy as np
import pytest

from genbench.analysis.means import format_mean, mean_and_error


@pytest.mark.parametrize("exponent", [-9, -3, -1, 0, 1, 4, 11])
def test_a_mean_is_written_to_two_digits_of_its_error(exponent):
    for mean, error in ((1.23456, 0.0123), (5.5, 0.0996), (-2.0, 0.31), (0.0, 1.0)):
        text = format_mean(mean * 10.0**exponent, error * 10.0**exponent)
        plain = re.fullmatch(r"\(?(-?[\d.]+) ± ([\d.]+)\)?(e[+-]\d+)?", text)
        assert plain, text
        shown, spread = (float(part + (plain[3] or "")) for part in plain.group(1, 2))
        assert spread == pytest.approx(error * 10.0**exponent, rel=0.05)  # two digits are within 5 %
        assert abs(shown - mean * 10.0**exponent) <= 0.05 * error * 10.0**exponent * 1.001
        digits = plain[2].replace(".", "").lstrip("0")
        assert len(digits.rstrip("0")) <= 2, text
    assert mean_and_error([0.1 + 0.2, 0.3]) == (0.1 + 0.2, 0.0)
    assert mean_and_error([2.5]) == (2.5, None)


@pytest.mark.parametrize("values", [[1.0, math.nan], [math.nan, 1.0], [math.nan, math.nan], [1.0, math.nan, 1.0]])
def test_values_of_which_one_is_unknown_have_no_mean(values):
    """NaN compares with nothing, so its place would decide whether the values count as equal."""
    assert all(map(math.isnan, mean_and_error(values)))


def test_means_and_errors_are_those_of_numpy_bit_for_bit():
    values = np.random.default_rng(0).standard_normal(57)
    for n in range(2, len(values)):
        assert mean_and_error(values[:n]) == (values[:n].mean(), values[:n].std(ddof=1) / n**0.5)
