"""Inventories and comparisons as people read them."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from genbench.report.compare import Change, Comparison
from genbench.report.statistics import LEVEL, POWER
from genbench.results.status import Cell, Folder
from genbench.sweeps.progress import duration


def print_cells(cells: Sequence[Cell], jobs: int) -> None:
    """Print a line a cell, and what is left to do."""
    console = _stdout()
    for cell in cells:
        left = "" if cell.state == "done" else f"  about {duration(cell.seconds)}" if cell.seconds is not None else ""
        note = f"  ({cell.note})" if cell.note else ""
        console.print(f"{cell.state:<8} {cell.name}{left}{note}", soft_wrap=True, highlight=False, markup=False)
    counts = Counter(cell.state for cell in cells)
    console.print(", ".join(f"{count} {state}" for state, count in counts.items()), highlight=False)
    left = [cell.seconds for cell in cells if cell.state not in ("done", "running")]
    known = [seconds for seconds in left if seconds is not None]
    if known:
        # Cells without a record to judge by are taken to be like the others.
        total = sum(known) * len(left) / len(known)
        console.print(f"about {duration(total / min(jobs, len(left)))} with {jobs} at a time", highlight=False)


def print_folder(folder: Folder, path: Path) -> None:
    """Print what is in a results folder: counts, and a line on everything that needs looking after."""
    console = _stdout()
    console.print(f"{path}: {folder.records} records", highlight=False)
    groups = [
        ("running", [f"{run}: {who}" for run, who in folder.running.items()]),
        ("begun, nobody is at it", folder.begun),
        ("failed", [f"{run}: {why}" for run, why in folder.failed.items()]),
        ("stale", [f"{count} x {why}" for why, count in folder.stale.items()]),
        ("source changed since, version the same", [f"{what}: {count} x" for what, count in folder.changed.items()]),
        ("damaged", folder.damaged),
    ]
    for title, lines in groups:
        for line in lines:
            console.print(f"{title}: {line}", soft_wrap=True, highlight=False, markup=False)


def print_comparison(comparisons: Sequence[Comparison], alone: Sequence[str]) -> None:
    """Print what differs between two sides."""
    console = _stdout()
    for part in comparisons:
        console.print(_differences(part))
        for kind, changes in (("spec", part.spec), ("made by", part.code)):
            for change in changes:
                console.print(f"{kind}: {_change(change)}", soft_wrap=True, highlight=False, markup=False)
        for line in part.only:
            console.print(line, soft_wrap=True, highlight=False, markup=False)
    for line in alone:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    _tests(comparisons, console)


def print_models(part: Comparison) -> None:
    """Print how two models compare: a table, then a plain sentence for each metric."""
    console = _stdout()
    console.print(_differences(part))
    names = [label.rpartition(" on ")[0] for label in (part.one, part.other)]
    lines = [value.sentence(*names) for value in part.values]
    lines += [f"Their budgets differ: {_change(c)}." for c in part.spec if c.name.startswith(("plan.", "evaluation."))]
    for line in [*lines, *part.only]:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    _tests([part], console)


def _differences(part: Comparison) -> Table:
    title = part.one if part.one == part.other else f"{part.one}  ->  {part.other}"
    table = Table(title=title, title_justify="left", header_style="bold")
    for name in ("metric", "first", "second", "difference", "95 % interval", "seeds", "p", "detectable", "verdict"):
        table.add_column(name, justify="left" if name in ("metric", "verdict") else "right")
    for value in part.values:
        found = value.paired
        error = f" ± {found.error:.2g}" if found.error else ""
        ends = "" if found.low is None else f"{found.low:.3g} .. {found.high:.3g}"
        p = "" if value.chance is None else f"{value.chance:.2g}"
        seen = f"{value.detectable:.2g}" if value.detectable else ""
        numbers = (f"{value.one:.5g}", f"{value.other:.5g}", f"{found.mean:.3g}{error}", ends)
        table.add_row(escape(value.metric), *numbers, str(found.pairs), p, seen, value.verdict)
    return table


def _tests(comparisons: Sequence[Comparison], console: Console) -> None:
    tests = sorted({v.paired.test for part in comparisons for v in part.values if v.chance is not None})
    if tests:
        console.print(
            f"[dim]Differences are second minus first over common seeds, which share evaluation noise and held-out "
            f"data. p: {' or '.join(tests)}, Holm's correction over all values of a comparison; interval: of one value "
            f"alone, by the same test. detectable: seen at {100 * LEVEL:g} % among as many values with "
            f"{100 * POWER:g} % power, if ever.[/dim]"
        )


def _change(change: Change) -> str:
    return f"{change.name} {change.one!r} -> {change.other!r}"


def _stdout() -> Console:
    return Console(width=None if sys.stdout.isatty() else 160)
