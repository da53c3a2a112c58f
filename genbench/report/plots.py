"""Charting: from measured values to charts. A mean over seeds comes with its 95 % t interval."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from genbench.report.chart import Axis, Chart, Charts, Point, Series
from genbench.report.quantity import quantity
from genbench.report.statistics import half_width, mean_and_error
from genbench.report.tables import COSTS, Cost, Value, checked, grouped

INTERVAL = "95 % t intervals over seeds"


def against_evaluations(name: str, values: pd.DataFrame) -> Charts | None:
    """Draw quality against network evaluations a sample: one chart a metric, the main solver's point beside the line.

    Args:
        name: of the charts.
        values: of one data set, as for `genbench.report.tables.comparisons`.
    """
    every = [v for v in checked(values) if v.value is not None and v.metric != "nfe"]
    charts = []
    curve = [v for v in every if v.point == "curve"]
    for (metric, protocol, n, solver), part in grouped(curve, lambda v: (v.metric, v.protocol, v.n, v.solver)).items():
        main = [v for v in every if v.point == "main" and (v.metric, v.protocol, v.n) == (metric, protocol, n)]
        lines = [Series(model, _points(rows, lambda v: v.nfe or 0.0)) for model, rows in grouped(part, _model).items()]
        dots = [Series(model, (mean_point(rows),), joined=False) for model, rows in grouped(main, _model).items()]
        dots = [dot for dot in dots if dot.points[0].x > 0]
        title = f"{metric} ({solver})"
        charts.append(chart(title, "evaluations a sample", metric, [*lines, *dots], [*part, *main]))
    if not charts:
        return None
    caption = (
        f"Lines: fixed-step solvers; bars: {INTERVAL}; single marks: the main solver, at the evaluations it took; "
        "dashed: the floor, data against data."
    )
    if any(chart.y.log and chart.floor is None for chart in charts):
        caption += " A floor that is not above zero has no place on a logarithmic axis."
    return Charts(name, "Quality against network evaluations", tuple(charts), caption)


def against_training(name: str, values: pd.DataFrame) -> Charts | None:
    """Draw quality against steps of training, where it was measured on the way."""
    every = [v for v in checked(values) if v.value is not None and v.point == "training"]
    charts = [
        chart(
            metric,
            "steps of training",
            metric,
            [Series(m, _points(rows, lambda v: v.step or 0.0)) for m, rows in grouped(part, _model).items()],
            part,
        )
        for (metric, _, _), part in grouped(every, lambda v: (v.metric, v.protocol, v.n)).items()
    ]
    caption = f"Bars: {INTERVAL}; dashed: the floor, data against data."
    return Charts(name, "Quality against training", tuple(charts), caption) if charts else None


def against_cost(name: str, values: pd.DataFrame, spent: pd.DataFrame) -> Charts | None:
    """Draw the headline metric against what models cost: time, memory, parameters, evaluations."""
    every = checked(values)
    metric = headline(every)
    if metric is None:
        return None
    main = [v for v in every if v.metric == metric and v.point == "main" and v.value is not None]
    runs = [Cost(*row) for row in spent.reindex(columns=list(Cost._fields)).itertuples(index=False)]
    charts = []
    for field, (label, _) in COSTS.items():
        taken = {run.run: getattr(run, field) for run in runs if pd.notna(getattr(run, field))}
        if field != "steps_per_second" and taken:
            charts.append(_scatter(label, metric, main, taken))
    charts.append(_scatter("evaluations a sample", metric, main, {v.run: v.nfe for v in main if v.nfe is not None}))
    drawn = tuple(chart for chart in charts if chart.series)
    caption = f"Each mark is the mean of a model; bars: {INTERVAL}. Times and memory are of the machine that ran."
    return Charts(name, f"{metric} against cost", drawn, caption, small=True)


def of_training(name: str, curves: Iterable[tuple[str, np.ndarray, np.ndarray]]) -> Charts | None:
    """Draw the loss on the way, one chart a model: losses of two methods are different quantities.

    Args:
        name: of the charts.
        curves: models, steps, and (seeds, steps) losses.
    """
    charts = []
    for model, steps, losses in curves:
        points = [
            Point(float(x), float(of.mean()), float(of.min()), float(of.max()))
            for x, of in zip(steps, losses.T, strict=True)
        ]
        log = bool((losses > 0).all() and losses.max() > 5 * losses.min())
        series = Series(model, tuple(points), marked=False)
        charts.append(Chart(model, Axis("step"), Axis("loss", log), (series,)))
    caption = (
        "Mean of the training loss over seeds, and the range of the seeds. Losses of two methods are different "
        "quantities: only the shapes compare."
    )
    return Charts(name, "Training", tuple(charts), caption, small=True) if charts else None


def headline(values: Sequence[Value]) -> str | None:
    """Return the metric by which models are seen at a glance: one with a floor and a direction, always positive.

    Metrics that were measured along the curve come first: they were chosen to be looked at.
    """
    main = [v for v in values if v.point == "main" and v.value is not None]
    curved = {v.metric for v in values if v.point == "curve" and v.value is not None}
    able = [
        metric
        for metric, rows in grouped(main, lambda v: v.metric).items()
        if rows[0].better in ("lower", "higher")
        and all((v.floor or 0) > 0 and (v.value or 0) > 0 for v in rows)
        and len({(v.protocol, v.n) for v in rows}) == 1
    ]
    return min(able, key=lambda metric: metric not in curved, default=None)


def _model(value: Value) -> str:
    return value.model


def _points(rows: Sequence[Value], where: Callable[[Value], float]) -> tuple[Point, ...]:
    return tuple(mean_point(at, x) for x, at in sorted(grouped(rows, where).items()))


def mean_point(rows: Sequence[Value], x: float | None = None) -> Point:
    """Return the mean of rows of one model, at the mean of their evaluations if no place is given."""
    if x is None:
        x = mean_and_error(v.nfe for v in rows if v.nfe is not None)[0] if any(v.nfe for v in rows) else 0.0
    found = [v.value for v in rows if v.value is not None]
    mean, error = mean_and_error(found)
    half = half_width(error, len(found))
    said = f"{rows[0].model} at {x:.4g}: {quantity(mean, error)}"
    return Point(float(x), mean, None if half is None else mean - half, None if half is None else mean + half, said)


def _scatter(label: str, metric: str, main: Sequence[Value], taken: Mapping[str, float]) -> Chart:
    series = []
    for model, rows in grouped(main, _model).items():
        known = [float(taken[v.run]) for v in rows if v.run in taken]
        if known and min(known) > 0:
            series.append(Series(model, (mean_point(rows, mean_and_error(known)[0]),), joined=False))
    drawn = chart(label, label, metric, series, main)
    return replace(drawn, x=replace(drawn.x, zero=not drawn.x.log))


def chart(title: str, x: str, metric: str, series: Sequence[Series], rows: Sequence[Value]) -> Chart:
    """Return a chart of a metric, with the floor of the rows it is made of; logarithms where values are far apart."""
    points = [point for one in series for point in one.points]
    floors = [v.floor for v in rows if v.floor is not None]
    floor = mean_and_error(floors)[0] if floors else None
    arrow = {"lower": " ↓", "higher": " ↑"}.get(rows[0].better, "") if rows else ""
    log = _wide([p.y for p in points])
    if log and floor is not None and floor <= 0:
        floor = None
    return Chart(title, Axis(x, _wide([p.x for p in points])), Axis(metric + arrow, log), tuple(series), floor)


def _wide(values: Sequence[float]) -> bool:
    """Whether values need a logarithm: all are positive, and the largest is far from the smallest."""
    return bool(values) and min(values) > 0 and max(values) > 6 * min(values)
