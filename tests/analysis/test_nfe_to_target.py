"""The NFE at which an excess falls to a target, checked on power laws."""

import pytest

from genbench.analysis.nfe_to_target import Reach, first_crossing


@pytest.mark.parametrize("power", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("nfe", [1.5, 2.0, 7.3, 16.0])
def test_a_power_law_is_interpolated_exactly(power, nfe):
    points = [(n, 3.0 * n**-power) for n in (1, 2, 4, 8, 16)]
    assert first_crossing(points, 3.0 * nfe**-power * (1 + 1e-12)) == pytest.approx(nfe)


def test_nothing_is_extrapolated():
    points = [(2, 1.0), (4, 0.5)]
    assert first_crossing(points, 4.0) == 2.0
    assert first_crossing(points, 0.4) is None
    assert first_crossing([], 1.0) is None


def test_the_first_crossing_counts_even_if_the_excess_rises_again():
    assert first_crossing([(1, 4.0), (4, 1.0), (8, 4.0), (16, 0.5)], 2.0) == pytest.approx(2.0)


def test_without_an_excess_above_0_the_measured_nfe_counts():
    assert first_crossing([(1, 4.0), (4, 0.0)], 2.0) == 4.0


def test_bounds_are_marked_and_one_decimal_is_shown_below_ten():
    texts = [Reach(nfe).text for nfe in (1.0, 8.16, 15.6, 128.0)]
    assert [*texts, Reach(56.0, at_most=True).text] == ["1", "8.2", "16", "128", "≤56"]
