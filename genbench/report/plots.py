"""Plots: charts of measured values. Means over seeds are shown with their 95 % t interval."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

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


def quality_vs_nfe(name: str, values: Sequence[Value]) -> Charts | None:
    """Draw quality against NFE: one chart per metric and solver, with separate marks for the main solver.

    Args:
        name: name of the charts.
        values: all of one data set.
    """
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
    return Charts(name, "Quality vs. NFE", tuple(charts), caption)


def quality_vs_steps(name: str, values: Sequence[Value]) -> Charts | None:
    """Draw quality against training steps, for metrics measured during training."""
    measured = [v for v in values if v.value is not None and v.point == "training"]
    charts = []
    for (metric, _, _), part in group_by(measured, lambda v: (v.metric, v.protocol, v.n)).items():
        lines = [Series(model, _means(rows, lambda v: v.step or 0.0)) for model, rows in by_model(part)]
        charts.append(_chart(metric, "training steps", metric, lines, part))
    return Charts(name, "Quality vs. training steps", tuple(charts), BARS) if charts else None


def quality_vs_cost(name: str, values: Sequence[Value], costs: Sequence[Cost], metric: str) -> Charts | None:
    """Draw a metric against time and NFE."""
    main = [v for v in values if v.metric == metric and v.point == "main" and v.value is not None]
    charts = []
    for field in ("train_seconds", "sample_seconds"):
        label, _ = COSTS[field]
        cost = {(c.run, c.model): value for c in costs if (value := getattr(c, field)) is not None}
        if cost:
            charts.append(_scatter(label, metric, main, cost))
    charts.append(_scatter("NFE", metric, main, {(v.run, v.model): v.nfe for v in main if v.nfe is not None}))
    drawn = tuple(chart for chart in charts if chart.series)
    if not drawn:
        return None
    caption = f"Each mark is the mean of a model; bars: {INTERVAL}. Times are those of the machine used."
    return Charts(name, f"{metric} vs. cost", drawn, caption, small=True)


def training_loss(name: str, curves: Iterable[tuple[str, np.ndarray, np.ndarray]]) -> Charts | None:
    """Draw the training loss of all models, each from its first value (1) to its lowest (0).

    Args:
        name: name of the charts.
        curves: (model, steps, losses of shape (seeds, steps)).
    """
    series = []
    for model, steps, losses in curves:
        mean = losses.mean(0)
        scaled = (mean - mean.min()) / max(float(mean[0] - mean.min()), 1e-12)
        points = tuple(Point(float(x), float(y)) for x, y in zip(steps, scaled, strict=True))
        series.append(Series(model, points, marked=False))
    chart = Chart("Training loss", Axis("step"), Axis("loss, first 1, lowest 0", zero=True), tuple(series))
    caption = (
        "Training loss, mean over seeds, from its first value to its lowest: losses of different methods are different "
        "quantities, of which only the shapes are comparable."
    )
    return Charts(name, "Training", (chart,), caption) if series else None


def pareto(ranked: Leaderboard) -> Charts | None:
    """Draw quality against NFE, then against training time, with the Pareto front, on the data sets of mean ranks.

    Args:
        ranked: the leaderboard; without mean ranks, its first data sets are drawn.
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
    return Charts("pareto", title, tuple(charts), caption) if charts else None


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


def quality_vs_settings(name: str, runs: Sequence[Run], values: Sequence[Value]) -> Iterator[Charts]:
    """Yield charts of every metric against each setting that has at least three values in otherwise equal models.

    Args:
        name: prefix of the names of the charts.
        runs: all of one data set.
        values: values of the same runs.
    """
    settings = {run.model: _settings(run.record["spec"]) for run in runs}
    main = [v for v in values if v.point == "main" and v.value is not None]
    for key in dict.fromkeys(key for of_model in settings.values() for key in of_model):
        families = [
            _Family(tuple(models), tuple(settings[model].get(key) for model in models))
            for models in group_by(settings, lambda model, key=key: digest({**settings[model], key: None})).values()
        ]
        if not any(family.grid for family in families):
            continue
        setting = key.partition(".")[2]
        charts = tuple(
            _setting_chart(setting, metric, rows, families)
            for metric, rows in sorted(group_by(main, lambda v: v.metric).items(), key=_quality_first)
            if len({v.value for v in rows}) > 1 and len({(v.protocol, v.n) for v in rows}) == 1
        )
        caption = f"Bars: {INTERVAL}; level lines: models without this setting; dashed: the floor, real vs. real."
        if charts:
            yield Charts(f"{name}-{setting}", f"Quality vs. {setting}", charts, caption, small=True)


def _quality_first(metric: tuple[str, Sequence[Value]]) -> tuple[bool, bool]:
    _, rows = metric
    return rows[0].better not in ARROWS, rows[0].floor is None


class _Family(NamedTuple):
    """Models that differ in one setting only, with its values; None for models without it."""

    models: tuple[str, ...]
    values: tuple[Any, ...]

    @property
    def numeric(self) -> bool:
        """Whether all values are numbers."""
        return all(isinstance(value, (int, float)) for value in self.values)

    @property
    def grid(self) -> bool:
        """Whether there are enough values to draw a curve."""
        return self.numeric and len(set(self.values)) >= MIN_GRID

    def label(self, setting: str) -> str:
        """Return the label of the models without that setting."""
        return min((re.sub(rf" {re.escape(setting)}=\S+", "", model) for model in self.models), key=len)


def _setting_chart(setting: str, metric: str, rows: Sequence[Value], families: Sequence[_Family]) -> Chart:
    values = dict(by_model(rows))
    numeric = [family for family in families if family.numeric]
    x = {m: v for family in numeric for m, v in zip(family.models, family.values, strict=True) if m in values}
    ends = (min(x.values()), max(x.values())) if x else (0.0, 1.0)
    lines = []
    for family in families:
        models = [model for model in family.models if model in values]
        if family.numeric and models:
            points = tuple(_mean(values[model], x[model]) for model in sorted(models, key=x.__getitem__))
            lines.append(Series(family.label(setting) if family.grid else models[0], points, joined=family.grid))
        elif set(family.values) == {None}:
            for model in models:  # a level line: the setting does not apply
                point = _mean(values[model], ends[0])
                lines.append(Series(model, (point, point._replace(x=ends[1]))))
    return _chart(metric, setting, metric, lines, rows)


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


def _scatter(label: str, metric: str, main: Sequence[Value], cost: Mapping[tuple[str, str], float]) -> Chart:
    series = []
    for model, rows in by_model(main):
        known = [float(cost[v.run, model]) for v in rows if (v.run, model) in cost]
        if known and min(known) > 0:
            series.append(Series(model, (_mean(rows, mean_and_error(known)[0]),), joined=False))
    drawn = _chart(label, label, metric, series, main)
    return replace(drawn, x=replace(drawn.x, zero=not drawn.x.log))


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
