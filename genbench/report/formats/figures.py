"""Figures for a paper: every chart and picture of a report as PNG and SVG, in the style of the page."""

import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genbench.errors import ConfigError
from genbench.report.blocks import Chart, Charts, Flow, Gallery, Panel, Report, Series
from genbench.report.formats.palette import DASHES, LIGHT, MARKERS, Style, styles
from genbench.report.formats.scale import scales, tick_label
from genbench.storage import files

RC_PARAMS: dict[Any, Any] = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "grid.color": "#e6e6e0",
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "svg.hashsalt": "genbench",
}
FLOW_TIMES = 5
TITLE_WIDTH = 8
"""Characters of a line of a title, per tick of the axis below."""
LETTER, HANDLE, LINE = 0.062, 0.5, 0.17
"""Inches of a letter in a legend, of the handle before its text, and of the height of a line."""


def write(report: Report, folder: Path) -> list[Path]:
    """Write NAME.png and NAME.svg of every chart and picture to a folder, and return their paths.

    Raises:
        ConfigError: if matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ConfigError("figures need matplotlib: pip install 'genbench[figures]'") from error
    written = []
    with matplotlib.rc_context(RC_PARAMS):
        for name, figure in _figures(report):
            for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
                path = folder / f"{name.replace(' ', '-').replace('/', '-')}.{suffix}"
                files.replace(path, _saving(figure, suffix, metadata))
                written.append(path)
    return written


def _saving(figure: Any, suffix: str, metadata: Mapping[str, None]) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        figure.savefig(path, format=suffix, dpi=200, bbox_inches="tight", metadata=metadata)

    return save


def _figures(report: Report) -> Iterator[tuple[str, Any]]:
    model_styles = styles(report.models)
    for section in report.sections:
        for block in section.walk():
            match block:
                case Charts():
                    yield block.name, _charts(block, model_styles)
                case Flow():
                    yield block.name, _flow(block, model_styles)
                case Gallery():
                    yield block.name, _gallery(block)
                case _:
                    pass


def _figure(rows: int, columns: int, width: float, height: float) -> tuple[Any, Sequence[Any]]:
    """Return a figure and a flat list of its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def _charts(drawn: Charts, model_styles: Mapping[str, Style]) -> Any:
    across = min(len(drawn.charts), 4 if drawn.small else 2)
    rows = math.ceil(len(drawn.charts) / across)
    figure, axes_list = _figure(rows, across, *((1.9, 1.5) if drawn.small else (3.3, 2.4)))
    for axes in axes_list[len(drawn.charts) :]:
        axes.remove()
    for chart, axes in zip(drawn.charts, axes_list, strict=False):
        _chart(chart, axes, model_styles, 4 if drawn.small else 7)
    handles = {}
    for axes in axes_list[: len(drawn.charts)]:
        handles |= {name: handle for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    if len(handles) > 1 and any(len(chart.series) > 1 for chart in drawn.charts):
        width, height = figure.get_size_inches()
        columns = max(1, min(4, int(width / (LETTER * max(map(len, handles)) + HANDLE))))
        figure.set_size_inches(width, height + LINE * math.ceil(len(handles) / columns))
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns)
    return figure


def _chart(chart: Chart, axes: Any, model_styles: Mapping[str, Style], ticks: int) -> None:
    labelled: set[str] = set()
    for series in chart.series:
        _series(series, axes, model_styles[series.model], "" if series.model in labelled else series.model)
        labelled.add(series.model)
    if chart.floor is not None:
        axes.axhline(chart.floor, color="#6b7078", linewidth=0.9, linestyle=(0, (4, 3)))
    across, up = scales(chart, ticks)
    axes.set(xscale="log" if across.log else "linear", yscale="log" if up.log else "linear")
    axes.set(xlim=across.range, ylim=up.range)
    axes.set_xticks(across.ticks, [tick_label(tick) for tick in across.ticks])
    axes.set_yticks(up.ticks, [tick_label(tick) for tick in up.ticks])
    axes.minorticks_off()
    axes.set(xlabel=chart.x.label, ylabel=chart.y.label)
    if chart.title != chart.x.label:
        title = textwrap.fill(chart.title, TITLE_WIDTH * ticks, break_on_hyphens=False)
        axes.set_title(title, loc="left", fontsize=8, fontweight="bold")


def _series(series: Series, axes: Any, style: Style, name: str) -> None:
    x, y = np.array([p.x for p in series.points]), np.array([p.y for p in series.points])
    low = np.array([p.y if p.low is None else p.low for p in series.points])
    high = np.array([p.y if p.high is None else p.high for p in series.points])
    color, line = LIGHT[style.color], (0, DASHES[style.dash]) if DASHES[style.dash] else "-"
    if not series.marked:
        axes.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)
        axes.plot(x, y, color=color, linewidth=1.1, linestyle=line, label=name)
        return
    fill = color if series.joined else "white"
    axes.errorbar(
        x,
        y,
        yerr=[y - low, high - y],
        color=color,
        linestyle=line if series.joined else "none",
        linewidth=1.1,
        elinewidth=0.8,
        marker=MARKERS[style.marker],
        markersize=3.2 if series.joined else 4.8,
        markerfacecolor=fill,
        label=name,
    )


def _flow(drawn: Flow, model_styles: Mapping[str, Style]) -> Any:
    panels = [drawn.data, *drawn.panels]
    figure, axes_list = _figure(len(panels), FLOW_TIMES, 1.3, 1.3)
    for axes in axes_list:
        axes.set(xticks=[], yticks=[], xlim=(0, 255), ylim=(255, 0), aspect="equal", frame_on=False)
    for row, panel in enumerate(panels):
        color = LIGHT[model_styles[panel.label].color] if row else "#1d1f23"
        axes = axes_list[row * FLOW_TIMES : (row + 1) * FLOW_TIMES]
        axes[0].set_ylabel(panel.label, fontsize=7)
        for index, place in enumerate(axes):
            if row == 0:
                place.set_title(f"t = {index / (FLOW_TIMES - 1):g}", fontsize=7)
            if panel.moves or index == FLOW_TIMES - 1:
                _frame(panel, round(index * (len(panel.paths) - 1) / (FLOW_TIMES - 1)), place, color)
    return figure


def _frame(panel: Panel, time: int, axes: Any, color: str) -> None:
    from matplotlib.colors import to_rgb

    shade = np.empty((*panel.density.shape[1:], 4))
    shade[..., :3], shade[..., 3] = to_rgb(color), panel.density[time] / 255 * 0.62
    axes.imshow(shade, extent=(0, 255, 255, 0), interpolation="bilinear")
    axes.scatter(*panel.paths[time].T, s=1.2, color=color, linewidths=0)


def _gallery(drawn: Gallery) -> Any:
    across = min(len(drawn.grids), 3)
    figure, axes_list = _figure(math.ceil(len(drawn.grids) / across), across, 2.2, 1.2)
    for axes in axes_list:
        axes.axis("off")
    for (name, pixels), axes in zip(drawn.grids, axes_list, strict=False):
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(name, loc="left", fontsize=7)
    return figure
