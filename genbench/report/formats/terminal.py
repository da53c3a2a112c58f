"""The terminal: tables, records, and the summary of a suite."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table as RichTable
from rich.text import Text

from genbench.analysis.labels import distinct, plain
from genbench.analysis.leaderboard import leaderboard
from genbench.analysis.means import format_mean
from genbench.analysis.values import SuiteResults, half_interval, read_values
from genbench.report.blocks import Cell, Column, Row, Table
from genbench.report.formats.writers import cell_text, grid, heading, panels
from genbench.report.leaderboard_table import METHODS, TASKS, leaderboard_table
from genbench.report.tables import comparison_tables
from genbench.results.frames import cost_of, protocol
from genbench.results.reader import Run
from genbench.runs.record_types import Record
from genbench.sweeps.progress import duration

LABEL, GAP = 32, 2
"""Characters of a label, at most, and between two columns."""


def show(tables: Iterable[Table], console: Console) -> None:
    """Print tables; columns beyond the width of the console continue below."""
    for table in tables:
        console.print(_table(table, console.width))
        console.print()


def _table(table: Table, width: int) -> Group:
    names = distinct((plain(row.label) for row in table.rows), LABEL)
    parts: list[RichTable | Text] = [styled(table.title, "bold")]
    for panel in panels(table, _cell, width + GAP, lambda label: names[plain(label)], GAP):  # no gap after the last
        head, *body = grid(panel, _cell, plain)
        drawn = RichTable(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
        for number, title in enumerate(head):
            drawn.add_column(Text(title), justify="right" if number else "left", no_wrap=True)
        for row, (label, *cells) in zip(panel.rows, body, strict=True):
            drawn.add_row(Text(names[label]), *map(Text, cells), style="dim" if row.floor else "")
        parts.append(drawn)
    notes = "; ".join(f"[{i}] {note}" for i, note in enumerate(table.notes, 1))
    below = [styled(notes)] if notes else []
    below += [styled(line, "dim") for line in table.legend]
    return Group(*parts, *below)


def _cell(cell: Cell) -> str:
    return cell_text(cell, escape=plain).replace(" ± ", "±")


def print_suite(suite: SuiteResults, folder: Path, console: Console) -> None:
    """Print the leaderboard of a suite, and where the rest is."""
    found = leaderboard([suite], most=TASKS, variants=True)
    if found.boards or found.failed:
        show([leaderboard_table(found, METHODS)], console)
    print_line(console, f"All tables: {folder / 'table.md'}")


def styled(text: str, style: str = "") -> Text:
    """Return an untrusted text as rich prints it: without markup and control characters."""
    return Text(plain(text), style)


def print_record(record: Mapping[str, Any], path: Path, console: Console) -> None:
    """Print a record: each value with direction, floor and protocol, then cost and path."""
    cost = cost_of(cast(Record, record))
    print_rows(record["results"], f"{_title(record)}, seed {record['spec']['seed']}", console)
    if cost:
        parameters = f"{cost['parameters']:,.0f} parameters"
        speed = f"{cost['steps_per_second']:.4g} steps/s, {cost['train_peak_mib']:.0f} MiB"
        seconds = record["provenance"]["training"]["cost"]["train_seconds"]
        print_line(console, f"{parameters}; trained in {duration(seconds)} ({speed})")
    if "evaluate_seconds" in cost:
        memory = f"{cost['evaluate_peak_mib']:.0f} MiB"
        print_line(console, f"measured in {duration(cost['evaluate_seconds'])} ({memory})")
    if note := origin(record["provenance"]["data"]):
        console.print(styled(note))
    print_line(console, f"kept in {path}")


def _title(record: Mapping[str, Any]) -> str:
    """Return the model and the data set of a record, with the setting that decides most about the method."""
    model, data = record["labels"]["model"], record["labels"]["data"]
    stated = Run(cast(Record, record), model, None).stated
    return f"{model} {stated} on {data}" if stated else f"{model} on {data}"


def print_means(records: Sequence[Record], console: Console) -> None:
    """Print the means over seeds of the main solver, if there are several seeds."""
    if len({record["spec"]["seed"] for record in records}) > 1:
        show(comparison_tables(read_values(records)), console)


def origin(data: Mapping[str, Any]) -> str:
    """Return where data that is not a checksummed original comes from, by its provenance; otherwise an empty string."""
    if data.get("original", True):
        return ""
    note = f"; {data['note']}" if "note" in data else ""
    return f"data: {data.get('source')}, sha256 {data['sha256'][:12]}{note}"


def print_rows(rows: Sequence[Mapping[str, Any]], title: str, console: Console) -> None:
    """Print measured rows: those of the main solver, their protocols, then the curve of quality against NFE."""
    main = [row for row in rows if row["point"] == "main"]
    protocols: dict[str, list[str]] = {}
    for row in main:
        text = row["reason"] if row["value"] is None else protocol(row) or ""
        stated = row["value"] is None or "n=" in text
        protocols.setdefault(text if stated else f"{text}, n={row['n']}", []).append(row["metric"])
    legend = [f"{', '.join(metrics)}: {text}" for text, metrics in protocols.items()]
    if any(half_interval(row) is not None for row in main):
        legend.append("±: half the 95 % interval of this evaluation, over its samples, test points or paths; models")
        legend[-1] += " trained with other seeds vary in addition."
    table = Table(title, (Column("value"), Column("floor")), tuple(map(_row, main)), tuple(legend), head="metric")
    curve = [row for row in rows if row["point"] == "curve" and row["value"] is not None]
    values = {(row["metric"], row["nfe"]): row["value"] for row in curve}
    columns = {row["metric"]: Column(row["metric"], row["better"]) for row in curve}
    points = tuple(
        Row(f"{nfe:g}", tuple(Cell(text=_number(values.get((metric, nfe)))) for metric in columns))
        for nfe in sorted({row["nfe"] for row in curve})
    )
    title = f"By number of evaluations ({curve[0]['solver']})" if curve else ""
    show([table, *([Table(title, tuple(columns.values()), points, head="NFE")] if curve else [])], console)


def _row(row: Mapping[str, Any]) -> Row:
    value, known = row["value"], row["value"] is not None
    label = heading(Column(row["metric"], row["better"] if known else "none"))
    half = half_interval(row)
    text = "-" if not known else _number(value) if half is None else format_mean(value, half)
    return Row(label, (Cell(text=text), Cell(text=_number(row.get("floor")))))


def print_line(console: Console, text: str) -> None:
    """Print an untrusted text on one line, however long, so that it can be copied."""
    console.print(plain(text), soft_wrap=True, highlight=False, markup=False)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
