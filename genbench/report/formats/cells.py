"""Cells as text, and wide tables split into panels: shared by the text formats."""

from collections.abc import Callable, Iterator, Mapping

from genbench.analysis.means import format_mean
from genbench.report.blocks import Cell, Column, Row, Table

ARROWS = {"lower": "↓", "higher": "↑"}
MARKS = {
    "best": "better than every other model of the column",
    "tie": "the best mean of the column, or not significantly different from it",
}


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
    text = escape(cell.text if cell.mean is None else format_mean(cell.mean, cell.half))
    marked = wrap.get(cell.mark, "{}").format(text)
    return f"{marked} {note.format(','.join(map(str, cell.notes)))}".strip() if cell.notes else marked


def panels(
    table: Table, text: Callable[[Cell], str], width: int, label: Callable[[str], str] = str, gap: int = 3
) -> Iterator[tuple[list[Column], list[Row]]]:
    """Split a table into panels of consecutive columns, each at most so wide, with at least one column in each.

    Args:
        table: the table.
        text: how a cell is written.
        width: characters of a line of a panel.
        label: how a row label is written.
        gap: characters between two columns.
    """
    first = max([len(table.head), *(len(label(row.label)) for row in table.rows)]) + gap
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
