"""Inline SVG: places on a chart."""

import re

import numpy as np

from genbench.report.blocks import Axis, Chart, Point, Series
from genbench.report.formats import palette, svg


def test_equal_ratios_are_equal_distances_on_a_logarithmic_axis():
    points = tuple(Point(2.0**k, 10.0**-k) for k in range(4))
    drawn = svg.chart(
        Chart("t", Axis("x", True), Axis("y", True), (Series("m", points),)), {"m": palette.Style(0, 0, 0)}
    )
    line = re.search(r'class="l" d="M([^"]*)"', drawn)[1]
    places = np.array([[float(x) for x in place.split()] for place in line.split("L")])
    steps = np.diff(places, axis=0)
    np.testing.assert_allclose(steps, np.broadcast_to(steps[0], steps.shape), atol=0.11)
    assert (steps > 0).all()  # larger x to the right, smaller y further down
