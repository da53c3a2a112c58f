"""The summary of a suite, which `genbench sweep` prints: fewer than 40 lines of 80 columns."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from genbench.analysis.labels import distinct
from genbench.analysis.leaderboard import leaderboard
from genbench.analysis.suite_results import SuiteResults
from genbench.report.blocks import Cell, Column, Row, Table
from genbench.report.formats.cells import heading, panels
from genbench.report.formats.leaderboard import LINES, lines
from genbench.report.formats.terminal import GAP, show
from genbench.report.tables import comparison_tables

METRICS = 6
"""Metrics of the first table, at most."""
NAME = 16
"""Characters of a model or data set in it."""


def print_suite(suite: SuiteResults, folder: Path, console: Console) -> None:
    """Print the best model by each metric, the leaderboard, and where the rest is."""
    found = leaderboard([suite], variants=True)
    board = lines(found, LINES - 2) if found.boards else []
    headlines = {board.data: board.metric for board in found.boards}
    best = best_by_metric(comparison_tables(suite.values, suite.failures), headlines, console.width)
    if best is not None and len(best.rows) + len(best.legend) + 5 + len(board) < LINES:
        show([best], console)
    if board:
        console.print("\n".join(board), highlight=False, markup=False)
    text = f"All tables and times: {folder / 'table.md'}, {folder / 'cost.md'}"
    console.print(text, soft_wrap=True, highlight=False, markup=False)


def best_by_metric(tables: Sequence[Table], headlines: Mapping[str, str], width: int) -> Table | None:
    """Return the model of the best mean by each metric but the headline, with a column for each data set that fits.

    Args:
        tables: one for each data set.
        headlines: {data set: its headline metric}.
        width: characters of a line of the table.
    """
    found: dict[str, dict[str, Cell]] = {}
    for table in tables:
        names = distinct((row.label for row in table.rows), NAME)
        for index, column in enumerate(table.columns):
            for row in table.rows if column.title != headlines.get(table.title) else ():
                if (cell := row.cells[index]).rank == 1:
                    text = f"{names[row.label]} {cell.mean:.3g}{'*' * (cell.mark == 'best')}"
                    found.setdefault(heading(column), {})[table.title] = Cell(text=text)
    if not found:
        return None
    titles = distinct((table.title for table in tables), NAME)
    rows = (Row(metric, tuple(cells.get(data, Cell()) for data in titles)) for metric, cells in found.items())
    whole = Table("Best mean", tuple(map(Column, titles.values())), tuple(rows)[:METRICS], head="metric")
    columns, shown = next(panels(whole, lambda cell: cell.text, width, gap=GAP))
    legend = []
    if any("*" in cell.text for row in shown for cell in row.cells):
        legend.append("*: better than every other model by paired tests.")
    left = [f"{len(titles) - len(columns)} other data sets"] if len(columns) < len(titles) else []
    left += [f"{len(found) - METRICS} other metrics"] if len(found) > METRICS else []
    if left:
        legend.append(f"Not shown: {', '.join(left)}.")
    return replace(whole, columns=tuple(columns), rows=tuple(shown), legend=tuple(legend))
