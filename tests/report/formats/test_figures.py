"""Figures: a PNG and an SVG of everything that is drawn, with equal bytes again."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from helpers.reports import blocks
from PIL import Image

from genbench.report.blocks import Axis, Chart, Charts, Flow, Gallery, Panel, Point, Report, Section, Series
from genbench.report.formats import figures
from genbench.report.formats.palette import THEMES, styles


def test_every_figure_is_written_as_png_and_svg_with_equal_bytes(report, tmp_path):
    written = figures.write(report, tmp_path / "a")
    again = figures.write(report, tmp_path / "b")
    assert {path.suffix for path in written} == {".png", ".svg"}
    assert len(written) == 2 * len(blocks(report, (Charts, Flow, Gallery)))
    for one, other in zip(written, again, strict=True):
        assert one.read_bytes() == other.read_bytes()
        if one.suffix == ".png":
            assert min(Image.open(one).size) > 100
        else:
            assert ET.parse(one).getroot().tag.endswith("svg")


def line(points, **axes):
    """Return the places of the markers of a chart, in points of its SVG."""
    chart = Chart("t", Axis("x", **axes), Axis("y", **axes), (Series("m", tuple(Point(*p) for p in points)),))
    figure = figures.chart(chart, styles(["m"]), THEMES["light"], small=False)
    svg = figures.encoded(figure, "svg").decode()
    path = re.search(r'id="line2d_\d+"><path d="(M[^"]*L[^"]*)" clip-path[^>]*stroke: #114aa3', svg)[1]
    return np.array(re.findall(r"[-\d.]+", path), dtype=float).reshape(-1, 2)


def test_equal_ratios_are_equal_distances_on_a_logarithmic_axis():
    steps = np.diff(line([(2.0**k, 10.0**-k) for k in range(4)], log=True), axis=0)
    np.testing.assert_allclose(steps, np.broadcast_to(steps[0], steps.shape), atol=0.03)
    assert (steps > 0).all()  # larger x to the right, smaller y further down
    steps = np.diff(line([(k, -3 * k) for k in range(4)]), axis=0)
    np.testing.assert_allclose(steps, np.broadcast_to(steps[0], steps.shape), atol=0.03)


@pytest.mark.parametrize(
    "label", ["two words", "a$b$c", "$\\frac1", '<b> & "q"', "κ=½ 中文", "\x1b[31m", "x" * 200, "_{^"]
)
def test_any_label_can_be_drawn(label, tmp_path):
    panel = Panel(label, 0, np.full((3, 5, 2), 90, np.uint8), np.full((3, 8, 8), 90, np.uint8))
    chart = Chart(label, Axis(label), Axis(label), (Series(label, (Point(1, 2), Point(2, 3))),))
    drawn = (
        Charts(label, label, (chart,), label),
        Flow(label, (0, 1, 0, 1), panel, (panel,), label),
        Gallery(label, ((label, np.zeros((4, 4), np.uint8)),), 2, label),
    )
    written = figures.write(Report("t", "s", (), (label,), (Section(label, drawn),)), tmp_path)
    assert len(written) == len(set(written)) == 6
    for path in written:
        assert path.parent == tmp_path
        if path.suffix == ".svg":
            ET.parse(path)


def test_an_adaptive_picture_names_no_color_of_the_light_theme_outside_of_its_style():
    chart = Chart("t", Axis("x"), Axis("y"), (Series("m", (Point(1, 2), Point(2, 3))),), 2.5)
    svg = figures.encoded(figures.chart(chart, styles(["m"]), THEMES["light"], small=True), "svg").decode()
    body = re.sub(r"<style>:root.*?</style>", "", figures.adaptive(svg), flags=re.DOTALL)
    assert not set(re.findall(r"#[0-9a-f]{6}", body)) - {"#000000", "#ffffff"}
    assert "var(--0)" in body


def test_charts_are_written_for_light_and_for_dark_pages(tmp_path):
    chart = Chart("t", Axis("x"), Axis("y"), (Series("m", (Point(1, 2), Point(2, 3))),))
    paths = figures.write_charts(Charts("n", "t", (chart,), "c"), tmp_path / "sub" / "picture")
    assert [path.name for path in paths] == ["picture-light.svg", "picture-dark.svg"]
    for path, theme in zip(paths, THEMES.values(), strict=True):
        assert theme.paper in path.read_text()
