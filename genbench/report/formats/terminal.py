"""The terminal: tables, records, and the summary of a suite."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from statistics import fmean
from typing import Any, cast

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table as RichTable
from rich.text import Text

from genbench.analysis.labels import distinct, plain
from genbench.analysis.means import format_mean, mean_and_half
from genbench.analysis.values import SuiteResults, group_by, half_interval, headlines
from genbench.report.blocks import Cell, Column, Row, Table, text_row
from genbench.report.formats.writers import cell_text, grid, heading, main_columns, panels
from genbench.report.tables import NO_REASON, comparison_tables, distinct_reasons
from genbench.results.frames import cost_of, doubtful_density, protocol
from genbench.results.names import metric_names, named
from genbench.results.reader import Run
from genbench.runs.record_types import Record
from genbench.sweeps.progress import duration

LABEL, GAP = 32, 2
"""Characters of a label, at most, and between two columns."""
TABLES, COLUMNS = 4, 4
"""Tables of a suite that are printed, and their columns."""


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
    used = {number for row in table.rows for cell in row.cells for number in cell.notes}
    notes = "; ".join(f"[{i}] {note}" for i, note in enumerate(table.notes, 1) if i in used)
    below = [styled(notes)] if notes else []
    below += [styled(line, "dim") for line in table.legend]
    return Group(*parts, *below)


def _cell(cell: Cell) -> str:
    return cell_text(cell, escape=plain).replace(" ± ", "±")


def print_suite(suite: SuiteResults, folder: Path, console: Console) -> None:
    """Print the main columns of the first tables of a suite, and where all others are."""
    chosen = headlines([suite])
    tables = comparison_tables(suite.values, suite.failures)[:TABLES]
    show((main_columns(table, chosen.get(table.title), COLUMNS) for table in tables), console)
    print_line(console, f"all columns and tables: {folder / 'table.md'}")
    print_line(console, f"next: {shlex.join(['genbench', 'report', '--results', str(folder.parent)])}")


def styled(text: str, style: str = "") -> Text:
    """Return an untrusted text as rich prints it: without markup and control characters."""
    return Text(plain(text), style)


def print_runs(records: Sequence[Mapping[str, Any]], console: Console, *, full: bool = False) -> None:
    """Print the values of a run, or the means over runs that differ in their seeds, then their cost.

    Args:
        full: whether to print protocols, the curve of quality against NFE, training speed and peak memory, too.
    """
    records = named(records)
    seeds = [record["spec"]["seed"] for record in records]
    title = f"{_title(records[0])}, {f'seed {seeds[0]}' if len(seeds) == 1 else f'seeds {_ranges(seeds)}'}"
    print_rows([row for record in records for row in record["results"]], title, console, full=full)
    costs = [cost for record in records if (cost := cost_of(cast(Record, record)))]
    if costs:
        trained = fmean(cost["train_seconds"] for cost in costs)
        said = f"{costs[0]['parameters']:,.0f} parameters; trained in {duration(trained)}"
        said += " each" if len(costs) > 1 else ""
        said += " with its prerequisites" if "total_train_seconds" in costs[0] else ""
        measured = [cost["evaluate_seconds"] for cost in costs if "evaluate_seconds" in cost]
        said += f", measured in {duration(fmean(measured))}" if measured else ""
        speed, peak = costs[0]["steps_per_second"], costs[0]["peak_mib"]
        print_line(console, said + (f" ({speed:.4g} steps/s, {peak:.0f} MiB)" if full else ""))
    if note := origin(records[0]["provenance"]["data"]):
        console.print(styled(note))


def _ranges(numbers: Sequence[int]) -> str:
    """Return whole numbers as the option --seeds has them.

    >>> _ranges([0, 1, 2, 5])
    '0-2,5'
    """
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def _title(record: Mapping[str, Any]) -> str:
    """Return the model and the data set of a record, with the setting that decides most about the method."""
    model, data = record["labels"]["model"], record["labels"]["data"]
    stated = Run(cast(Record, record), model, None).stated
    return f"{model} {stated} on {data}" if stated else f"{model} on {data}"


def origin(data: Mapping[str, Any]) -> str:
    """Return the source of data that is not a checksummed original, from its provenance; otherwise an empty string."""
    if data.get("original", True):
        return ""
    note = f"; {data['note']}" if "note" in data else ""
    return f"data: {data.get('source')}, sha256 {data['sha256'][:12]}{note}"


def print_rows(rows: Sequence[Mapping[str, Any]], title: str, console: Console, *, full: bool = False) -> None:
    """Print measured rows of the main solver, of several runs as means over them."""
    shown = metric_names({row["metric"] for row in rows})
    rows = [{**row, "metric": shown[row["metric"]]} for row in rows]
    main = group_by((row for row in rows if row["point"] == "main"), itemgetter("metric"))
    several = max(map(len, main.values()), default=1) > 1
    columns, measured = [Column("mean" if several else "value"), Column("floor")], [*map(_row, main.values())]
    legend = _legend(main, full)
    if any(line.cells[-1].text for line in measured):
        columns.append(Column("against the floor"))
        legend += ("Against the floor: by value - floor of each seed.",)
    measured = [replace(line, cells=line.cells[: len(columns)]) for line in measured]
    table = Table(title, tuple(columns), tuple(measured), legend, head="metric")
    curve = [row for row in rows if row["point"] == "curve" and row["value"] is not None] if full else []
    points = group_by(curve, itemgetter("metric", "nfe"))
    headed = {row["metric"]: Column(row["metric"], row["better"]) for row in curve}
    lines = tuple(
        text_row(f"{nfe:g}", *(_number(_mean(points.get((metric, nfe), []), "value")) for metric in headed))
        for nfe in sorted({row["nfe"] for row in curve})
    )
    title = f"By NFE ({curve[0]['solver']})" if curve else ""
    show([table, *([Table(title, tuple(headed.values()), lines, head="NFE")] if curve else [])], console)


def _legend(main: Mapping[str, Sequence[Mapping[str, Any]]], full: bool) -> tuple[str, ...]:
    """Return the reasons of missing values, doubts, the protocols on request, and what ± means."""
    texts: dict[str, list[str]] = {}
    for metric, rows in main.items():
        known = [row for row in rows if row["value"] is not None]
        if missing := [row["reason"] or NO_REASON for row in rows if row["value"] is None]:
            part = f"without {len(missing)} of {len(rows)} seeds: " if known else ""
            texts.setdefault(part + distinct_reasons(missing), []).append(metric)
        for text in filter(None, dict.fromkeys(map(protocol if full else doubtful_density, known))):
            more = f", n={known[0]['n']}" if full and "n=" not in text else ""
            texts.setdefault(text + more, []).append(metric)
    legend = [f"{', '.join(metrics)}: {text}" for text, metrics in texts.items()]
    if max(map(len, main.values()), default=1) > 1:
        legend.append("±: half the 95 % interval over seeds.")
    elif any(half_interval(first) is not None for first, *_ in main.values()):
        legend.append("±: half the 95 % interval of this evaluation; models trained with other seeds vary in addition.")
    return tuple(legend)


def _row(rows: Sequence[Mapping[str, Any]]) -> Row:
    """Return the row of a metric: its value or mean, with half its interval, its floor, and how they compare."""
    known = [row["value"] for row in rows if row["value"] is not None]
    better = rows[0]["better"] if known else "none"
    label, floor = heading(Column(rows[0]["metric"], better)), _mean(rows, "floor")
    if not known:
        return text_row(label, "-", _number(floor), "")
    mean, half = (known[0], half_interval(rows[0])) if len(rows) == 1 else mean_and_half(known)
    text = _number(mean) if half is None else format_mean(mean, half)
    if len(known) < len(rows):  # the mean of the other seeds is not the mean of the model
        return text_row(label, f"({text})", _number(floor), "")
    if any(row["floor"] is None for row in rows):
        return text_row(label, text, _number(floor), "")
    above, half = mean_and_half([row["value"] - row["floor"] for row in rows])
    return text_row(label, text, _number(floor), _verdict(above, half, better))


def _verdict(excess: float, half: float | None, better: str) -> str:
    """Return how a mean compares with the floor, by the interval of value - floor over seeds; empty for one seed.

    >>> _verdict(0.25, 0.05, "lower"), _verdict(0.01, 0.05, "lower"), _verdict(0.25, None, "lower")
    ('worse', 'not separated', '')
    """
    if half is None or better not in ("lower", "higher"):
        return ""
    if abs(excess) <= half:
        return "not separated"
    return "worse" if (excess > 0) == (better == "lower") else "better"


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    known = [row[name] for row in rows if row.get(name) is not None]
    return fmean(known) if known else None


def print_line(console: Console, text: str) -> None:
    """Print an untrusted text on one line, however long, so that it can be copied."""
    console.print(plain(text), soft_wrap=True, highlight=False, markup=False)


def _number(value: float | None) -> str:
    return "" if value is None else format_mean(value)
