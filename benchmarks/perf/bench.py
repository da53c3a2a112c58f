"""Compare the speed of genbench with other libraries; print the table and write it with a description of the machine.

make bench                                             # all rows: results/perf.md and results/perf.csv
python benchmarks/perf/bench.py --only 2d frechet      # rows with these prefixes; printed, not written
python benchmarks/perf/bench.py --list                 # list the names of the rows
"""

import argparse
import csv
import importlib
import io
import os
import time
from pathlib import Path

import torch
from harness import Measured, Row, Spread, measure
from machine import described

from genbench.errors import first_line
from genbench.storage.memory import keep_freed

MODULES = ("training", "unet", "transport", "sampling", "tarflow", "features", "startup")
"""Modules with a function rows() -> list[Row], in the order of the table."""

HEADER = ("work", "peer", "genbench, time", "peer, time", "figure", "quartiles", "by CPU time", "aim", "notes")


def rows() -> list[Row]:
    """Return all rows in the order of the table."""
    found = []
    for module in MODULES:
        try:
            found += importlib.import_module(module).rows()
        except ImportError as error:
            raise SystemExit(f"bench.py: {error}: pip install 'genbench[perf]'") from None
    return found


def seconds(value: float) -> str:
    """Format a duration with a suitable unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size or unit == "µs":
            return f"{value / size:.3g} {unit}"
    raise AssertionError


def figure(kind: str, value: float) -> str:
    """Format a figure or a target with its unit."""
    return {"faster": f"{value:.3g}x", "share": f"{100 * value:.3g} %", "seconds": f"{value:.3g} s"}[kind]


def cells(measured: Measured | str, row: Row) -> list[str]:
    """Return the Markdown line of a row, or the reason if it could not be measured."""
    aim = "" if row.aim is None else figure(row.kind, row.aim)
    if isinstance(measured, str):
        return [row.work, row.peer, "-", "-", "-", "", "", aim, measured]
    low, middle, high = (figure(row.kind, value) for value in measured.figure)
    verdict = {None: "", True: "met", False: "missed"}[measured.met]
    note = "; ".join(part for part in (verdict, measured.note) if part)
    return [
        *(row.work, row.peer, seconds(measured.ours), seconds(measured.theirs)),
        *(f"**{middle}**", f"{low} to {high}", figure(row.kind, measured.cpu), aim, note),
    ]


def markdown(lines: list[list[str]]) -> str:
    """Return a table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in [list(HEADER), ["---"] * len(HEADER), *lines]) + "\n"


def comma_separated(results: list[tuple[Row, Measured | str]]) -> str:
    """Return the results as CSV, in seconds and ratios."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = ("row", "work", "peer", "kind", "figure", "low", "high", "processor", "genbench_s", "peer_s", "aim", "met")
    writer.writerow([*names, "rounds", "threads", "note"])
    for row, found in results:
        values: list[object] = [""] * 6
        met, note = "", found if isinstance(found, str) else found.note
        if not isinstance(found, str):
            spread: Spread = found.figure
            numbers = (spread.middle, spread.low, spread.high, found.cpu, found.ours, found.theirs)
            values, met = [f"{number:.5g}" for number in numbers], "" if found.met is None else str(found.met).lower()
        aim = "" if row.aim is None else row.aim
        writer.writerow([row.name, row.work, row.peer, row.kind, *values, aim, met, row.rounds, row.threads, note])
    return text.getvalue()


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="ROW", help="rows with these prefixes")
    parser.add_argument("--list", action="store_true", help="list the rows, and measure nothing")
    parser.add_argument("--results", type=Path, help="folder to write perf.md and perf.csv to; needs all rows")
    options = parser.parse_args()
    chosen = [row for row in rows() if not options.only or row.name.startswith(tuple(options.only))]
    if options.list:
        print("\n".join(f"{row.name:<24} {row.work}, against {row.peer}" for row in chosen))
        return
    if options.results and options.only:
        parser.error("--results writes the whole table: omit --only")
    began, load = time.perf_counter(), os.getloadavg()[0]
    results: list[tuple[Row, Measured | str]] = []
    print(markdown([]), end="")
    for row in chosen:
        try:
            found: Measured | str = measure(row)
        except (ImportError, AssertionError) as error:
            found = f"{type(error).__name__}: {first_line(error)}"
        results.append((row, found))
        print(markdown([cells(found, row)]).splitlines()[-1], flush=True)
    if options.results:
        about = described(load, time.perf_counter() - began)
        table = markdown([cells(found, row) for row, found in results])
        (options.results / "perf.md").write_text(f"# Speed\n\n{about}\n\n{table}", encoding="utf-8")
        (options.results / "perf.csv").write_text(comma_separated(results), encoding="utf-8")


if __name__ == "__main__":
    # Workers of data loaders and pools must fork before threads start.
    torch.set_num_threads(1)
    keep_freed()  # as in genbench's own processes; applies to both sides
    main()
