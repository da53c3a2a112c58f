"""Figures: equal bytes again, true scales, any label, and colors that can be distinguished on light and dark paper."""

import itertools
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from helpers.reports import blocks

from genbench.errors import ConfigError
from genbench.report.blocks import Axis, Chart, Charts, Point, Series
from genbench.report.formats import figures
from genbench.report.formats.figures import DARK, LIGHT, PAPER, styles


def test_every_chart_is_written_with_equal_bytes(report, tmp_path):
    drawn = blocks(report, Charts)
    for charts in drawn:
        for suffix in ("svg", "png", "pdf"):
            one, other = (figures.write_charts(charts, tmp_path / f"{name}.{suffix}") for name in "ab")
            assert one.read_bytes() == other.read_bytes()
        assert ET.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")
    assert drawn
    with pytest.raises(ConfigError, match=r"\.svg, \.pdf or \.png"):
        figures.write_charts(drawn[0], tmp_path / "a.jpeg")


def line(points, **axes):
    """Return the places of the markers of a chart, in points of its SVG."""
    chart = Chart("t", Axis("x", **axes), Axis("y", **axes), (Series("m", tuple(Point(*p) for p in points)),))
    figure = figures.chart(chart, styles(["m"]))
    svg = figures.encoded(figure).decode()
    path = re.search(rf'id="line2d_\d+"><path d="(M[^"]*L[^"]*)" clip-path[^>]*stroke: {LIGHT[0]}', svg)[1]
    return np.array(re.findall(r"[-\d.]+", path), dtype=float).reshape(-1, 2)


def test_equal_ratios_are_equal_distances_on_a_logarithmic_axis():
    steps = np.diff(line([(2.0**k, 10.0**-k) for k in range(4)], log=True), axis=0)
    np.testing.assert_allclose(steps, np.broadcast_to(steps[0], steps.shape), atol=0.03)
    assert (steps > 0).all()  # larger x to the right, smaller y further down
    steps = np.diff(line([(k, -3 * k) for k in range(4)]), axis=0)
    np.testing.assert_allclose(steps, np.broadcast_to(steps[0], steps.shape), atol=0.03)


def test_any_label_can_be_drawn(tmp_path):
    for label in ("two words", "a$b$c", "$\\frac1", '<b> & "q"', "κ=½ 中文", "\x1b[31m", "x" * 200, "_{^"):
        chart = Chart(label, Axis(label), Axis(label), (Series(label, (Point(1, 2), Point(2, 3))),))
        ET.parse(figures.write_charts(Charts(label, (chart,), label), tmp_path / "sub" / "a.svg"))


def test_a_picture_needs_no_css_variables():
    """librsvg, LaTeX and many editors do not know them: they drew black on black."""
    chart = Chart("t", Axis("x"), Axis("y"), (Series("m", (Point(1, 2), Point(2, 3))),), 2.5)
    svg = figures.encoded(figures.chart(chart, styles(["m"]))).decode()
    assert "var(" not in svg
    assert {LIGHT[0], PAPER} <= {*re.findall(r"#[0-9a-f]{6}", svg)}


# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
BLIND = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colors):
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colors])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def oklab(rgb):
    """Ottosson (2020)."""
    cones = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566]]
    cones = np.cbrt(np.clip(rgb, 0, 1) @ np.array([*cones, [0.0883024619, 0.2817188376, 0.6299787005]]).T)
    return cones @ np.array(
        [
            [0.2104542553, 1.9779984951, 0.0259040371],
            [0.793617785, -2.428592205, 0.7827717662],
            [-0.0040720468, 0.4505937099, -0.808675766],
        ]
    )


@pytest.mark.parametrize(("colors", "paper"), [(LIGHT, PAPER), (DARK, "#141619")])
def test_colors_can_be_distinguished_with_every_color_vision_deficiency(colors, paper):
    # 0.07 is what the six of Okabe and Ito keep apart.
    for seen in BLIND.values():
        places = oklab(linear(colors) @ np.array(seen).T)
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(places, 2)) > 0.07
    luminance = linear([*colors, paper]) @ np.array([0.2126, 0.7152, 0.0722]) + 0.05
    ratio = luminance[:-1] / luminance[-1]
    assert np.maximum(ratio, 1 / ratio).min() >= 3
