"""The terminal: tables, records, the status of runs, and comparisons."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.table import Table as RichTable
from rich.text import Text

from genbench.analysis.compare import Change, Comparison
from genbench.analysis.labels import plain
from genbench.analysis.statistics import LEVEL, POWER
from genbench.report.blocks import Cell, Table
from genbench.report.formats.cells import MARKS, cell_text, heading, panels, used_marks
from genbench.results.frames import protocol
from genbench.results.status import Cell as RunStatus
from genbench.results.status import Folder
from genbench.sweeps.execution.progress import duration

DIRECTIONS = {"lower": "lower is better", "higher": "higher is better", "none": ""}
STYLES = {"best": "bold", "tie": "italic"}
SIGNS = {"best": "* {}", "tie": "~ {}"}
"""Marks that remain visible without styles, as in a pipe."""


def show(tables: Iterable[Table], console: Console) -> None:
    """Print tables; columns beyond the width of the console continue below."""
    for table in tables:
        console.print(_table(table, console.width), end="\n\n")


def _table(table: Table, width: int) -> Group:
    parts = []
    for index, (columns, rows) in enumerate(panels(table, _cell, width, plain)):
        drawn = RichTable(title=_text(table.title, "bold") if index == 0 else None, title_justify="left")
        drawn.add_column("model", no_wrap=True)
        for column in columns:
            drawn.add_column(_text(heading(column)), justify="right", no_wrap=True)
        for row in rows:
            cells = [_text(_cell(c), STYLES.get(c.mark, "")) for c in row.cells]
            drawn.add_row(_text(row.label), *cells, style="dim" if row.floor else "", end_section=row.floor)
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
            f"{cost['parameters']:,.0f} parameters, trained in {duration(cost['train_seconds'])} "
            f"({cost['steps_per_second']:.4g} steps/s, peak {cost['train_peak_mib']:.0f} MiB), "
            f"measured in {duration(cost['evaluate_seconds'])} (peak {cost['evaluate_peak_mib']:.0f} MiB)"
        )
    if warning := not_original(record["provenance"]["data"]):
        _line(console, warning)
    _line(console, f"kept in {path}")


def not_original(data: Mapping[str, Any]) -> str:
    """Return a warning if data is not the checksummed original, by its provenance; otherwise an empty string."""
    if data.get("original", True):
        return ""
    note = f"; {data['note']}" if "note" in data else ""
    return f"data: not the checksummed original ({data.get('source')}, sha256 {data['sha256'][:8]}{note})"


def print_rows(rows: Sequence[Mapping[str, Any]], title: str, console: Console) -> None:
    """Print measured rows: those of the main solver in full, then the curve of quality against NFE."""
    main = [row for row in rows if row["point"] == "main"]
    table = RichTable(title=_text(title), title_justify="left", header_style="bold", show_lines=False)
    for name in ("metric", "value", "floor", "direction", "protocol"):
        table.add_column(name, justify="right" if name in ("value", "floor") else "left", overflow="fold")
    for row in main:
        if row["value"] is None:
            table.add_row(_text(row["metric"]), "-", "", "", _text(row["reason"], "dim"))
        else:
            text = protocol(row) or ""
            text = text if "n=" in text else f"{text}, n={row['n']}"
            error = "" if _error(row) is None else f" ± {_number(_error(row))}"
            numbers = _number(row["value"]) + error, _number(row["floor"])
            table.add_row(_text(row["metric"]), *numbers, DIRECTIONS[row["better"]], _text(text))
    console.print(table)
    if any(_error(row) is not None for row in main):
        console.print("±: standard error within this run, over its test points or images; seeds vary in addition")
    curve = [row for row in rows if row["point"] == "curve" and row["value"] is not None]
    if not curve:
        return
    budgets = sorted({row["nfe"] for row in curve})
    table = RichTable(title=_text(f"vs. NFE ({curve[0]['solver']})"), title_justify="left", header_style="bold")
    table.add_column("metric")
    for nfe in budgets:
        table.add_column(f"{nfe:g}", justify="right")
    values = {(row["metric"], row["nfe"]): row["value"] for row in curve}
    for metric in sorted({row["metric"] for row in curve}):
        table.add_row(_text(metric), *(_number(values.get((metric, nfe))) for nfe in budgets))
    console.print(table)


def print_cells(cells: Sequence[RunStatus], jobs: int, console: Console) -> None:
    """Print the state of each cell of a suite, one per line, and the time that the remaining ones will take."""
    for cell in cells:
        left = "" if cell.state == "done" else f"  about {duration(cell.seconds)}" if cell.seconds is not None else ""
        note = f"  ({cell.note})" if cell.note else ""
        _line(console, f"{cell.state:<8} {cell.name}{left}{note}")
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
    for title, lines in groups:
        for line in lines:
            _line(console, f"{title}: {line}")


def print_comparison(comparisons: Sequence[Comparison], unpaired: Sequence[str], console: Console) -> None:
    """Print the differences of two sets of runs."""
    for part in comparisons:
        console.print(_differences(part))
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
    console.print(_differences(part))
    names = [label.rpartition(" on ")[0] for label in (part.one, part.other)]
    lines = [value.sentence(*names) for value in part.values]
    lines += [f"Their budgets differ: {_change(c)}." for c in part.spec if c.name.startswith(("plan.", "evaluation."))]
    for line in [*lines, *part.only]:
        _line(console, line)
    _tests([part], console)


def _differences(part: Comparison) -> RichTable:
    title = part.one if part.one == part.other else f"{part.one}  ->  {part.other}"
    table = RichTable(title=_text(title), title_justify="left", header_style="bold")
    for name in ("metric", "first", "second", "difference", "95 % interval", "seeds", "p", "detectable", "verdict"):
        table.add_column(name, justify="left" if name in ("metric", "verdict") else "right")
    for value in part.values:
        found = value.paired
        error = f" ± {found.error:.2g}" if found.error else ""
        interval = "" if found.low is None else f"{found.low:.3g} .. {found.high:.3g}"
        p = "" if value.p is None else f"{value.p:.2g}"
        detectable = f"{value.detectable:.2g}" if value.detectable else ""
        numbers = (f"{value.one:.5g}", f"{value.other:.5g}", f"{found.mean:.3g}{error}", interval)
        table.add_row(_text(value.metric), *numbers, str(found.pairs), p, detectable, value.verdict)
    return table


def _tests(comparisons: Sequence[Comparison], console: Console) -> None:
    tests = sorted({v.paired.test for part in comparisons for v in part.values if v.p is not None})
    if tests:
        console.print(
            f"[dim]Differences are second minus first over common seeds, which share evaluation noise and held-out "
            f"data. p: {' or '.join(tests)}, Holm's correction over all values of a comparison; interval: of a single "
            f"value, by the same test. detectable: difference detected at {100 * LEVEL:g} % in a family of this size "
            f"with {100 * POWER:g} % power, if any.[/dim]"
        )


def _change(change: Change) -> str:
    return f"{change.name} {change.one!r} -> {change.other!r}"


def _line(console: Console, text: str) -> None:
    console.print(plain(text), soft_wrap=True, highlight=False, markup=False)


def _error(row: Mapping[str, Any]) -> float | None:
    return (row.get("details") or {}).get("standard_error")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
