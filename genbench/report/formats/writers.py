"""Write a table as lines of text and as Markdown, and means in full precision as CSV."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from genbench.analysis.labels import guarded, plain, shared_words
from genbench.analysis.means import format_mean, mean_and_error
from genbench.analysis.values import Failure, Value, group_by
from genbench.report.blocks import Cell, Column, Row, Table
from genbench.report.tables import ONE_EVALUATION

if TYPE_CHECKING:
    import pandas as pd

ARROWS = {"lower": "↓", "higher": "↑"}
COLUMNS = ("data", "model", "metric", "better", "point", "step", "solver", "n", "protocol", "original", "nfe", "value")
COLUMNS += ("standard_error", "seeds", "floor", "reason", "failed_runs")
"""Columns of a table of means."""
LONG = 60
"""Characters of a label above which settings that all models share are stated below the table instead."""


def heading(column: Column) -> str:
    """Return the title of a column, with an arrow in the better direction."""
    return f"{column.title} {ARROWS[column.better]}" if column.better in ARROWS else column.title


def cell_text(cell: Cell, escape: Callable[[str], str] = str) -> str:
    """Write a cell, with the numbers of its notes in brackets."""
    parts = (escape(number(cell)), cell.letters, f"[{','.join(map(str, cell.notes))}]" if cell.notes else "")
    return " ".join(filter(None, parts))


def number(cell: Cell) -> str:
    """Write the text or number of a cell with its sign; in parentheses if it is not compared with others."""
    text = cell.text if cell.text or cell.mean is None else format_mean(cell.mean, cell.half)
    return f"({text})" if cell.aside else f"{text}{cell.sign}"


def grid(table: Table, text: Callable[[Cell], str], escape: Callable[[str], str] = str) -> list[list[str]]:
    """Return the texts of a table, the headings first; labels and headings are escaped."""
    head = [table.head, *map(heading, table.columns)]
    return [[escape(title) for title in head], *([escape(row.label), *map(text, row.cells)] for row in table.rows)]


def panels(
    table: Table, text: Callable[[Cell], str], width: int, label: Callable[[str], str] = str, gap: int = 3
) -> Iterator[Table]:
    """Split a table into panels of consecutive columns, each at most `width` characters wide but for single columns.

    Args:
        text: how a cell is written.
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
        yield columns_of(table, range(start, stop))
        start = stop


def columns_of(table: Table, kept: Sequence[int]) -> Table:
    """Return a table with these of its columns."""
    rows = tuple(Row(row.label, tuple(row.cells[i] for i in kept), row.floor) for row in table.rows)
    return replace(table, columns=tuple(table.columns[i] for i in kept), rows=rows)


def main_columns(table: Table, headline: str | None, most: int) -> Table:
    """Return a table with the columns that matter most: the headline metric, then those that compare models.

    Its legend has no line on protocols, and none on the errors of single evaluations unless all columns are kept.
    """
    titles = {column.title for column in table.columns}
    legend = [line for line in table.legend if not titles.issuperset(line.partition(": ")[0].split(", "))]
    if len(table.columns) > most:
        legend = [line for line in legend if not line.startswith(ONE_EVALUATION)]

    def matters(index: int) -> tuple[bool, bool, bool]:
        compared = any(row.cells[index].letters for row in table.rows)
        floor = any(row.floor and row.cells[index].mean is not None for row in table.rows)
        return table.columns[index].title.partition(" (")[0] != headline, not compared, not floor

    kept = columns_of(table, sorted(range(len(table.columns)), key=matters)[:most])
    return replace(kept, legend=tuple(legend))


def markdown(table: Table, *, width: int = 120) -> str:
    """Write a table; columns beyond the width continue below, and settings that all of its long labels share."""
    if any(len(row.label) > LONG for row in table.rows):
        shared, short = shared_words(row.label for row in table.rows if not row.floor)
        rows = tuple(replace(row, label=short.get(row.label, row.label)) for row in table.rows)
        table = replace(table, rows=rows, legend=(f"All models: {shared}.", *table.legend) if shared else table.legend)

    def text(cell: Cell) -> str:
        return cell_text(cell, _markdown)

    lines = [f"## {_markdown(table.title)}", ""]
    for panel in panels(table, text, width, _markdown):
        head, *body = grid(panel, text, _markdown)
        widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
        rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        for first, *rest in [head, rule, *body]:
            cells = [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(rest, widths[1:], strict=True))]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    below = [f"- [{i}] {_markdown(note)}" for i, note in enumerate(table.notes, 1)]
    below += [f"- {_markdown(line)}" for line in table.legend]
    return "\n".join([*lines, *below]) + "\n"


_MARKUP = re.compile(r"[`<|\\]|!(?=\[)|\](?=[(\[:])")


def _markdown(text: str) -> str:
    """Return an untrusted text on one line, in which nothing is HTML, code, an image, a link, or the end of a cell."""
    return _MARKUP.sub(r"\\\g<0>", plain(text))


def means(values: Sequence[Value], failures: Sequence[Failure] = ()) -> "pd.DataFrame":
    """Return one row for each model, data set, metric and point; failed runs of a model have a row without a metric."""
    import pandas as pd

    rows = []
    names = ("data", "model", "metric", "better", "point", "step", "solver", "n", "protocol", "original")
    groups = group_by(
        values,
        lambda v: (
            (v.model, v.data, v.metric, v.point, v.solver, v.protocol, v.n, v.step)
            + ((v.nfe,) if v.point == "curve" else ())
        ),
    )
    for same in groups.values():
        row: dict[str, Any] = {name: getattr(same[0], name) for name in names} | {"failed_runs": 0}
        for name in ("nfe", "value", "floor"):
            known = [number for v in same if (number := getattr(v, name)) is not None]
            mean, error = mean_and_error(known) if known else (None, None)
            row |= {name: mean} | ({"standard_error": error, "seeds": len(known)} if name == "value" else {})
        rows.append(row | {"reason": "; ".join(dict.fromkeys(v.reason for v in same if v.reason))})
    for (data, model), failed in group_by(failures, lambda f: (f.data, f.model)).items():
        reason = "; ".join(dict.fromkeys(f.reason for f in failed))
        rows.append({"data": data, "model": model, "reason": reason, "failed_runs": len(failed)})
    whole, real = ("n", "seeds", "step"), ("nfe", "value", "standard_error", "floor")
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(whole, "Int64") | dict.fromkeys(real, float))


def csv(table: "pd.DataFrame") -> str:
    """Write a frame in full precision; texts take one line, without control characters, and are never formulas."""
    safe = table.map(lambda cell: guarded(plain(cell)) if isinstance(cell, str) else cell)
    return safe.to_csv(index=False, lineterminator="\n")
