"""Figures: a PNG and an SVG of everything that is drawn, with equal bytes again."""

import xml.etree.ElementTree as ET

from PIL import Image
from reports import blocks

from genbench.report.blocks import Charts, Flow, Gallery
from genbench.report.formats import figures


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
