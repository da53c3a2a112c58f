"""Compare the speed of genbench with other libraries: print the table and write it with what it was measured on.

make bench                                                                     # all rows
python benchmarks/perf/bench.py --only 2d frechet                              # rows with these prefixes; printed
python benchmarks/perf/bench.py --only sample-2d-trajectory --results results  # these rows again; others are kept
python benchmarks/perf/bench.py --list                                         # list the names of the rows

Writes perf.csv and, from it, perf.md. Each row has the date, the commit and the machine that it was measured with.
"""

import argparse
import csv
import importlib
import io
import os
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path

import torch
from harness import Measured, Row, measure
from machine import commit, hardware

from genbench.analysis.values import group_by
from genbench.errors import first_line
from genbench.storage.memory import keep_freed

MODULES = ("training", "unet", "transport", "sampling", "tarflow", "features", "startup")
"""Modules with a function rows() -> list[Row], in the order of the table."""

HEADER = (
    "work",
    "peer",
    "genbench, time",
    "peer, time",
    "figure",
    "quartiles",
    "by CPU time",
    "aim",
    "notes",
    "measured",
)
FIELDS = (
    *("row", "work", "peer", "kind", "figure", "low", "high", "processor", "genbench_s", "peer_s", "aim", "met"),
    *("rounds", "threads", "note", "date", "commit", "machine"),
)
"""Columns of perf.csv, in seconds and ratios."""
READING = (
    "Each row times genbench and a peer on the same work, alternating in one process, with equal numbers of threads "
    'and equal precision, unless the row says otherwise. A figure with "x" is the time of the peer divided by the time '
    'of genbench in the same round: above 1x, genbench is faster. A figure with "%" is the cost of one part of '
    "genbench relative to the peer. Times and figures are medians over rounds: where the load changes between rounds, "
    "a figure is not the ratio of its two times. Times of 2D training are per step of one model. Do not divide times "
    "of two rows, which may differ in date and machine: couplings have been timed in turns "
    "[elsewhere](couplings.md#what-a-step-costs). Made by `make bench`; "
    "`python benchmarks/perf/bench.py --only ROW --results results` measures a row again, by its name in "
    "[perf.csv](perf.csv). The last column has the date and, where it was recorded, the commit."
)
"""How to read the page."""


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


def figure(kind: str, value: str) -> str:
    """Format a figure or a target with its unit; empty stays empty."""
    if not value:
        return ""
    number = float(value)
    return {"faster": f"{number:.3g}x", "share": f"{100 * number:.3g} %", "seconds": f"{number:.3g} s"}[kind]


def record(row: Row, found: Measured | str, busy: str = "") -> dict[str, str]:
    """Return the line of perf.csv of a row, or of the reason why it could not be measured.

    Args:
        busy: note on a busy machine.
    """
    told: dict[str, object] = {
        name: getattr(row, name) for name in ("work", "peer", "kind", "aim", "rounds", "threads")
    } | {"row": row.name}
    told |= {"date": date.today().isoformat(), "commit": commit(), "machine": hardware()}
    note = found if isinstance(found, str) else found.note
    told["note"] = "; ".join(part for part in (note, busy) if part)
    if not isinstance(found, str):
        low, middle, high = found.figure
        numbers = {"figure": middle, "low": low, "high": high, "processor": found.cpu}
        numbers |= {"genbench_s": found.ours, "peer_s": found.theirs}
        told |= {name: f"{number:.5g}" for name, number in numbers.items()} | {"met": found.met}
    texts = {name: "" if told.get(name) is None else str(told[name]) for name in FIELDS}
    return texts | {"met": texts["met"].lower()}


def cells(own: Mapping[str, str]) -> list[str]:
    """Return the cells of a row in the table of the page."""
    kind, aim = own["kind"], figure(own["kind"], own["aim"])
    when = ", ".join(part for part in (own["date"], own["commit"]) if part)
    if not own["figure"]:
        return [own["work"], own["peer"], "-", "-", "-", "", "", aim, own["note"], when]
    low, middle, high, processor = (figure(kind, own[name]) for name in ("low", "figure", "high", "processor"))
    verdict = {"": "", "true": "met", "false": "missed"}[own["met"]]
    note = "; ".join(part for part in (verdict, own["note"]) if part)
    return [
        *(own["work"], own["peer"], seconds(float(own["genbench_s"])), seconds(float(own["peer_s"]))),
        *(f"**{middle}**", f"{low} to {high}", processor, aim, note, when),
    ]


def markdown(lines: Iterable[list[str]]) -> str:
    """Return a table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in [list(HEADER), ["---"] * len(HEADER), *lines]) + "\n"


def page(records: Iterable[Mapping[str, str]]) -> str:
    """Return perf.md: how to read the table, on which machines its rows were measured, and the table."""
    records = list(records)
    machines = group_by(records, lambda own: own["machine"])
    lines = [
        f"{machine}{'' if len(machines) == 1 else ' Rows: ' + ', '.join(own['row'] for own in some) + '.'}"
        for machine, some in machines.items()
    ]
    return "\n\n".join(["# Speed", READING, *lines, markdown(map(cells, records))])


def read(path: Path) -> dict[str, dict[str, str]]:
    """Return the lines of perf.csv by row; none without the file."""
    if not path.exists():
        return {}
    return {own["row"]: own for own in csv.DictReader(path.read_text(encoding="utf-8").splitlines())}


def write(results: Path, records: Iterable[Mapping[str, str]]) -> None:
    """Write perf.csv and perf.md."""
    records, text = list(records), io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    (results / "perf.csv").write_text(text.getvalue(), encoding="utf-8")
    (results / "perf.md").write_text(page(records), encoding="utf-8")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="ROW", help="rows with these prefixes")
    parser.add_argument("--list", action="store_true", help="list the rows, and measure nothing")
    parser.add_argument("--results", type=Path, help="folder of perf.csv and perf.md; without it, nothing is written")
    options = parser.parse_args()
    every = rows()
    chosen = [row for row in every if not options.only or row.name.startswith(tuple(options.only))]
    if options.list:
        print("\n".join(f"{row.name:<24} {row.work}, against {row.peer}" for row in chosen))
        return
    load, found = os.getloadavg()[0], read(options.results / "perf.csv") if options.results else {}
    busy = f"busy machine: load {load:.1f} at the start" if load > 0.5 * (os.cpu_count() or 1) else ""
    print(markdown([]), end="")
    for row in chosen:
        try:
            measured: Measured | str = measure(row)
        except (ImportError, AssertionError) as error:
            measured = f"{type(error).__name__}: {first_line(error)}"
        found[row.name] = record(row, measured, busy)
        print(markdown([cells(found[row.name])]).splitlines()[-1], flush=True)
    if options.results:
        write(options.results, [found[row.name] for row in every if row.name in found])


if __name__ == "__main__":
    # Workers of data loaders and pools must fork before threads start.
    torch.set_num_threads(1)
    keep_freed()  # as in genbench's own processes; applies to both sides
    main()
