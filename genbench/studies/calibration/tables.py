"""Tables and charts of a calibration: the smallest number of samples at which each metric detects each fault."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from genbench.analysis.means import LEVEL, format_mean
from genbench.analysis.values import group_by
from genbench.metrics.evaluation import NORMAL
from genbench.report.blocks import Axis, Block, Cell, Chart, Charts, Column, Point, Row, Series, Table
from genbench.studies.calibration import exact_fields
from genbench.studies.calibration.power import TRUE, smallest_n
from genbench.studies.calibration.results_file import fields, load

ENOUGH = 0.9
"""The power that a number of samples must reach."""
MAX_SHOWN = 6
"""Largest number of metrics in a chart."""


def section(results: Path) -> tuple[Block, ...]:
    """Return the blocks of the calibration of a results folder; none if there is none."""
    exact = fields(results)
    return (*blocks(load(results)), *([exact_fields.table(exact)] if exact else []))


def blocks(rows: Sequence[Mapping[str, Any]]) -> Iterator[Block]:
    """Yield, for each task, the table of numbers of samples, that of the true sampler, and charts of power."""
    for task, of_task in group_by(rows, lambda row: row["task"]).items():
        true = [row for row in of_task if row["sampler"] == TRUE]
        faulty = [row for row in of_task if row["sampler"] != TRUE]
        yield _smallest(task, [row["metric"] for row in true], faulty)
        yield _on_real(task, true)
        yield charts(task, faulty)


def _smallest(task: str, metrics: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Table:
    table = []
    for sampler, of_sampler in group_by(rows, lambda row: row["sampler"]).items():
        needed = {row["metric"]: _needed(row) for row in of_sampler}
        table.append(Row(sampler, tuple(Cell(text=needed.get(metric, "")) for metric in metrics)))
    legend = (
        f"Smallest number of samples at which one evaluation detects the fault with {ENOUGH:.0%} power at level "
        f"{LEVEL:.0%}, among those tried; > if more are needed than were tried.",
    )
    return Table(f"Number of samples needed on {task}", tuple(map(Column, metrics)), tuple(table), legend)


def _needed(row: Mapping[str, Any]) -> str:
    smallest = smallest_n(row["n"], row["power"], ENOUGH)
    return f"> {row['n'][-1]}" if smallest is None else str(smallest)


def _on_real(task: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    counts = sorted({n for row in rows for n in row["n"]})
    table, outside = [], 0
    for row in rows:
        at = dict(zip(row["n"], zip(row["mean"], row["sd"], row["seconds"], strict=True), strict=True))
        share = sum(row["alarms"]) / len(row["alarms"])
        band = NORMAL * math.hypot(*row["alarms_sd"]) / len(row["alarms"])  # draws at other n are independent
        outside += abs(share - LEVEL) > band
        values = (format_mean(*at[n][:2]) if n in at else "" for n in counts)
        texts = (f"{share:.1%} ± {band:.1%}", *values, f"{at[row['n'][-1]][2]:.2g}")
        table.append(Row(row["metric"], tuple(Cell(text=text) for text in texts)))
    columns = ("false alarms", *(f"n = {n}" for n in counts), "s")
    legend = (
        f"False alarms at level {LEVEL:.0%}, over all n, ± what 95 % of such shares deviate from the level by chance, "
        f"of the draws and of the threshold: {outside} of {len(rows)} deviate more. Then mean ± standard deviation of "
        "a single value at n: of a distance the mean is its bias. Last, seconds of processor time at the largest n.",
    )
    return Table(f"The true sampler on {task}", tuple(map(Column, columns)), tuple(table), legend)


def charts(task: str, rows: Sequence[Mapping[str, Any]]) -> Charts:
    """Return the power against the number of samples, a chart for the middle size of each fault."""
    drawn = []
    mean_power = {m: _mean_power(of_metric) for m, of_metric in group_by(rows, lambda row: row["metric"]).items()}
    shown = sorted(mean_power, key=lambda metric: -mean_power[metric])[:MAX_SHOWN]
    for of_fault in group_by(rows, lambda row: row["fault"]).values():
        sizes = list(dict.fromkeys(row["size"] for row in of_fault))
        middle = [row for row in of_fault if row["size"] == sizes[(len(sizes) - 1) // 2] and row["metric"] in shown]
        series = tuple(Series(row["metric"], tuple(map(Point, row["n"], row["power"]))) for row in middle)
        axes = Axis("samples", log=True), Axis("power", zero=True)
        drawn.append(Chart(middle[0]["sampler"], *axes, series, floor=LEVEL))
    caption = (
        f"Share of evaluations on {task} that detect a fault at level {LEVEL:.0%} (dashed) against the number of "
        f"samples, of the {len(shown)} metrics with most power."
    )
    return Charts(f"calibration-{task}", f"Power on {task}", tuple(drawn), caption, small=True)


def _mean_power(rows: Sequence[Mapping[str, Any]]) -> float:
    return sum(max(row["power"]) for row in rows) / len(rows)
