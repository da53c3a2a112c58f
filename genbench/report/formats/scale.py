"""Scales: the range of an axis and its ticks, the same on the page and in the figures."""

import math
from collections.abc import Sequence

from genbench.report.blocks import Axis, Chart


class Scale:
    """The range of an axis, and its ticks.

    Args:
        axis: the axis.
        values: to include.
        max_ticks: number of ticks, at most.
    """

    def __init__(self, axis: Axis, values: Sequence[float], max_ticks: int) -> None:
        self.log = axis.log
        known = [v for v in values if v > 0] if axis.log else [*values, *([0.0] if axis.zero else [])]
        low, high = (min(known), max(known)) if known else (0.0, 1.0)
        low, high = (math.log10(low), math.log10(high)) if axis.log else (low, high)
        # A margin on both sides, which centers a single value.
        margin = 0.05 * (high - low) or (0.3 if axis.log else abs(high) / 10 or 1.0)
        self.low, self.high = 0.0 if axis.zero and low == 0 else low - margin, high + margin
        self.ticks = (log_ticks if axis.log else linear_ticks)(self.low, self.high, max_ticks)

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value shown."""
        return (10.0**self.low, 10.0**self.high) if self.log else (self.low, self.high)

    def position(self, value: float) -> float:
        """Return the position of a value along the axis, from 0 to 1; 0 if it has no logarithm."""
        if self.log:
            value = math.log10(value) if value > 0 else self.low
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


def scales(chart: Chart, max_ticks: int) -> tuple[Scale, Scale]:
    """Return the scales of both axes of a chart."""
    points = [point for series in chart.series for point in series.points]
    heights = [y for p in points for y in (p.y, p.low, p.high) if y is not None]
    floor = [chart.floor] if chart.floor is not None else []
    if chart.y.log and points:
        # An interval that reaches down to zero does not stretch the axis.
        smallest = min([point.y for point in points] + floor)
        heights = [y for y in heights if y >= smallest / 3]
    return Scale(chart.x, [point.x for point in points], max_ticks), Scale(chart.y, heights + floor, max_ticks)


def tick_label(value: float) -> str:
    """Write a tick.

    >>> tick_label(0.5), tick_label(2000.0), tick_label(1e-5)
    ('0.5', '2000', '1e-5')
    """
    return f"{value:.4g}".replace("e-0", "e-").replace("e+0", "e")


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Return ticks between two powers of ten: at 1, 2 and 5 times each if they fit, otherwise at 1 and 3, or at 1.

    >>> log_ticks(0, 2, 7)
    [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
    """
    powers = range(math.floor(low), math.ceil(high) + 1)
    found: list[float] = []
    for digits in ((1, 2, 5), (1, 3), (1,)):
        found = [float(f"{d}e{k}") for k in powers for d in digits if low <= math.log10(d) + k <= high]
        if len(found) <= most:
            return found
    return found[:: math.ceil(len(found) / most)]


def linear_ticks(low: float, high: float, most: int) -> list[float]:
    """Return equally spaced round numbers.

    >>> linear_ticks(0, 1, 6)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    unit = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(unit * s for s in (1, 2, 2.5, 5, 10) if (high - low) / (unit * s) <= most)
    return [round(k * step, 12) for k in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]
