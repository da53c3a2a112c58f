"""Scaling: how time and memory of some workloads grow with their size, measured by benchmarks/perf/scaling.py."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genbench.analysis.values import group_by
from genbench.report.blocks import Axis, Block, Cell, Chart, Charts, Column, Point, Row, Series, Table
from genbench.storage import files

FILE = "scaling.csv"
SERIES = "genbench"
MIN_POINTS = 3
"""Number of points that an exponent is fitted to, at least."""
MIN_MIB = 8.0
"""Memory, in MiB, below which it is that of the process, not of the workload."""


class Measurement(NamedTuple):
    """A workload of one size: median seconds, and peak memory beyond that of the process before."""

    work: str
    against: str
    size: float
    seconds: float
    mib: float


def load(results: Path) -> list[Measurement]:
    """Return the measurements of a results folder; empty if there are none."""
    path = results / FILE
    if not path.exists():
        return []
    rows = csv.DictReader(files.read(path).decode().splitlines())
    numbers = ("size", "seconds", "mib")
    return [Measurement(row["work"], row["against"], *(float(row[name]) for name in numbers)) for row in rows]


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float | None:
    """Return the slope of log value over log size, on the larger half of the sizes, three at least.

    >>> round(exponent([1, 2, 4, 8], [5, 4, 16, 64]), 3)
    2.0
    """
    pairs = sorted(zip(sizes, values, strict=True))
    pairs = pairs[min(len(pairs) // 2, max(0, len(pairs) - MIN_POINTS)) :]
    if len(pairs) < MIN_POINTS or min(value for _, value in pairs) <= 0:
        return None
    logs = np.log(np.array(pairs))
    return float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])


def blocks(measurements: Sequence[Measurement]) -> tuple[Block, ...]:
    """Return a table of exponents and charts of time."""
    if not measurements:
        return ()
    rows, charts = [], []
    for (work, against), of_work in group_by(measurements, lambda m: (m.work, m.against)).items():
        sizes = [m.size for m in of_work]
        seconds = _number(exponent(sizes, [m.seconds for m in of_work]))
        mib = [m.mib for m in of_work]
        memory = _number(exponent(sizes, mib) if sorted(mib)[-MIN_POINTS:][0] >= MIN_MIB else None)
        last = max(of_work, key=lambda m: m.size)
        cells = (against, f"{min(sizes):g} to {max(sizes):g}", seconds, memory, _duration(last.seconds))
        rows.append(Row(work, tuple(Cell(text=text) for text in (*cells, f"{last.mib:.0f} MiB"))))
        points = tuple(Point(m.size, m.seconds) for m in of_work)
        series = (Series(SERIES, points),)
        charts.append(Chart(f"{work}: exponent {seconds}", Axis(against, log=True), Axis("s", log=True), series))
    names = ("in", "sizes", "exponent of time", "exponent of memory", "time at the largest", "memory there")
    legend = (
        "Exponent: slope of the logarithms over the larger half of the sizes. Memory is what the workload added to the "
        f"process; below {MIN_MIB:g} MiB it has no exponent. One thread of the machine used.",
    )
    table = Table("Exponents", tuple(Column(name) for name in names), tuple(rows), legend)
    caption = "Median time of a workload in seconds against its size."
    return table, Charts("scaling", "Time vs. size", tuple(charts), caption, small=True)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _duration(seconds: float) -> str:
    unit = 0 if seconds >= 1 else min(2, math.ceil(-math.log10(seconds) / 3))
    return f"{seconds * 1000**unit:.3g} {('s', 'ms', 'µs')[unit]}"
