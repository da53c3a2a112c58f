"""Printing: results of runs with what to do next, missing cells, the state of results folders, and comparisons."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from genbench.analysis.compare import FEW, Change, Comparison
from genbench.analysis.labels import counted, listed
from genbench.analysis.significance import POWER
from genbench.analysis.values import group_by
from genbench.cli.options import stdout
from genbench.report.blocks import Column, Table, text_row
from genbench.report.formats.terminal import print_line, print_runs, show, styled
from genbench.results.status import FolderStatus
from genbench.runs.monitoring import sample_files
from genbench.runs.record import identity
from genbench.runs.record_types import Record
from genbench.runs.store import Store

SHOWN = 30
"""Maximum number of cells of a suite, or notes of a kind, to list; the rest are counted."""


def print_result(records: Sequence[Record], store: Store, full: bool) -> None:
    """Print the values of runs that differ in their seeds, their files, a picture and the next command."""
    console, (run, evaluation) = stdout(), identity(records[0])
    print_runs(records, console, full=full)
    path = store.runs / run / evaluation / "record.json"
    print_line(console, f"saved in {path if len(records) == 1 else store.runs}")
    if (picture := path.with_name(sample_files.NAME)).exists():
        print_line(console, f"picture: {picture}")
    print_line(console, f"next: {shlex.join(['genbench', 'show', run, '--results', str(store.root)])}")


def print_cells(names: Sequence[str], console: Console) -> None:
    """Print the names of the first cells, one per line, and how many more there are."""
    for name in names[:SHOWN]:
        print_line(console, name)
    if len(names) > SHOWN:
        print_line(console, f"and {len(names) - SHOWN} more")


def print_folder(folder: FolderStatus, path: Path, console: Console) -> None:
    """Print the status of a results folder: number of records, and one line for everything that needs attention."""
    # Prerequisites are models without evaluation.
    trained = f", {counted(folder.prerequisites, 'prerequisite')}" if folder.prerequisites else ""
    print_line(console, f"{path}: {counted(folder.records, 'record')}{trained}")
    for suite, count in folder.published.items():
        print_line(console, f"published: {suite}, {counted(count, 'record')}")
    groups = [
        ("running", [f"{run}: {owner}" for run, owner in folder.running.items()]),
        ("interrupted", folder.begun),
        ("trained, not measured", folder.trained),
        ("failed", _by_reason(folder.failed)),
        ("outdated", _by_reason(folder.stale)),
        ("unknown", [f"{count} x {reason}" for reason, count in folder.unknown.items()]),
        ("from a Python file", [f"{count} x {name}" for name, count in folder.of_files.items()]),
        ("damaged", folder.damaged),
    ]
    for title, notes in groups:
        for line in notes[:SHOWN]:
            print_line(console, f"{title}: {line}")
        if len(notes) > SHOWN:
            print_line(console, f"{title}: {len(notes) - SHOWN} more (--json)")


def _by_reason(found: Mapping[str, str]) -> list[str]:
    """Return a line for each reason, with the first runs that have it."""
    return [
        f"{len(runs)} x {reason}: {', '.join(runs[:3])}{', ... (--json)' if len(runs) > 3 else ''}"
        for reason, runs in group_by(found, found.__getitem__).items()
    ]


def print_comparison(comparisons: Sequence[Comparison], unpaired: Sequence[str], console: Console) -> None:
    """Print the differences of two sets of runs."""
    for part in comparisons:
        if part.values:
            show([_differences(part)], console)
        else:
            print_line(console, f"{_title(part)}: no value was measured in the same way and with a common seed")
        # The lines below name the metrics that only one side has.
        spec = [
            each for each in part.spec if None not in (each.one, each.other) or not each.name.startswith("metrics.")
        ]
        for kind, changes in (("spec", spec), ("made by", part.code)):
            for change in changes:
                print_line(console, f"{kind}: {_change(change)}")
        for line in part.only:
            print_line(console, line)
    for line in unpaired:
        print_line(console, line)
    _tests(comparisons, console)


def print_models(part: Comparison, console: Console) -> None:
    """Print how two models compare: in a sentence for a single metric, in a table for several."""
    single = len(part.values) == 1
    if single:
        names = [label.rpartition(" on ")[0] for label in (part.one, part.other)]
        console.print(styled(part.values[0].sentence(*names)))
    else:
        show([_differences(part)], console)
        unseen = [value for value in part.values if value.verdict == "not separated" and value.detectable is not None]
        if unseen:
            least = ", ".join(f"{value.metric} {value.detectable:.2g}" for value in unseen)
            console.print(styled(f"Smallest differences that these seeds detect ({100 * POWER:g} % power): {least}."))
    budgets = [change for change in part.spec if change.name.startswith(("plan.", "evaluation."))]
    lines = [*(f"Their budgets differ: {_change(change)}." for change in budgets), *part.only]
    if few := [value.metric for value in part.values if value.verdict == FEW]:
        which = f" {listed(few)}" if len(few) < len(part.values) else ""
        lines.append(f"Too few seeds to test{which}: run both models with more seeds, such as --seeds 0-4.")
    for line in lines:
        console.print(styled(line))
    _tests([part], console)


def _title(part: Comparison) -> str:
    return part.one if part.one == part.other else f"{part.one}  ->  {part.other}"


def _differences(part: Comparison) -> Table:
    columns = tuple(map(Column, ("first", "second", "change", "95 % interval", "p", "verdict")))
    rows = []
    for value in part.values:
        found = value.paired
        interval = "" if found.low is None else f"{found.low:.2g} .. {found.high:.2g}"
        p = "" if value.p is None or value.verdict == FEW else f"{value.p:.2g}"
        numbers = (f"{number:.3g}" for number in (value.one, value.other, found.mean))
        rows.append(text_row(value.metric, *numbers, interval, p, value.verdict))
    return Table(_title(part), columns, tuple(rows), head="metric")


def _tests(comparisons: Sequence[Comparison], console: Console) -> None:
    values = [value for part in comparisons for value in part.values]
    if any(value.p is not None for value in values):
        seeds = sorted({value.paired.pairs for value in values})
        over = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        console.print(
            f"[dim]Differences are second minus first at {over} common seeds, with the same evaluation noise and "
            f"held-out data. p: paired t test, corrected (Holm) for all values of a comparison; the interval is not "
            f"corrected.[/dim]",
            highlight=False,
        )


def _change(change: Change) -> str:
    return f"{change.name} {change.one!r} -> {change.other!r}"
