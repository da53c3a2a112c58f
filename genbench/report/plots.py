"""Plots: charts of measured values. Means over seeds are shown with their 95 % t interval."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from genbench.report.blocks import Axis, Chart, Charts, Point, Series
from genbench.report.published_suites import Run, digest
from genbench.report.statistics import format_mean, half_width, mean_and_error
from genbench.report.values import COSTS, Cost, Value, by_model, group_by

INTERVAL = "95 % t intervals over seeds"
BARS = f"Bars: {INTERVAL}; dashed: the floor, real vs. real."
SECTIONS = ("model", "plan", "sample")
"""Sections of a spec against whose settings quality is drawn."""
MIN_GRID = 3
"""Number of values of a setting that make a grid."""


def quality_vs_nfe(name: str, values: Sequence[Value]) -> Charts | None:
    """Draw quality against NFE: one chart per metric and solver, with separate marks for the main solver.

    Args:
        name: of the charts.
        values: of one data set.
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


def quality_vs_cost(name: str, values: Sequence[Value], costs: Sequence[Cost]) -> Charts | None:
    """Draw the headline metric against time, memory, parameters and NFE."""
    metric = headline_metric(values)
    if metric is None:
        return None
    main = [v for v in values if v.metric == metric and v.point == "main" and v.value is not None]
    charts = []
    for field, (label, _) in COSTS.items():
        cost = {run.run: value for run in costs if (value := getattr(run, field)) is not None}
        if field != "steps_per_second" and cost:
            charts.append(_scatter(label, metric, main, cost))
    charts.append(_scatter("NFE", metric, main, {v.run: v.nfe for v in main if v.nfe is not None}))
    drawn = tuple(chart for chart in charts if chart.series)
    caption = f"Each mark is the mean of a model; bars: {INTERVAL}. Times and memory are those of the machine used."
    return Charts(name, f"{metric} vs. cost", drawn, caption, small=True)


def training_loss(name: str, curves: Iterable[tuple[str, np.ndarray, np.ndarray]]) -> Charts | None:
    """Draw the training loss, one chart per model, since losses of different methods are different quantities.

    Args:
        name: of the charts.
        curves: (model, steps, losses of shape (seeds, steps)).
    """
    charts = []
    for model, steps, losses in curves:
        points = [
            Point(float(x), float(own.mean()), float(own.min()), float(own.max()))
            for x, own in zip(steps, losses.T, strict=True)
        ]
        log = bool((losses > 0).all() and losses.max() > 5 * losses.min())
        series = Series(model, tuple(points), marked=False)
        charts.append(Chart(model, Axis("step"), Axis("loss", log), (series,)))
    caption = (
        "Mean and range of the training loss over seeds. Losses of different methods are different quantities: only "
        "their shapes are comparable."
    )
    return Charts(name, "Training", tuple(charts), caption, small=True) if charts else None


def headline_metric(values: Sequence[Value]) -> str | None:
    """Return the metric that represents quality: one with a floor and a direction, always positive.

    Metrics measured along the curve take precedence.
    """
    main = [v for v in values if v.point == "main" and v.value is not None]
    curve = {v.metric for v in values if v.point == "curve" and v.value is not None}
    candidates = [
        metric
        for metric, rows in group_by(main, lambda v: v.metric).items()
        if rows[0].better in ("lower", "higher")
        and all((v.floor or 0) > 0 and (v.value or 0) > 0 for v in rows)
        and len({(v.protocol, v.n) for v in rows}) == 1
    ]
    return min(candidates, key=lambda metric: metric not in curve, default=None)


def quality_vs_settings(name: str, runs: Sequence[Run], values: Sequence[Value]) -> Iterator[Charts]:
    """Yield charts of every metric against each setting that has at least three values in otherwise equal models.

    Args:
        name: prefix of the names of the charts.
        runs: of one data set.
        values: of the same runs.
    """
    settings = {run.model: _settings(run.record["spec"]) for run in runs}
    main = [v for v in values if v.point == "main" and v.value is not None]
    for key in dict.fromkeys(key for own in settings.values() for key in own):
        families = [
            _Family(tuple(models), tuple(settings[model].get(key) for model in models))
            for models in group_by(settings, lambda model, key=key: digest({**settings[model], key: None})).values()
        ]
        if not any(family.grid for family in families):
            continue
        setting = key.partition(".")[2]
        charts = tuple(
            _setting_chart(setting, metric, rows, families)
            for metric, rows in group_by(main, lambda v: v.metric).items()
            if len({v.value for v in rows}) > 1 and len({(v.protocol, v.n) for v in rows}) == 1
        )
        caption = f"Bars: {INTERVAL}; level lines: models without this setting; dashed: the floor, real vs. real."
        if charts:
            yield Charts(f"{name}-{setting}", f"Quality vs. {setting}", charts, caption, small=True)


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
    found = {}
    for section in SECTIONS:
        for key, value in spec[section].items():
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            found[f"{section}.{key}"] = value if number else digest(value)
    return {key: value for key, value in found.items() if key != "model.version"}


def _means(rows: Sequence[Value], x: Callable[[Value], float]) -> tuple[Point, ...]:
    return tuple(_mean(own, place) for place, own in sorted(group_by(rows, x).items()))


def _mean(rows: Sequence[Value], x: float | None = None) -> Point:
    """Return the mean of rows of one model, by default at their mean NFE."""
    if x is None:
        x = mean_and_error(v.nfe for v in rows if v.nfe is not None)[0] if any(v.nfe for v in rows) else 0.0
    values = [v.value for v in rows if v.value is not None]
    mean, error = mean_and_error(values)
    half = half_width(error, len(values))
    tooltip = f"{rows[0].model} at {x:.4g}: {format_mean(mean, error)}"
    return Point(float(x), mean, None if half is None else mean - half, None if half is None else mean + half, tooltip)


def _scatter(label: str, metric: str, main: Sequence[Value], cost: Mapping[str, float]) -> Chart:
    series = []
    for model, rows in by_model(main):
        known = [float(cost[v.run]) for v in rows if v.run in cost]
        if known and min(known) > 0:
            series.append(Series(model, (_mean(rows, mean_and_error(known)[0]),), joined=False))
    drawn = _chart(label, label, metric, series, main)
    return replace(drawn, x=replace(drawn.x, zero=not drawn.x.log))


def _chart(title: str, x: str, metric: str, series: Sequence[Series], rows: Sequence[Value]) -> Chart:
    """Return a chart of a metric with the floor of its rows; axes over a wide range are logarithmic."""
    points = [point for one in series for point in one.points]
    floors = [v.floor for v in rows if v.floor is not None]
    floor = mean_and_error(floors)[0] if floors else None
    arrow = {"lower": " ↓", "higher": " ↑"}.get(rows[0].better, "") if rows else ""
    log = _wide([p.y for p in points])
    if log and floor is not None and floor <= 0:
        floor = None
    return Chart(title, Axis(x, _wide([p.x for p in points])), Axis(metric + arrow, log), tuple(series), floor)


def _wide(values: Sequence[float]) -> bool:
    return bool(values) and min(values) > 0 and max(values) > 6 * min(values)
