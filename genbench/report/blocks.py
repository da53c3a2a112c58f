"""Blocks: the content of a report, independent of its format.

A report consists of sections; a section has a title, blocks in reading order, and subsections. Every format renders the
same blocks: paragraphs, lists, tables, charts, pictures of samples, and the origins of numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8

from genbench.analysis.ranking import Mark


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Args:
        mean: mean over seeds; None if there is no value.
        half: half its 95 % interval over seeds; None with a single seed.
        seeds: number of seeds.
        text: shown instead of a number: "-", "failed (2)", or empty if not measured.
        notes: numbers of the notes below the table that belong to the cell.
        mark: "best" if significantly better than all others of the column; "tie" if it is the best mean or does not
            differ significantly from it.
        values: (seed, value) pairs.
        rank: rank of the mean among the models of the column, from 1; None if the column has no direction.
    """

    mean: float | None = None
    half: float | None = None
    seeds: int = 0
    text: str = ""
    notes: tuple[int, ...] = ()
    mark: Mark | Literal[""] = ""
    values: tuple[tuple[int, float], ...] = ()
    rank: int | None = None


@dataclass(frozen=True)
class Column:
    """A column: its title, which direction is better ("lower", "higher" or "none"), and the protocol of its values."""

    title: str
    better: str = "none"
    protocol: str = ""


@dataclass(frozen=True)
class Row:
    """A row: its label, one cell for each column, and whether it is the floor, which is never ranked."""

    label: str
    cells: tuple[Cell, ...]
    floor: bool = False


@dataclass(frozen=True)
class Table:
    """A table, with sentences below it and notes that cells refer to by their number, from 1. The floor comes first.

    Its head is the title of the column of labels. A table of details, such as the numbers behind a chart, is left to
    the page of all numbers.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    legend: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    detail: bool = False
    head: str = "model"


class Point(NamedTuple):
    """A point of a chart, and the interval of its y if known."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Series:
    """The points of one model: markers with error bars if marked, otherwise a line with a band."""

    model: str
    points: tuple[Point, ...]
    joined: bool = True
    marked: bool = True


@dataclass(frozen=True)
class Axis:
    """An axis: its label, whether it is logarithmic, and whether it includes zero."""

    label: str
    log: bool = False
    zero: bool = False


@dataclass(frozen=True)
class Chart:
    """A chart.

    Args:
        title: title of the chart.
        x: horizontal axis.
        y: vertical axis.
        series: the models.
        floor: None without one, or if it is not positive and the axis is logarithmic.
        front: corners of the Pareto front, from left to right.
    """

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    floor: float | None = None
    front: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Charts:
    """A group of charts, side by side. Its name is used for files and anchors, and unique within a report."""

    name: str
    title: str
    charts: tuple[Chart, ...]
    caption: str
    small: bool = False


@dataclass(frozen=True, eq=False)
class Panel:
    """Samples of one model in the plane. Positions and densities are quantized to 0..255 within the frame of the flow.

    Args:
        label: the model.
        seed: seed of the run.
        paths: positions at equally spaced times from 0 to 1; a single time, 1, for models without trajectories.
        density: density of a larger sample at the same times, rows from the top: square root of the density, 255 at the
            maximum of the data.
    """

    label: str
    seed: int
    paths: UInt8[np.ndarray, "times points 2"]
    density: UInt8[np.ndarray, "times size size"]

    @property
    def moves(self) -> bool:
        """Whether the panel has trajectories."""
        return len(self.paths) > 1


@dataclass(frozen=True, eq=False)
class Flow:
    """Trajectories and densities of all models on one data set, beside the data.

    Args:
        name: used for files and anchors, unique within a report.
        frame: left, right, bottom and top of every panel, in raw units.
        data: real data.
        panels: the models.
        caption: what is shown.
        missing: models that could not be drawn, with reasons.
    """

    name: str
    frame: tuple[float, float, float, float]
    data: Panel
    panels: tuple[Panel, ...]
    caption: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Gallery:
    """Image samples: a gray or RGB grid per label, real data first, and models without samples with the reasons.

    Its name is used for files and anchors, and unique within a report; zoom is screen pixels per image pixel.
    """

    name: str
    grids: tuple[tuple[str, UInt8[np.ndarray, "height width *channels"]], ...]
    zoom: int
    caption: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origin:
    """Where the numbers of one model on one data set come from.

    Args:
        model: its label in tables.
        runs: (seed, name of the run).
        facts: (name, value) pairs in reading order.
        command: shell command that reproduces the first run; empty if there is none.
        spec: JSON of the first run's spec; the other specs differ in their seed.
    """

    model: str
    runs: tuple[tuple[int, str], ...]
    facts: tuple[tuple[str, str], ...]
    command: str
    spec: str


Origins = tuple[Origin, ...]
"""The origins of all numbers on a data set."""


@dataclass(frozen=True)
class List:
    """A bullet list below an introductory line."""

    lead: str
    items: tuple[str, ...]


Block = str | List | Table | Charts | Flow | Gallery | Origins


@dataclass(frozen=True)
class Section:
    """A section of a report: its title, its blocks in order, and its subsections."""

    title: str
    blocks: tuple[Block, ...] = ()
    sections: tuple["Section", ...] = ()

    def walk(self) -> Iterator[Block]:
        """Yield all blocks of this section and its subsections, in reading order."""
        yield from self.blocks
        for section in self.sections:
            yield from section.walk()

    def tables(self) -> Iterator[Table]:
        """Yield all tables."""
        yield from (block for block in self.walk() if isinstance(block, Table))


@dataclass(frozen=True)
class Report:
    """A report: title, one line of summary, notes on how to read it, labels of all models, and sections."""

    title: str
    summary: str
    reading: tuple[str, ...]
    models: tuple[str, ...]
    sections: tuple[Section, ...]
