"""Inline SVG: charts that work without JavaScript and take their colors from the page."""

from collections.abc import Callable, Mapping
from html import escape

from genbench.report.blocks import Chart, Point, Series
from genbench.report.formats.palette import DASHES, Style
from genbench.report.formats.scale import scales, tick_label

MARKERS = {
    "o": "M{x0} {y}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0Z",
    "s": "M{x0} {y0}H{x1}V{y1}H{x0}Z",
    "^": "M{x} {y0}L{x1} {y1}H{x0}Z",
    "D": "M{x} {y0}L{x1} {y}L{x} {y1}L{x0} {y}Z",
    "v": "M{x} {y1}L{x1} {y0}H{x0}Z",
    "P": "M{x0} {y}H{x1}M{x} {y0}V{y1}",
}


def marker(kind: str, x: float, y: float, size: float = 3.4) -> str:
    """Return the path of a marker."""
    size *= {"s": 0.9, "D": 1.15, "^": 1.1, "v": 1.1}.get(kind, 1.0)
    around = {"x": x, "y": y, "x0": x - size, "x1": x + size, "y0": y - size, "y1": y + size, "r": size, "d": 2 * size}
    return MARKERS[kind].format(**{name: _number(value) for name, value in around.items()})


def key(style: Style) -> str:
    """Return the legend key of a model: a piece of its line with its marker."""
    line = f'<path class="l" d="M1 6H27"{_dash(style)}/>'
    return (
        f'<svg class="key s c{style.color}" viewBox="0 0 28 12" width="28" height="12" aria-hidden="true">'
        f'{line}<path class="m" d="{marker(_kind(style), 14, 6)}"/></svg>'
    )


def chart(drawn: Chart, styles: Mapping[str, Style], *, small: bool = False) -> str:
    """Return a chart as an SVG element that scales with its container.

    Args:
        drawn: the chart.
        styles: of its models.
        small: whether it is drawn with larger letters and fewer ticks.
    """
    width, height, ticks = (240, 170, 4) if small else (380, 250, 7)
    left, right, top, bottom = (58, 14, 8, 42) if small else (50, 10, 8, 38)
    horizontal, vertical = scales(drawn, ticks)

    def across(x: float) -> float:
        return left + horizontal.position(x) * (width - right - left)

    def up(y: float) -> float:
        return height - bottom - vertical.position(y) * (height - bottom - top)

    parts = []
    for tick in horizontal.ticks:
        x = _number(across(tick))
        parts.append(f'<path class="g" d="M{x} {top}V{height - bottom}"/>')
        parts.append(f'<text x="{x}" y="{height - bottom + 14}" text-anchor="middle">{tick_label(tick)}</text>')
    for tick in vertical.ticks:
        y = up(tick)
        parts.append(f'<path class="g" d="M{left} {_number(y)}H{width - right}"/>')
        parts.append(f'<text x="{left - 5}" y="{_number(y + 3.5)}" text-anchor="end">{tick_label(tick)}</text>')
    if drawn.floor is not None:
        y = _number(up(drawn.floor))
        parts.append(f'<path class="f" d="M{left} {y}H{width - right}"><title>floor: {drawn.floor:.4g}</title></path>')
    parts += [_series(series, styles[series.model], across, up) for series in drawn.series]
    middle, foot = (left + width - right) / 2, height - 4
    parts.append(
        f'<text class="a" x="{_number(middle)}" y="{foot}" text-anchor="middle">{escape(drawn.x.label)}</text>'
    )
    turned = f'transform="rotate(-90)" x="{_number(-(top + height - bottom) / 2)}" y="11"'
    parts.append(f'<text class="a" {turned} text-anchor="middle">{escape(drawn.y.label)}</text>')
    label = escape(f"{drawn.title}: {drawn.y.label} vs. {drawn.x.label}")
    return f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _series(series: Series, style: Style, across: Callable[[float], float], up: Callable[[float], float]) -> str:
    parts = []
    places = [(across(p.x), up(p.y), p) for p in series.points]
    if series.joined and not series.marked:
        above = [f"{_number(x)} {_number(up(p.high if p.high is not None else p.y))}" for x, _, p in places]
        below = [f"{_number(x)} {_number(up(p.low if p.low is not None else p.y))}" for x, _, p in reversed(places)]
        parts.append(f'<path class="b" d="M{"L".join([*above, *below])}Z"/>')
    if series.joined:
        line = "L".join(f"{_number(x)} {_number(y)}" for x, y, _ in places)
        parts.append(f'<path class="l" d="M{line}"{_dash(style)}/>')
    if series.marked:
        parts += [_mark(p, x, y, style, up, series.joined) for x, y, p in places]
    return f'<g class="s c{style.color}" data-model="{escape(series.model)}">{"".join(parts)}</g>'


def _mark(point: Point, x: float, y: float, style: Style, up: Callable[[float], float], joined: bool) -> str:
    bar = ""
    if point.low is not None and point.high is not None:
        bar = f'<path class="e" d="M{_number(x)} {_number(up(point.low))}V{_number(up(point.high))}"/>'
    size = 3.0 if joined else 4.6
    title = f"<title>{escape(point.tooltip)}</title>" if point.tooltip else ""
    return f'<g>{title}{bar}<path class="{"m" if joined else "m one"}" d="{marker(_kind(style), x, y, size)}"/></g>'


def _kind(style: Style) -> str:
    return list(MARKERS)[style.marker]


def _dash(style: Style) -> str:
    strokes = " ".join(f"{length:g}" for length in DASHES[style.dash])
    return f' stroke-dasharray="{strokes}"' if strokes else ""


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
