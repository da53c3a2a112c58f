"""Figures: charts, densities and samples, drawn by matplotlib for the page, for papers and for the README.

Axes are placed by hand: matplotlib's automatic layouts draw every figure several times.
"""

import io
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any

import numpy as np

from genbench.analysis.labels import plain, slug
from genbench.report.blocks import Chart, Charts, Flow, Gallery, Panel, Report, Series
from genbench.report.formats.palette import DASHES, LIGHT, MARKERS, THEMES, Style, Theme, styles
from genbench.storage import files

SIZES = {False: (3.3, 2.5), True: (2.2, 1.75)}
"""Inches of a chart, and of a small one."""
LEFT, RIGHT, TOP, BOTTOM = 0.55, 0.12, 0.3, 0.42
"""Inches around the axes of a chart."""
LETTER, HANDLE, LINE = 0.062, 0.5, 0.17
"""Inches of a letter in a legend, of the handle before its text, and of the height of a line."""
FLOW_TIMES = (0.0, 0.5, 1.0)
FLOW_ACROSS = 10
TILE = 100
"""Points of a panel of a flow."""
RC: dict[Any, Any] = {
    "font.size": 8,
    "font.family": "sans-serif",
    "svg.fonttype": "none",
    "svg.hashsalt": "genbench",
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.unicode_minus": False,
    "text.parse_math": False,
}


