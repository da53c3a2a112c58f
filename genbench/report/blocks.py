"""Blocks: the content of a report, independent of its format.

A report consists of sections; a section has a title, blocks in reading order, and subsections. Every format renders the
same blocks: paragraphs, tables, charts and pictures.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Args:
        mean: mean over seeds; None if there is no value.
        half: half its 95 % interval over seeds; None with a single seed.
        text: shown instead of a number: "-", "failed (2)", or empty if not measured.
        notes: numbers of the notes below the table that belong to the cell.
        letters: models of a column that share a letter were not separated; empty if nothing was tested.
        sign: "°" for a value that is at the floor or better.
        aside: whether the cell is shown in parentheses, because it is not compared with others.
        values: (seed, value) pairs.
    """

    mean: float | None = None
    half: float | None = None
    text: str = ""
    notes: tuple[int, ...] = ()
    letters: str = ""
    sign: str = ""
    aside: bool = False
    values: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Column:
    """A column: its title, which direction is better ("lower", "higher" or "none"), and the protocol of its values."""

    title: str
    better: str = "none"
    protocol: str = ""


@dataclass(frozen=True)
class Row:
    """A row: its label, one cell for each column, and whether it is the floor, which is never compared."""

    label: str
    cells: tuple[Cell, ...]
    floor: bool = False


def text_row(label: str, *texts: str) -> Row:
    """Return a row of texts."""
    return Row(label, tuple(Cell(text=text) for text in texts))


@dataclass(frozen=True)
class Table:
    """A table, with sentences and numbered notes (from 1) below it. The floor is the first row.

    `head` is the title of the column of labels.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    legend: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
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
    """An axis: its label, and whether it is logarithmic."""

    label: str
    log: bool = False


@dataclass(frozen=True)
class Chart:
    """A chart of models, with the floor if its axis can show it."""

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    floor: float | None = None


@dataclass(frozen=True)
class Charts:
    """A group of charts, side by side."""

    title: str
    charts: tuple[Chart, ...]
    caption: str


@dataclass(frozen=True)
class Picture:
    """A PNG file with a picture of samples or densities, readable on light and on dark paper."""

    path: Path
    title: str
    caption: str


Block = str | Table | Charts | Picture


@dataclass(frozen=True)
class Method:
    """One model on one data set: its values by seed, its pictures, and where the numbers come from.

    Args:
        shown: its tables, charts and pictures.
        runs: (seed, name of the run).
        command: shell command that reproduces the first run; empty if there is none.
        spec: JSON of the first run's spec; the other specs differ in their seed.
    """

    model: str
    shown: tuple[Block, ...]
    runs: tuple[tuple[int, str], ...]
    facts: tuple[tuple[str, str], ...]
    command: str
    spec: str


@dataclass(frozen=True)
class Section:
    """A section of a report: its blocks in reading order, then its subsections; a data set also has methods."""

    title: str
    blocks: tuple[Block, ...] = ()
    sections: tuple["Section", ...] = ()
    methods: tuple[Method, ...] = ()

    def walk(self) -> Iterator[Block]:
        """Yield all blocks of this section and its subsections, in reading order."""
        yield from self.blocks
        for section in self.sections:
            yield from section.walk()

    def tables(self) -> Iterator[Table]:
        yield from (block for block in self.walk() if isinstance(block, Table))


@dataclass(frozen=True)
class Report:
    """A report.

    Args:
        headlines: {data set: the metric by which its models are compared}.
    """

    title: str
    summary: str
    reading: tuple[str, ...]
    sections: tuple[Section, ...]
    headlines: Mapping[str, str] = field(default_factory=dict)
