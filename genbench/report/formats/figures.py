"""Figures: charts drawn by matplotlib.

Each model has one style in all figures of a report. Models of the same name share a color; their variants differ in
dashes and markers. Neighboring models differ in markers, so figures can be read without color. The colors can be
distinguished with common color vision deficiencies.

Axes are placed by hand: matplotlib's automatic layouts draw every figure several times.
"""

import io
import math
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from genbench.analysis.labels import plain
from genbench.errors import ConfigError
from genbench.report.blocks import Chart, Charts, Series
from genbench.storage import files

LIGHT = ("#114aa3", "#8f1408", "#2ca481", "#6f2d67", "#b78919", "#147788", "#977cca", "#81633e", "#fe0ffd", "#8302f4")
DARK = ("#5a9dfb", "#d05119", "#91c996", "#d878a9", "#e7a82b", "#40cdf2", "#776cc3", "#8d766b", "#cb05fb", "#b72085")
"""Close hues for text on a dark page. Two colors of a list differ by at least 0.07 in Oklab, also in the simulations of
Machado, Oliveira and Fernandes (2009) of the three deficiencies: the six colors of Okabe and Ito keep this distance."""
INK, MUTED, GRID, PAPER = "#1d1f23", "#5d626b", "#e6e6e1", "#fcfcfa"
MARKERS = ("o", "s", "^", "D", "v", "P")
"""Names of matplotlib."""
DASHES = ((), (6, 2.5), (1.5, 2), (7, 2, 1.5, 2))
"""Strokes and gaps in points; the first is a solid line."""
WIDTH, HEIGHT = 3.3, 2.5
"""Inches of a chart."""
LEFT, RIGHT, TOP, BOTTOM = 0.55, 0.12, 0.3, 0.42
"""Inches around the axes of a chart."""
LETTER, HANDLE, LINE = 0.062, 0.5, 0.17
"""Inches of a letter in a legend, of the handle before its text, and of the height of a line."""
FORMATS = ("svg", "pdf", "png")
RC: dict[Any, Any] = {
    "font.size": 8,
    "font.family": "sans-serif",
    "svg.fonttype": "none",
    "svg.hashsalt": "genbench",
    "text.parse_math": False,
    "text.color": INK,
    "figure.facecolor": PAPER,
    "legend.frameon": False,
    "lines.linewidth": 1.1,
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": PAPER,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.unicode_minus": False,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    **{f"{side}tick.{name}": value for side in "xy" for name, value in
       {"color": MUTED, "labelsize": 7, "major.pad": 2, "major.size": 2}.items()},
}  # fmt: skip


styled = matplotlib.rc_context(RC)
"""Decorator of functions that draw in our style."""


class Style(NamedTuple):
    """The look of a model in charts: indices of its color, dashes and marker."""

    color: int
    dash: int
    marker: int

    def __str__(self) -> str:
        """Return its legend key as text, to be shown in its color."""
        dash = "━╍┅┉"[self.dash]
        return dash + "●■▲◆▼✚"[self.marker] + dash


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


def write_charts(drawn: Charts, path: Path, models: Iterable[str] = ()) -> Path:
    """Write charts to a file, with styles by the order of the models, and return its path.

    Raises:
        ConfigError: if its name does not end with .svg, .pdf or .png.
    """
    if path.suffix[1:] not in FORMATS:
        raise ConfigError(f"{path}: the name of a figure ends with .{', .'.join(FORMATS[:-1])} or .{FORMATS[-1]}")
    model_styles = styles([*models, *(series.model for chart in drawn.charts for series in chart.series)])
    files.write(path, encoded(charts(drawn, model_styles), path.suffix[1:]))
    return path


@styled
def encoded(figure: Any, suffix: str = "svg") -> bytes:
    """Return a figure as the bytes of a file."""
    buffer = io.BytesIO()
    metadata = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}, "pdf": {"CreationDate": None}}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a viewer has other fonts
        figure.savefig(buffer, format=suffix, dpi=200, metadata=metadata[suffix])
    return _small(buffer.getvalue().decode()).encode() if suffix == "svg" else buffer.getvalue()


def _small(svg: str) -> str:
    """Drop what a browser does not need: comments, metadata, empty space, digits."""
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<\?xml.*?\?>|<!DOCTYPE.*?>", "", svg, flags=re.DOTALL)
    svg = re.sub(r">\s*\n\s*<", "><", svg)
    return re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\.\d\d)\d+|\s*\n\s*", _shorter, tag[0]), svg).strip()


