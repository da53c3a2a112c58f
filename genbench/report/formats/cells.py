"""What the text formats share: how a cell is written, and how a wide table is split into panels."""

import re
from collections.abc import Callable, Iterator, Mapping

import pandas as pd

from genbench.report.blocks import Cell, Column, Row, Table
from genbench.report.statistics import format_mean

ARROWS = {"lower": "↓", "higher": "↑"}
MARKS = {
    "best": "better than every other model of the column",
    "tie": "the best mean of the column, or not significantly different from it",
}


_CONTROL = re.compile(
    r"\x1b\][^\x07\x1b]*(\x07|\x1b\\)?"  # a command to the terminal, such as a new title
    r"|\x1b\[[0-?]*[ -/]*[@-~]|\x1b.?"  # colors, movements of the cursor
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # other controls, reading directions
)


def plain(text: str) -> str:
    """Return a text that cannot control a terminal: on one line, without escapes and other control characters.

    >>> plain("cfm\\x1b[31m red\\x1b]0;title\\x07\\nnext")
    'cfm red next'
    """
    return _CONTROL.sub("", re.sub(r"[\t\n\v\f\r\x85\u2028\u2029]+", " ", text))


def guarded(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose texts no spreadsheet takes for a formula: an apostrophe precedes = + - @; numbers stay."""
    return frame.map(lambda cell: f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell)


_FORMULA = re.compile(r"[\s]*[=+\-@]|[\t\r]")


def used_marks(table: Table) -> list[str]:
    """Return the marks that occur in a table."""
    return [mark for mark in MARKS if any(cell.mark == mark for row in table.rows for cell in row.cells)]


def heading(column: Column) -> str:
    """Return the title of a column, with an arrow in the better direction."""
    return f"{column.title} {ARROWS[column.better]}" if column.better in ARROWS else column.title


def cell_text(cell: Cell, wrap: Mapping[str, str], escape: Callable[[str], str] = str, note: str = "[{}]") -> str:
    """Write a cell.

    Args:
        cell: the cell.
        wrap: format string of each mark.
        escape: applied to the text.
        note: format string of the numbers of its notes.
    """
    text = escape(cell.text if cell.mean is None else format_mean(cell.mean, cell.error))
    marked = wrap.get(cell.mark, "{}").format(text)
    return f"{marked} {note.format(','.join(map(str, cell.notes)))}".strip() if cell.notes else marked


def panels(
    table: Table, text: Callable[[Cell], str], width: int, label: Callable[[str], str] = str, gap: int = 3
) -> Iterator[tuple[list[Column], list[Row]]]:
    """Split a table into panels of consecutive columns, each at most so wide, with at least one column in each.

    Args:
        table: the table.
        text: how a cell is written.
        width: of a panel, in characters.
        label: how a row label is written.
        gap: characters between two columns.
    """
    first = max([len("model"), *(len(label(row.label)) for row in table.rows)]) + gap
    widths = [
        max([len(heading(column)), *(len(text(row.cells[i])) for row in table.rows)]) + gap
        for i, column in enumerate(table.columns)
    ]
    start = 0
    while start < len(widths):
        stop = start + 1
        while stop < len(widths) and first + sum(widths[start : stop + 1]) + 1 <= width:
            stop += 1
        yield list(table.columns[start:stop]), [Row(r.label, r.cells[start:stop], r.floor) for r in table.rows]
        start = stop
