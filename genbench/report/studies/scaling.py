"""Scaling: how time and memory of pieces of work grow with their size, as benchmarks/perf/scaling.py measured it."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genbench.report.chart import Axis, Chart, Charts, Point, Series
from genbench.report.section import Block
from genbench.report.table import Cell, Column, Row, Table
from genbench.report.tables import grouped

FILE = "scaling.csv"

SERIES = "genbench"
"""What is drawn in charts of it."""

FEWEST = 3
"""Points that an exponent is read off."""

LEAST = 8.0
"""MiB below which memory is that of the process, and not of the work."""


class Measurement(NamedTuple):
    """One piece of work of one size: median seconds, and peak memory above that of the process before."""

    work: str
    against: str
    size: float
    seconds: float
    mib: float


def load(results: Path) -> list[Measurement]:
    """Return what is kept in a results folder; nothing where nothing was measured."""
    path = results / FILE
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Measurement(row["work"], row["against"], *(float(row[name]) for name in ("size", "seconds", "mib")))
            for row in csv.DictReader(file)
        ]


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float | None:
    """Return the slope of log value against log size over the larger half of the sizes, three at least.

    >>> round(exponent([1, 2, 4, 8], [5, 4, 16, 64]), 3)
    2.0
    """
    pairs = sorted(zip(sizes, values, strict=True))
    pairs = pairs[min(len(pairs) // 2, max(0, len(pairs) - FEWEST)) :]
    if len(pairs) < FEWEST or min(value for _, value in pairs) <= 0:
        return None
    logs = np.log(np.array(pairs))
    return float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])


def blocks(found: Sequence[Measurement]) -> tuple[Block, ...]:
    """Return a table of exponents and charts of time and memory."""
    if not found:
        return ()
    rows, charts = [], []
    for (work, against), own in grouped(found, lambda m: (m.work, m.against)).items():
        sizes = [m.size for m in own]
        seconds = exponent(sizes, [m.seconds for m in own])
        mib = [m.mib for m in own]
        memory = exponent(sizes, mib) if sorted(mib)[-FEWEST:][0] >= LEAST else None
        last = max(own, key=lambda m: m.size)
        cells = (against, f"{min(sizes):g} to {max(sizes):g}", _said(seconds), _said(memory), _duration(last.seconds))
        rows.append(Row(work, tuple(Cell(text=text) for text in (*cells, f"{last.mib:.0f} MiB"))))
        points = tuple(Point(m.size, m.seconds, said=f"{m.size:g} {against}: {_duration(m.seconds)}") for m in own)
        title = f"{work}: exponent {_said(seconds)}"
        charts.append(Chart(title, Axis(against, log=True), Axis("s", log=True), (Series(SERIES, points),)))
    names = ("against", "sizes", "exponent of time", "exponent of memory", "time at the largest", "memory there")
    legend = (
        "Exponent: slope of the logarithms over the larger half of the sizes. Memory is what the work added to that "
        f"of the process; below {LEAST:g} MiB it has no exponent. One thread of the machine that ran.",
    )
    table = Table("Exponents", tuple(Column(name) for name in names), tuple(rows), legend)
    caption = "Median seconds of a piece of work against its size."
    return table, Charts("scaling", "Time against size", tuple(charts), caption, small=True)


def _said(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _duration(seconds: float) -> str:
    unit = 0 if seconds >= 1 else min(2, math.ceil(-math.log10(seconds) / 3))
    return f"{seconds * 1000**unit:.3g} {('s', 'ms', 'µs')[unit]}"