def _styled(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that draws in our style."""

    @wraps(draw)
    def styled(*arguments: Any, **options: Any) -> Any:
        import matplotlib

        with matplotlib.rc_context(RC):
            return draw(*arguments, **options)

    return styled


def write(report: Report, folder: Path) -> list[Path]:
    """Write NAME.png and NAME.svg of every chart and picture to a folder, and return their paths."""
    written = []
    for number, (name, figure) in enumerate(_figures(report, THEMES["light"])):
        for suffix in ("png", "svg"):
            path = folder / f"{slug(name) or number}.{suffix}"
            path = path if path not in written else path.with_stem(f"{path.stem}-{number}")
            files.write(path, encoded(figure, suffix))
            written.append(path)
    return written


def write_charts(drawn: Charts, stem: Path, models: Sequence[str] = ()) -> list[Path]:
    """Write charts as STEM-light.svg and STEM-dark.svg, styles by the order of the models, and return the paths."""
    model_styles = styles([*models, *(series.model for chart in drawn.charts for series in chart.series)])
    paths = {stem.with_name(f"{stem.name}-{name}.svg"): theme for name, theme in THEMES.items()}
    for path, theme in paths.items():
        files.write(path, encoded(charts(drawn, model_styles, theme), "svg"))
    return list(paths)


@_styled
def encoded(figure: Any, suffix: str, dpi: int = 200) -> bytes:
    """Return a figure as the bytes of a file: svg, png or webp."""
    buffer = io.BytesIO()
    metadata = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}.get(suffix)
    options: dict[str, Any] = {"pil_kwargs": {"quality": 70, "method": 4}} if suffix == "webp" else {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a viewer has other fonts
        figure.savefig(buffer, format=suffix, dpi=dpi, metadata=metadata, **options)
    return _small(buffer.getvalue().decode()).encode() if suffix == "svg" else buffer.getvalue()


def adaptive(svg: str) -> str:
    """Return an SVG drawn in the light theme that takes the colors of the dark one where the reader prefers it."""
    light, dark = ([*theme.series, theme.ink, theme.muted, theme.grid, theme.paper] for theme in THEMES.values())
    for index, color in enumerate(light):
        svg = svg.replace(color, f"var(--{index})")
    root, night = ("".join(f"--{i}:{color};" for i, color in enumerate(colors)) for colors in (light, dark))
    style = f"<style>:root{{{root}}}@media(prefers-color-scheme:dark){{:root{{{night}}}}}</style>"
    head, close, rest = svg.partition("<defs>")
    return f"{head}{style}{close}{rest}"


def _small(svg: str) -> str:
    """Drop what a browser does not need: comments, metadata, empty space, digits."""
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<\?xml.*?\?>|<!DOCTYPE.*?>", "", svg, flags=re.DOTALL)
    svg = re.sub(r">\s*\n\s*<", "><", svg)
    return re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\.\d\d)\d+|\s*\n\s*", _shorter, tag[0]), svg).strip()


def _shorter(match: re.Match[str]) -> str:
    return match[1] or " "


def _figures(report: Report, theme: Theme) -> Iterator[tuple[str, Any]]:
    drawn = styles(report.models)
    for block in (block for section in report.sections for block in section.walk()):
        match block:
            case Charts():
                yield block.name, charts(block, drawn, theme)
            case Flow():
                yield block.name, flow(block, drawn, theme)
            case Gallery():
                yield block.name, gallery(block, theme)
            case _:
                pass


@_styled
def charts(drawn: Charts, model_styles: Mapping[str, Style], theme: Theme) -> Any:
    """Draw charts side by side in one figure, with one legend below."""
    width, height = SIZES[drawn.small]
    across = min(len(drawn.charts), 3)
    rows = math.ceil(len(drawn.charts) / across)
    models = list(dict.fromkeys(series.model for chart in drawn.charts for series in chart.series))
    columns = max(1, min(6, int(across * width / (LETTER * max(map(len, models), default=1) + HANDLE))))
    legend = LINE * math.ceil(len(models) / columns) + 0.1
    size = (across * width, rows * height + legend)
    figure = _figure(size, theme)
    for index, each in enumerate(drawn.charts):
        corner = index % across * width, size[1] - (index // across + 1) * height
        _axes(figure, each, model_styles, theme, corner, (width, height))
    handles = [_handle(model_styles[model], theme) for model in models]
    names = [_short(model, 60) for model in models]
    figure.legend(handles, names, loc="lower center", ncols=columns, labelcolor=theme.ink, borderpad=0.1)
    return figure


@_styled
def chart(drawn: Chart, model_styles: Mapping[str, Style], theme: Theme, *, small: bool) -> Any:
    """Draw a single chart, without a title and a legend."""
    width, height = SIZES[small]
    figure = _figure((width, height - TOP + 0.08), theme)
    _axes(figure, drawn, model_styles, theme, (0, 0), (width, height - TOP + 0.08), titled=False)
    return figure


@lru_cache(maxsize=len(LIGHT) * len(DASHES) * len(MARKERS))
@_styled
def key(style: Style) -> str:
    """Return the legend key of a model as SVG."""
    theme = THEMES["light"]
    figure = _figure((0.39, 0.17), theme)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.axis("off")
    handle = _handle(style, theme)
    handle.set_data([0.03, 0.5, 0.97], [0.5, 0.5, 0.5])
    handle.set_markevery([1])
    axes.add_line(handle)
    return adaptive(encoded(figure, "svg").decode())


def _figure(size: tuple[float, float], theme: Theme) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=size, facecolor=theme.paper)


def _short(text: str, width: int) -> str:
    text = plain(text)
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _handle(style: Style, theme: Theme) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=theme.series[style.color], linestyle=_dashes(style), linewidth=1.1,
                  marker=MARKERS[style.marker], markersize=3.6)  # fmt: skip


def _dashes(style: Style) -> Any:
    return (0, DASHES[style.dash]) if DASHES[style.dash] else "-"


def _axes(
    figure: Any,
    drawn: Chart,
    model_styles: Mapping[str, Style],
    theme: Theme,
    corner: tuple[float, float],
    size: tuple[float, float],
    *,
    titled: bool = True,
) -> None:
    """Draw a chart into a part of a figure; corner and size are in inches, the corner is the lower left one."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

    whole, top = figure.get_size_inches(), TOP if titled else 0.08
    place = (corner[0] + LEFT, corner[1] + BOTTOM, size[0] - LEFT - RIGHT, size[1] - BOTTOM - top)
    axes = figure.add_axes((place[0] / whole[0], place[1] / whole[1], place[2] / whole[0], place[3] / whole[1]))
    axes.set(facecolor=theme.paper, xlabel=plain(drawn.x.label), ylabel=plain(drawn.y.label))
    axes.xaxis.label.set_color(theme.ink)
    axes.yaxis.label.set_color(theme.ink)
    axes.tick_params(colors=theme.muted, length=2, pad=2, labelsize=7)
    for name, spine in axes.spines.items():
        spine.set(visible=name in ("left", "bottom"), color=theme.muted)
    axes.grid(color=theme.grid, linewidth=0.5)
    axes.set_axisbelow(True)
    if drawn.floor is not None:
        axes.axhline(drawn.floor, color=theme.muted, linewidth=0.9, linestyle=(0, (4, 3)))
    if drawn.front:
        axes.step(*zip(*drawn.front, strict=True), where="post", color=theme.muted, linewidth=3, alpha=0.35)
    for series in drawn.series:
        _series(series, axes, model_styles[series.model], theme)
    for axis, spec, limits, longest in zip((axes.xaxis, axes.yaxis), (drawn.x, drawn.y), _limits(drawn),
                                           place[2:], strict=True):  # fmt: skip
        side = "x" if axis is axes.xaxis else "y"
        axes.set(**{f"{side}scale": "log" if spec.log else "linear", f"{side}lim": limits})
        ticks = max(3, int(longest * 2.2))
        if spec.log:
            axis.set_ticks(_log_ticks(*limits, ticks + 2))
        else:
            axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: tick_label(value)))
        axis.set_minor_locator(NullLocator())
    if titled and drawn.title != drawn.x.label:
        title = _short(drawn.title, int(place[2] / 0.066))
        axes.set_title(title, loc="left", fontsize=8, fontweight="bold", color=theme.ink)


