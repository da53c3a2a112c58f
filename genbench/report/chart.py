"""Charts: what is drawn, without how. One description becomes inline SVG on the page, and PNG and SVG for a paper."""

from dataclasses import dataclass
from typing import NamedTuple


class Point(NamedTuple):
    """A point, the interval of its y where one is known, and what is said of it."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    said: str = ""


@dataclass(frozen=True)
class Series:
    """The points of one model: marks with bars where they are marked, a line with a band where they are not."""

    model: str
    points: tuple[Point, ...]
    joined: bool = True
    marked: bool = True


@dataclass(frozen=True)
class Axis:
    """An axis: its label, whether it is logarithmic, and whether it shows zero, as amounts do."""

    label: str
    log: bool = False
    zero: bool = False


@dataclass(frozen=True)
class Chart:
    """One chart.

    Args:
        title: over it.
        x: horizontal axis.
        y: vertical axis.
        series: what is drawn.
        floor: height of the floor; None where there is none, or where a logarithm has no place for it.
    """

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    floor: float | None = None


@dataclass(frozen=True)
class Charts:
    """Charts that belong together, side by side.

    Args:
        name: for files and anchors, unique within a report.
        title: over all of them.
        charts: the charts.
        caption: what they show, and what lines, bands and bars mean.
        small: whether there is so little to read off that they can be small.
    """

    name: str
    title: str
    charts: tuple[Chart, ...]
    caption: str
    small: bool = False
