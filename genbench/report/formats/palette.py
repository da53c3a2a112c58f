"""The palette: each model has one style in all figures of a report, on light and on dark paper.

Models of the same name share a color; their variants differ in dashes and markers. Neighboring models differ in markers
too, so figures can be read without color. The colors can be distinguished with common color vision deficiencies.
"""

from collections.abc import Iterable
from typing import NamedTuple

LIGHT = ("#114aa3", "#8f1408", "#2ca481", "#6f2d67", "#b78919", "#147788", "#977cca", "#81633e", "#fe0ffd", "#8302f4")
DARK = ("#5a9dfb", "#d05119", "#91c996", "#d878a9", "#e7a82b", "#40cdf2", "#776cc3", "#8d766b", "#cb05fb", "#b72085")
"""Close hues for a dark background."""
MARKERS = ("o", "s", "^", "D", "v", "P")
"""Names of matplotlib."""
DASHES = ((), (6, 2.5), (1.5, 2), (7, 2, 1.5, 2))
"""Strokes and gaps in points; the first is a solid line."""


class Theme(NamedTuple):
    """The colors of a figure: of the series, of text, of secondary text, of the grid, of the paper."""

    series: tuple[str, ...]
    ink: str
    muted: str
    grid: str
    paper: str


THEMES = {
    "light": Theme(LIGHT, "#1d1f23", "#5d626b", "#e6e6e1", "#fcfcfa"),
    "dark": Theme(DARK, "#e6e7e9", "#a0a6b0", "#2b2f35", "#141619"),
}


class Style(NamedTuple):
    """The look of a model in charts: indices of its color, dashes and marker."""

    color: int
    dash: int
    marker: int


def styles(models: Iterable[str]) -> dict[str, Style]:
    """Give each model a style, in the order given; the first word of a label is the name of the model.

    >>> styles(["cfm", "wcfm", "wcfm kappa=0.5"])["wcfm kappa=0.5"]
    Style(color=1, dash=1, marker=2)
    """
    families: dict[str, list[str]] = {}
    for model in models:
        family = families.setdefault(model.partition(" ")[0], [])
        if model not in family:
            family.append(model)
    return {
        model: Style(number % len(LIGHT), variant % len(DASHES), (number + variant) % len(MARKERS))
        for number, family in enumerate(families.values())
        for variant, model in enumerate(family)
    }