def _limits(drawn: Chart) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the ranges of both axes: all points with a margin; an interval that reaches to zero stretches no scale."""
    points = [point for series in drawn.series for point in series.points]
    heights = [p.y for p in points] + ([drawn.floor] if drawn.floor is not None else [])
    ends = [end for p in points for end in (p.low, p.high) if end is not None]
    smallest = min(heights, default=1.0) / 3
    heights += [end for end in ends if not drawn.y.log or end >= smallest]
    return _range([p.x for p in points], drawn.x.log, drawn.x.zero), _range(heights, drawn.y.log, drawn.y.zero)


def _range(values: Sequence[float], log: bool, zero: bool) -> tuple[float, float]:
    known = [v for v in values if v > 0] if log else [*values, *([0.0] if zero else [])]
    low, high = (min(known), max(known)) if known else (0.1 if log else 0.0, 1.0)
    if log:
        margin = (high / low) ** 0.06 if high > low else 2.0
        return low / margin, high * margin
    margin = 0.05 * (high - low) or abs(high) / 10 or 1.0
    return (0.0 if zero and low == 0 else low - margin), high + margin


def tick_label(value: float) -> str:
    """Write a tick.

    >>> tick_label(0.5), tick_label(2000.0), tick_label(1e-5)
    ('0.5', '2000', '1e-5')
    """
    return f"{value:.4g}".replace("e-0", "e-").replace("e+0", "e")


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    """Return ticks between two positive numbers: at 1, 2 and 5 times each power of ten if they fit, or at fewer."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [value for k in powers for d in digits if low <= (value := float(f"{d}e{k}")) <= high]
        if len(ticks) <= most:
            return ticks
    return ticks[:: math.ceil(len(ticks) / most)]


def _series(series: Series, axes: Any, style: Style, theme: Theme) -> None:
    x, y = np.array([p.x for p in series.points]), np.array([p.y for p in series.points])
    low = np.array([p.y if p.low is None else p.low for p in series.points])
    high = np.array([p.y if p.high is None else p.high for p in series.points])
    color = theme.series[style.color]
    if not series.marked:
        axes.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)
        axes.plot(x, y, color=color, linewidth=1.1, linestyle=_dashes(style))
        return
    if (high > low).any():
        axes.vlines(x, low, high, color=color, linewidth=0.8)
    line = _dashes(style) if series.joined else "none"
    axes.plot(x, y, color=color, linestyle=line, linewidth=1.1, marker=MARKERS[style.marker],
              markersize=3.2 if series.joined else 5, markeredgewidth=1 if series.joined else 1.2,
              markerfacecolor=color if series.joined else theme.paper)  # fmt: skip


@_styled
def flow(drawn: Flow, model_styles: Mapping[str, Style], theme: Theme) -> Any:
    """Draw the density and some points of every model at three times, one model a column."""
    panels, across = [drawn.data, *drawn.panels], _across(drawn)
    groups, high = math.ceil(len(panels) / across), len(FLOW_TIMES) + 0.3
    figure = _figure((across * TILE / 72, groups * high * TILE / 72), theme)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, across), ylim=(groups * high, 0), facecolor=theme.paper)
    axes.axis("off")
    for index, panel in enumerate(panels):
        left, top = index % across, index // across * high + 0.3
        color = theme.series[model_styles[panel.label].color] if index else theme.ink
        label = _short(panel.label, 22)
        axes.text(left + 0.5, top - 0.08, label, ha="center", fontsize=8, color=theme.ink)
        for row, time in enumerate(FLOW_TIMES):
            if panel.moves or time == 1:
                _tile(panel, time, axes, color, (left, top + row))
    return figure


def flow_width(drawn: Flow) -> int:
    """Return the width at which a flow is shown, in pixels of a screen."""
    return round(1.2 * TILE * _across(drawn))


def _across(drawn: Flow) -> int:
    panels = 1 + len(drawn.panels)
    return math.ceil(panels / math.ceil(panels / FLOW_ACROSS))


def _tile(panel: Panel, time: float, axes: Any, color: str, corner: tuple[float, float]) -> None:
    from matplotlib.colors import to_rgb

    frame, (x, y) = round(time * (len(panel.paths) - 1)), corner
    shade = np.empty((*panel.density.shape[1:], 4))
    shade[..., :3], shade[..., 3] = to_rgb(color), panel.density[frame] / 255 * 0.62
    box = (x + 0.02, x + 0.98, y + 0.98, y + 0.02)
    axes.imshow(shade, extent=box, interpolation="bilinear", aspect="auto")
    points = panel.paths[frame] / 255 * 0.96 + 0.02
    axes.scatter(x + points[:, 0], y + points[:, 1], s=0.8, color=color, linewidths=0)


@_styled
def gallery(drawn: Gallery, theme: Theme) -> Any:
    """Draw grids of image samples side by side."""
    across = min(len(drawn.grids), 3)
    rows = math.ceil(len(drawn.grids) / across)
    figure = _figure((across * 2.3, rows * 1.35), theme)
    for index, (name, pixels) in enumerate(drawn.grids):
        corner = (index % across / across, 1 - (index // across + 1) / rows)
        axes = figure.add_axes((corner[0] + 0.005, corner[1], 1 / across - 0.01, 0.85 / rows))
        axes.axis("off")
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(_short(name, 40), loc="left", fontsize=7, color=theme.ink)
    return figure
