"""The terminal: tables, records, the status of runs, and comparisons."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table as RichTable
from rich.text import Text

from genbench.analysis.compare import Change, Comparison
from genbench.analysis.labels import distinct, plain
from genbench.analysis.statistics import half_width
from genbench.report.blocks import Cell, Column, Row, Table
from genbench.report.formats.cells import MARKS, cell_text, heading, panels, used_marks
from genbench.results.frames import protocol
from genbench.results.status import Cell as RunStatus
from genbench.results.status import Folder
from genbench.sweeps.execution.progress import duration

STYLES = {"best": "bold", "tie": "italic"}
SIGNS = {"best": "* {}", "tie": "~ {}"}
"""Marks that remain visible without styles, as in a pipe."""
LABEL, GAP = 32, 2
"""Characters of a label, at most, and between two columns."""
SHOWN = 30
"""Cells of a suite that are listed; more are counted."""


def show(tables: Iterable[Table], console: Console) -> None:
    """Print tables; columns beyond the width of the console continue below."""
    for table in tables:
        console.print(_table(table, console.width))
        console.print()


def _table(table: Table, width: int) -> Group:
    names = distinct((plain(row.label) for row in table.rows), LABEL)
    parts: list[RichTable | Text] = [_text(table.title, "bold")]
    for columns, rows in panels(table, _cell, width, lambda label: names[plain(label)], GAP):
        drawn = RichTable(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
        drawn.add_column(_text(table.head), no_wrap=True)
        for column in columns:
            drawn.add_column(_text(heading(column)), justify="right", no_wrap=True)
        for row in rows:
            cells = [_text(_cell(c), STYLES.get(c.mark, "")) for c in row.cells]
            drawn.add_row(_text(names[plain(row.label)]), *cells, style="dim" if row.floor else "")
        parts.append(drawn)
    below = [_text(f"[{i}] {note}") for i, note in enumerate(table.notes, 1)]
    below += [_text(line, "dim") for line in table.legend]
    below += [Text(SIGNS[mark].format(f"{MARKS[mark]}."), STYLES[mark]) for mark in used_marks(table)]
    return Group(*parts, *below)


def _cell(cell: Cell) -> str:
    return cell_text(cell, SIGNS, plain)


def _text(text: str, style: str = "") -> Text:
    return Text(plain(text), style)


def print_record(record: Mapping[str, Any], path: Path, console: Console) -> None:
    """Print a record: each value with direction, floor and protocol, then cost and path."""
    labels, cost = record["labels"], record["provenance"]["cost"]
    print_rows(record["results"], f"{labels['model']} on {labels['data']}, seed {record['spec']['seed']}", console)
    if cost:
        console.print(
            f"{cost['parameters']:,.0f} parameters; trained in {duration(cost['train_seconds'])} "
            f"({cost['steps_per_second']:.4g} steps/s, {cost['train_peak_mib']:.0f} MiB), "
            f"measured in {duration(cost['evaluate_seconds'])} ({cost['evaluate_peak_mib']:.0f} MiB)",
            highlight=False,
        )
    if note := origin(record["provenance"]["data"]):
        console.print(_text(note))
    _line(console, f"kept in {path}")


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
    if any(_half(row) is not None for row in main):
        legend.append("±: half the 95 % interval over test points or images; seeds vary in addition.")
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
    label = heading(Column(row["metric"], row["better"] if row["value"] is not None else "none"))
    half = "" if (found := _half(row)) is None else f" ± {_number(found)}"
    return Row(label, (Cell(text="-" if row["value"] is None else _number(row["value"]) + half),
                       Cell(text=_number(row.get("floor")))))  # fmt: skip


def print_cells(cells: Sequence[RunStatus], jobs: int, console: Console) -> None:
    """Print the state of each cell of a suite, one per line, and the time that the remaining ones will take."""
    for cell in cells[:SHOWN]:
        left = "" if cell.state == "done" else f"  about {duration(cell.seconds)}" if cell.seconds is not None else ""
        note = f"  ({cell.note})" if cell.note else ""
        _line(console, f"{cell.state:<8} {cell.name}{left}{note}")
    if len(cells) > SHOWN:
        _line(console, f"and {len(cells) - SHOWN} more")
    counts = Counter(cell.state for cell in cells)
    _line(console, ", ".join(f"{count} {state}" for state, count in counts.items()))
    left = [cell.seconds for cell in cells if cell.state not in ("done", "running")]
    known = [seconds for seconds in left if seconds is not None]
    if known:
        # Cells without an estimate count as much as the mean of the others.
        total = sum(known) * len(left) / len(known)
        _line(console, f"about {duration(total / min(jobs, len(left)))} with {jobs} at a time")


def counted(records: int, prerequisites: int) -> str:
    """Return the number of records, and of those of models that were only trained, if there are any."""
    return f"{records} records" + (f", {prerequisites} prerequisites" if prerequisites else "")


def print_folder(folder: Folder, path: Path, console: Console) -> None:
    """Print the status of a results folder: number of records, and one line for everything that needs attention."""
    _line(console, f"{path}: {counted(folder.records, folder.prerequisites)}")
    groups = [
        ("running", [f"{run}: {owner}" for run, owner in folder.running.items()]),
        ("interrupted", folder.begun),
        ("failed", [f"{run}: {reason}" for run, reason in folder.failed.items()]),
        ("stale", [f"{count} x {reason}" for reason, count in folder.stale.items()]),
        ("unknown", [f"{count} x {reason}" for reason, count in folder.unknown.items()]),
        ("source changed, version unchanged", [f"{name}: {count} x" for name, count in folder.changed.items()]),
        ("damaged", folder.damaged),
    ]
    for title, notes in groups:
        for line in notes[:SHOWN]:
            _line(console, f"{title}: {line}")
        if len(notes) > SHOWN:
            _line(console, f"{title}: {len(notes) - SHOWN} more (--json)")


def print_comparison(comparisons: Sequence[Comparison], unpaired: Sequence[str], console: Console) -> None:
    """Print the differences of two sets of runs."""
    for part in comparisons:
        show([_differences(part)], console)
        for kind, changes in (("spec", part.spec), ("made by", part.code)):
            for change in changes:
                _line(console, f"{kind}: {_change(change)}")
        for line in part.only:
            _line(console, line)
    for line in unpaired:
        _line(console, line)
    _tests(comparisons, console)


def print_models(part: Comparison, console: Console) -> None:
    """Print how two models compare: a table, then a sentence for each metric."""
    show([_differences(part)], console)
    names = [label.rpartition(" on ")[0] for label in (part.one, part.other)]
    said = [value.sentence(*names) for value in part.values]
    said += [f"Their budgets differ: {_change(c)}." for c in part.spec if c.name.startswith(("plan.", "evaluation."))]
    for line in [*said, *part.only]:
        console.print(_text(line))
    _tests([part], console)


def _differences(part: Comparison) -> Table:
    title = part.one if part.one == part.other else f"{part.one}  ->  {part.other}"
    columns = tuple(map(Column, ("first", "second", "change", "95 % interval", "p", "verdict")))
    rows = []
    for value in part.values:
        found = value.paired
        interval = "" if found.low is None else f"{found.low:.2g} .. {found.high:.2g}"
        p = "" if value.p is None else f"{value.p:.2g}"
        numbers = (f"{value.one:.3g}", f"{value.other:.3g}", f"{found.mean:.3g}", interval, p, value.verdict)
        rows.append(Row(value.metric, tuple(Cell(text=text) for text in numbers)))
    return Table(title, columns, tuple(rows), head="metric")


def _tests(comparisons: Sequence[Comparison], console: Console) -> None:
    values = [value for part in comparisons for value in part.values]
    tests = sorted({value.paired.test for value in values if value.p is not None})
    if tests:
        seeds = sorted({value.paired.pairs for value in values})
        over = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        console.print(
            f"[dim]Change: second minus first over {over} common seeds, which share evaluation noise and "
            f"held-out data. p: {' or '.join(tests)}, Holm's correction over all values of a comparison; interval: "
            f"of a single value, by the same test.[/dim]",
            highlight=False,
        )


def _change(change: Change) -> str:
    return f"{change.name} {change.one!r} -> {change.other!r}"


def _line(console: Console, text: str) -> None:
    console.print(plain(text), soft_wrap=True, highlight=False, markup=False)


def _half(row: Mapping[str, Any]) -> float | None:
    error = (row.get("details") or {}).get("standard_error")
    return half_width(error, row["n"]) if error is not None and row["n"] > 1 else None


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
