"""The table: the one form in which every comparison, study and verdict reaches a reader, whatever it is rendered as."""

from dataclasses import dataclass
from typing import Literal

from genbench.report.statistics import Mark


@dataclass(frozen=True)
class Cell:
    """What a table says of one model in one column.

    Args:
        mean: mean over seeds; None where there is no value.
        error: its standard error; None with a single seed.
        seeds: how many seeds the mean is over.
        text: what stands instead of a number ("-", "failed (2)", or nothing: not measured).
        notes: numbers of the notes that belong to the cell.
        mark: "best" if it is better than all others of the column by a paired test; a "tie" if it is the best mean or
            is not told apart from it.
        values: each seed with its value.
        rank: place of the mean among the models of the column, from 1; None where no direction is better.
    """

    mean: float | None = None
    error: float | None = None
    seeds: int = 0
    text: str = ""
    notes: tuple[int, ...] = ()
    mark: Mark | Literal[""] = ""
    values: tuple[tuple[int, float], ...] = ()
    rank: int | None = None


@dataclass(frozen=True)
class Column:
    """A column: its title, which direction of its values is better ("lower", "higher", "none"), how it was measured."""

    title: str
    better: str = "none"
    protocol: str = ""


@dataclass(frozen=True)
class Row:
    """A row: its label, one cell a column, and whether it is the floor, which no model is compared with."""

    label: str
    cells: tuple[Cell, ...]
    floor: bool = False


@dataclass(frozen=True)
class Table:
    """A finished table, ready for any renderer.

    Args:
        title: what the table is about.
        columns: its columns.
        rows: its rows, the floor first.
        legend: sentences under the table, one a line.
        notes: what the numbers in cells refer to, from 1.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    legend: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