def _shorter(match: re.Match[str]) -> str:
    return match[1] or " "


@styled
def charts(drawn: Charts, model_styles: Mapping[str, Style]) -> Any:
    """Draw charts side by side in one figure, with one legend below."""
    across = min(len(drawn.charts), 3)
    rows = math.ceil(len(drawn.charts) / across)
    models = list(dict.fromkeys(series.model for chart in drawn.charts for series in chart.series))
    columns = max(1, min(6, int(across * WIDTH / (LETTER * max(map(len, models), default=1) + HANDLE))))
    size = (across * WIDTH, rows * HEIGHT + LINE * math.ceil(len(models) / columns) + 0.1)
    figure = Figure(figsize=size)
    for index, each in enumerate(drawn.charts):
        corner = (index % across * WIDTH, size[1] - (index // across + 1) * HEIGHT)
        axes = _axes(figure, each, model_styles, corner)
        if each.title != each.x.label:
            axes.set_title(_short(each.title, int((WIDTH - LEFT - RIGHT) / 0.066)))
    handles = []
    for style in (model_styles[model] for model in models):
        look = {"color": LIGHT[style.color], "linestyle": _dashes(style), "marker": MARKERS[style.marker]}
        handles.append(Line2D([], [], markersize=3.6, **look))
    figure.legend(handles, [_short(model, 60) for model in models], loc="lower center", ncols=columns, borderpad=0.1)
    return figure


@styled
def chart(drawn: Chart, model_styles: Mapping[str, Style]) -> Any:
    """Draw a single chart, without a title and a legend."""
    figure = Figure(figsize=(WIDTH, HEIGHT - TOP + 0.08))
    _axes(figure, drawn, model_styles, (0, 0))
    return figure


def _short(text: str, width: int) -> str:
    text = plain(text)
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _dashes(style: Style) -> Any:
    return (0, DASHES[style.dash]) if DASHES[style.dash] else "-"


def _axes(figure: Any, drawn: Chart, model_styles: Mapping[str, Style], corner: tuple[float, float]) -> Any:
    """Draw a chart into a figure; its lower left corner, with the labels of the axes, is in inches."""
    width, height = figure.get_size_inches()
    across, up = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    axes = figure.add_axes(
        ((corner[0] + LEFT) / width, (corner[1] + BOTTOM) / height, across / width, up / height),
        xlabel=plain(drawn.x.label),
        ylabel=plain(drawn.y.label),
    )
    if drawn.floor is not None:
        axes.axhline(drawn.floor, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    heights = [point.y for series in drawn.series for point in series.points]
    # A bar that reaches zero would stretch a logarithmic axis.
    lowest = min(heights, default=1.0) / 3 if drawn.y.log else -math.inf
    for series in drawn.series:
        _series(series, axes, model_styles[series.model], lowest)
    axes.margins(0.05)
    for axis, spec, inches in ((axes.xaxis, drawn.x, across), (axes.yaxis, drawn.y, up)):
        ticks = max(3, int(inches * 2.2))
        if spec.log:
            axis.axes.set(**{f"{axis.axis_name}scale": "log"})
            low, high = axis.get_view_interval()
            few = math.log10(high / low) * 3 > ticks + 2
            axis.set_major_locator(LogLocator(subs=(1, 3) if few else (1, 2, 5), numticks=ticks))
        else:
            axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}" if value < 1e4 else f"{value:,.0f}"))
        axis.set_minor_locator(NullLocator())
    return axes


def _series(series: Series, axes: Any, style: Style, lowest: float) -> None:
    x, y = np.array([p.x for p in series.points]), np.array([p.y for p in series.points])
    low = np.array([p.y if p.low is None else max(p.low, lowest) for p in series.points])
    high = np.array([p.y if p.high is None else p.high for p in series.points])
    color = LIGHT[style.color]
    if not series.marked:
        axes.plot(x, y, color=color, linestyle=_dashes(style))
        return
    if (high > low).any():
        axes.vlines(x, low, high, color=color, linewidth=0.8)
    look = {"linestyle": _dashes(style), "markersize": 3.2, "markeredgewidth": 1, "markerfacecolor": color}
    if not series.joined:
        look = {"linestyle": "none", "markersize": 5, "markeredgewidth": 1.2, "markerfacecolor": PAPER}
    axes.plot(x, y, color=color, marker=MARKERS[style.marker], **look)
