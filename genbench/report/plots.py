"""Plots: charts of measured values. Means over seeds are shown with their 95 % t interval."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from genbench.analysis.dataset_board import Board
from genbench.analysis.leaderboard import Leaderboard
from genbench.analysis.means import mean_and_error, mean_and_half
from genbench.analysis.suite_results import digest
from genbench.analysis.values import COSTS, Cost, Value, by_model, group_by
from genbench.report.blocks import Axis, Chart, Charts, Point, Series
from genbench.results.reader import Run

INTERVAL = "95 % t intervals over seeds"
BARS = f"Bars: {INTERVAL}; dashed: the floor, real vs. real."
SECTIONS = ("model", "plan", "sample")
"""Sections of a spec against whose settings quality is drawn."""
ARROWS = {"lower": " ↓", "higher": " ↑"}
MAX_PARETO = 3
"""Number of data sets that the Pareto pictures show."""
MIN_GRID = 3
"""Number of values of a setting that make a grid."""
MAX_METRICS = 2
"""Metrics that are drawn against a setting; those with a floor first."""


def quality_vs_nfe(values: Sequence[Value]) -> Charts | None:
    """Draw the quality on a data set against NFE: one chart per metric and solver, with marks for the main solver."""
    measured = [v for v in values if v.value is not None and v.metric != "nfe"]
    charts = []
    curve = [v for v in measured if v.point == "curve"]
    for (metric, protocol, n, solver), part in group_by(curve, lambda v: (v.metric, v.protocol, v.n, v.solver)).items():
        main = [v for v in measured if v.point == "main" and (v.metric, v.protocol, v.n) == (metric, protocol, n)]
        lines = [Series(model, _means(rows, lambda v: v.nfe or 0.0)) for model, rows in by_model(part)]
        dots = [Series(model, (_mean(rows),), joined=False) for model, rows in by_model(main)]
        dots = [dot for dot in dots if dot.points[0].x > 0]
        charts.append(_chart(f"{metric} ({solver})", "NFE", metric, [*lines, *dots], [*part, *main]))
    if not charts:
        return None
    caption = (
        f"Lines: fixed-step solvers; bars: {INTERVAL}; single marks: the main solver, at its NFE; dashed: the floor, "
        "real vs. real."
    )
    if any(chart.y.log and chart.floor is None for chart in charts):
        caption += " A floor that is not positive is not shown on a logarithmic axis."
    return Charts("Quality vs. NFE", tuple(charts), caption)


def quality_vs_steps(values: Sequence[Value]) -> Charts | None:
    """Draw quality against training steps, for metrics measured during training."""
    measured = [v for v in values if v.value is not None and v.point == "training"]
    charts = []
    for (metric, _, _), part in group_by(measured, lambda v: (v.metric, v.protocol, v.n)).items():
        lines = [Series(model, _means(rows, lambda v: v.step or 0.0)) for model, rows in by_model(part)]
        charts.append(_chart(metric, "training steps", metric, lines, part))
    return Charts("Quality vs. training steps", tuple(charts), BARS) if charts else None


def quality_vs_time(values: Sequence[Value], costs: Sequence[Cost], metric: str) -> Charts | None:
    """Draw a metric against the time of training."""
    label, _ = COSTS["train_seconds"]
    seconds = {(c.run, c.model): c.train_seconds for c in costs if c.train_seconds}
    main = [v for v in values if v.metric == metric and v.point == "main" and v.value is not None]
    series = []
    for model, rows in by_model(main):
        known = [seconds[v.run, v.model] for v in rows if (v.run, v.model) in seconds]
        if known:
            series.append(Series(model, (_mean(rows, mean_and_error(known)[0]),), joined=False))
    caption = f"Each mark is the mean of a model; bars: {INTERVAL}. Times are those of the machine used."
    chart = _chart(label, label, metric, series, main)
    return Charts(f"{metric} vs. cost", (chart,), caption, small=True) if series else None


def training_loss(curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Charts:
    """Draw the training loss of all models, each from its first value (1) to its lowest (0).

    Args:
        curves: {model: (steps, losses of shape (seeds, steps))}.
    """
    series = []
    for model, (steps, losses) in curves.items():
        mean = losses.mean(0)
        scaled = (mean - mean.min()) / max(float(mean[0] - mean.min()), 1e-12)
        points = tuple(Point(float(x), float(y)) for x, y in zip(steps, scaled, strict=True))
        series.append(Series(model, points, marked=False))
    chart = Chart("Training loss", Axis("step"), Axis("loss, first 1, lowest 0"), tuple(series))
    return Charts("Training loss", (chart,), "")


def pareto(ranked: Leaderboard) -> Charts | None:
    """Draw quality against NFE, then against training time, with the Pareto front.

    The data sets are those of the mean ranks, or the first ones without mean ranks.
    """
    boards = [board for board in ranked.boards if board.data in ranked.over] or list(ranked.boards)
    boards = [board for board in boards if len(board.entries) > 1][:MAX_PARETO]
    charts = [chart for draw in (_against_nfe, _against_time) for board in boards if (chart := draw(board)).series]
    caption = (
        f"Bars: {INTERVAL}. Lines: fixed-step solvers; single marks: the main solver. Broad gray: the Pareto front of "
        "the means; dashed: the floor, real vs. real. Times are those of the machine used."
    )
    others = dict.fromkeys(f"{b.curve} for {b.metric}" for b in boards if b.curve != b.metric and b.curve)
    caption += f" Against NFE: {', '.join(others)}, which was not measured along the curve." if others else ""
    title = "Quality against NFE and training time"
    return Charts(title, tuple(charts), caption) if charts else None


def _against_nfe(board: Board) -> Chart:
    series, rows = [], []
    for entry in (entry for entry in board.entries if not entry.mark):
        curve, main = ([v for v in entry.points if v.point == point and v.nfe] for point in ("curve", "main"))
        series += [Series(entry.method, _means(curve, lambda v: v.nfe or 0.0))] if curve else []
        series += [Series(entry.method, (_mean(main),), joined=False)] if main else []
        rows += entry.points
    drawn = _chart(board.data, "NFE", board.curve, series, rows)
    return replace(drawn, front=_front(series, rows[0].better if rows else ""))


def _against_time(board: Board) -> Chart:
    series = []
    for entry in (entry for entry in board.entries if entry.train_seconds and not entry.mark):
        ends = (None, None) if entry.half is None else (entry.mean - entry.half, entry.mean + entry.half)
        series.append(Series(entry.method, (Point(entry.train_seconds or 0.0, entry.mean, *ends),), joined=False))
    drawn = _chart(board.data, "training, s", board.metric, series, [])
    floor = mean_and_error(board.floor.values())[0] if board.floor else None
    label = Axis(f"{board.metric}{ARROWS[board.better]}", drawn.y.log)
    floor = None if floor is None or (drawn.y.log and floor <= 0) else floor
    return replace(drawn, y=label, floor=floor, front=_front(series, board.better))


def _front(series: Sequence[Series], better: str) -> tuple[tuple[float, float], ...]:
    """Return the points that no other point beats in both coordinates, from left to right.

    >>> _front([Series("a", (Point(1, 5), Point(2, 3), Point(4, 4))), Series("b", (Point(3, 2.5),))], "lower")
    ((1, 5), (2, 3), (3, 2.5))
    """
    sign = -1 if better == "higher" else 1
    front: list[tuple[float, float]] = []
    for x, y in sorted(((p.x, p.y) for one in series for p in one.points), key=lambda p: (p[0], sign * p[1])):
        if not front or sign * y < sign * front[-1][1]:
            front.append((x, y))
    return tuple(front)


def quality_vs_settings(runs: Sequence[Run], values: Sequence[Value]) -> Iterator[Charts]:
    """Yield charts of the quality on a data set against each setting with three values in otherwise equal models."""
    settings = {run.model: _settings(run.record["spec"]) for run in runs}
    main = group_by([v for v in values if v.point == "main" and v.value is not None], lambda v: v.metric)
    drawable = {
        metric: rows
        for metric, rows in main.items()
        if rows[0].better in ARROWS and len({v.value for v in rows}) > 1 and len({(v.protocol, v.n) for v in rows}) == 1
    }
    metrics = sorted(drawable, key=lambda metric: drawable[metric][0].floor is None)[:MAX_METRICS]
    for key in dict.fromkeys(key for of_model in settings.values() for key in of_model):
        alike = group_by(settings, lambda model, key=key: digest({**settings[model], key: None})).values()
        grids = [{model: settings[model].get(key) for model in models} for models in alike]
        grids = [grid for grid in grids if len(set(grid.values())) >= MIN_GRID]
        grids = [grid for grid in grids if all(isinstance(value, (int, float)) for value in grid.values())]
        if not metrics or not grids:
            continue
        setting = key.partition(".")[2]
        without = [model for model, own in settings.items() if key not in own]
        charts = tuple(_setting_chart(setting, metric, drawable[metric], grids, without) for metric in metrics)
        caption = f"Bars: {INTERVAL}; level lines: models without this setting; dashed: the floor, real vs. real."
        yield Charts(f"Quality vs. {setting}", charts, caption, small=True)


def _setting_chart(
    setting: str, metric: str, rows: Sequence[Value], grids: Sequence[Mapping[str, Any]], without: Sequence[str]
) -> Chart:
    values, lines = dict(by_model(rows)), []
    ends = [x for grid in grids for x in grid.values()]
    for grid in grids:
        label = min((re.sub(rf" {re.escape(setting)}=\S+", "", model) for model in grid), key=len)
        models = sorted((model for model in grid if model in values), key=grid.__getitem__)
        lines.append(Series(label, tuple(_mean(values[model], grid[model]) for model in models)))
    for model in (model for model in without if model in values):
        point = _mean(values[model], min(ends))
        lines.append(Series(model, (point, point._replace(x=max(ends)))))
    return _chart(metric, setting, metric, [line for line in lines if line.points], rows)


def _settings(spec: Mapping[str, Any]) -> dict[str, float | str]:
    """Return all settings as {section.name: value}, with a digest for values that are not numbers."""
    settings = {}
    for section in SECTIONS:
        for key, value in spec[section].items():
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            settings[f"{section}.{key}"] = value if number else digest(value)
    return {key: value for key, value in settings.items() if key != "model.version"}


def _means(rows: Sequence[Value], x: Callable[[Value], float]) -> tuple[Point, ...]:
    return tuple(_mean(there, place) for place, there in sorted(group_by(rows, x).items()))


def _mean(rows: Sequence[Value], x: float | None = None) -> Point:
    """Return the mean of rows of one model, by default at their mean NFE."""
    if x is None:
        x = mean_and_error(v.nfe for v in rows if v.nfe is not None)[0] if any(v.nfe for v in rows) else 0.0
    values = [v.value for v in rows if v.value is not None]
    mean, half = mean_and_half(values)
    return Point(float(x), mean, None if half is None else mean - half, None if half is None else mean + half)


def _chart(title: str, x: str, metric: str, series: Sequence[Series], rows: Sequence[Value]) -> Chart:
    """Return a chart of a metric with the floor of its rows; axes over a wide range are logarithmic."""
    points = [point for one in series for point in one.points]
    floors = [v.floor for v in rows if v.floor is not None]
    floor = mean_and_error(floors)[0] if floors else None
    arrow = ARROWS.get(rows[0].better, "") if rows else ""
    log = _wide([p.y for p in points])
    if log and floor is not None and floor <= 0:
        floor = None
    return Chart(title, Axis(x, _wide([p.x for p in points])), Axis(metric + arrow, log), tuple(series), floor)


def _wide(values: Sequence[float]) -> bool:
    return bool(values) and min(values) > 0 and max(values) > 6 * min(values)
