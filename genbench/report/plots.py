"""Plots: charts of measured values and of training losses. Means over seeds are shown with their 95 % t interval."""

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from genbench.analysis.means import mean_and_error, mean_and_half
from genbench.analysis.values import Value, by_model, digest, group_by
from genbench.errors import first_line
from genbench.report.blocks import Axis, Chart, Charts, Picture, Point, Series
from genbench.report.formats.figures import write_charts
from genbench.report.pictures import MAX_BYTES, name_of
from genbench.report.track_board import Contest, TrackBoard
from genbench.results.reader import Run
from genbench.storage import files

log = logging.getLogger("genbench")

INTERVAL = "95 % t intervals over seeds"
BARS = f"Bars: {INTERVAL}; dashed: the floor, real vs. real."
SECTIONS = ("model", "plan", "sample")
"""Sections of a spec; quality is drawn against their settings."""
ARROWS = {"lower": " ↓", "higher": " ↑"}
TASKS = 3
"""Number of tasks of a track that are drawn."""
MIN_GRID = 3
"""Number of values of a setting that make a grid."""
MAX_METRICS = 2
"""Metrics that are drawn against a setting; those with a floor first."""
BINS, MAX_HEADER = 48, 10_000
"""Points of a curve; bytes of the head of a log."""
LOSSES = (
    "Training loss: mean over seeds, from its first value to its lowest. Losses of different methods are different "
    "quantities: compare only the shapes."
)


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


def learning_curves(model: str, runs: Sequence[Run], values: Sequence[Value]) -> Charts | None:
    """Draw one model's training on a data set: the loss, where logs are saved, and metrics measured during training."""
    charts = []
    if logs := [log for run in runs if run.folder and (log := _log(run.folder.parent / "train.csv")) is not None]:
        steps, losses = _binned(logs)
        points = tuple(Point(float(x), float(y)) for x, y in zip(steps, losses.mean(0), strict=True))
        y = Axis("training loss", _wide([point.y for point in points]))
        charts.append(Chart("loss", Axis("training steps"), y, (Series(model, points, marked=False),)))
    if (measured := quality_vs_steps(values)) is not None:
        charts += measured.charts
    return Charts("Learning curves", tuple(charts), f"Means over seeds. {BARS}") if charts else None


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


def track_curves(board: TrackBoard) -> Charts | None:
    """Draw quality against NFE on the tasks of a track, at the longest budget that is shown: models with all seeds."""
    steps = board.shown[-1]
    heats = {heat.nfe: heat.contests for heat in board.heats if heat.steps == steps and heat.nfe is not None}
    charts = _task_charts(board, "NFE", heats)
    title = f"{board.name}: {steps:,} steps, {board.settings} settings"
    return Charts(title, tuple(charts[:TASKS]), BARS) if charts else None


def budget_curves(board: TrackBoard) -> Charts | None:
    """Draw quality against training steps, with crossings, on the tasks of a track that are complete at two budgets.

    Only methods with all seeds are drawn, each with its own sampler.
    """
    heats = {
        steps: [contest for contest in board.heat(steps, None).contests if contest.data in tasks]
        for steps, tasks in board.whole.items()
    }
    charts = [chart for chart in _task_charts(board, "training steps", heats) if len(_places(chart.series)) > 1]
    said = [f"{chart.title}: {text}." for chart in charts[:TASKS] for text in crossings(chart)]
    title = f"{board.name}: quality vs. training steps, {board.settings} settings"
    return Charts(title, tuple(charts[:TASKS]), " ".join([BARS, *said])) if charts else None


def _task_charts(board: TrackBoard, label: str, heats: Mapping[int, Sequence[Contest]]) -> list[Chart]:
    """Return a chart for each task, with the means of the models that have all seeds, at the places of the contests."""
    tasks: dict[str, dict[int, Contest]] = {}
    for place, contests in heats.items():
        for contest in contests:
            tasks.setdefault(contest.data, {})[place] = contest
    charts = []
    for data, there in tasks.items():
        points: dict[str, list[Point]] = {}
        for place, contest in there.items():
            for model in contest.pairs.order:
                mean, half = mean_and_half(contest.cells[model].values.values())
                points.setdefault(model, []).append(Point(place, mean, mean - (half or 0), mean + (half or 0)))
        series = tuple(Series(model, tuple(points[model])) for model in board.models if model in points)
        if series:
            first = next(iter(there.values()))
            floor = mean_and_error(first.floor.values())[0] if first.floor else None
            y = Axis(first.metric + ARROWS[first.better], _wide([p.y for one in series for p in one.points]))
            charts.append(Chart(data, Axis(label, _wide(_places(series))), y, series, floor))
    return charts


def _places(series: Sequence[Series]) -> list[float]:
    return sorted({point.x for one in series for point in one.points})


def crossings(chart: Chart) -> Iterator[str]:
    """Yield a sentence for each crossing of two models whose intervals are disjoint on both sides."""
    for one, other in combinations(chart.series, 2):
        there = {point.x: point for point in other.points}
        both = [(point, there[point.x]) for point in one.points if point.x in there]
        apart = [(a, b) for a, b in both if max(_ends(a)[0], _ends(b)[0]) > min(_ends(a)[1], _ends(b)[1])]
        for (a, b), (c, d) in pairwise(apart):
            if (a.y < b.y) != (c.y < d.y):
                yield f"{one.model} and {other.model} cross between {a.x:,g} and {c.x:,g} {chart.x.label}"


def _ends(point: Point) -> tuple[float, float]:
    return point.y if point.low is None else point.low, point.y if point.high is None else point.high


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


def loss_picture(folder: Path, data: str, runs: Sequence[Run]) -> Picture | None:
    """Return the training losses on a data set, drawn if the logs of all runs are saved or there is no picture yet."""
    path, curves = folder / "pictures" / f"{name_of(data)}-loss.svg", {}
    logs = {
        run.folder: log for run in runs if run.folder and (log := _log(run.folder.parent / "train.csv")) is not None
    }
    for model, own in by_model(runs):
        if known := [logs[run.folder] for run in own if run.folder in logs]:
            curves[model] = _binned(known)
    if logs and (len(logs) == len(runs) or not path.exists()):
        write_charts(training_loss(curves), path)
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        return None
    return Picture(path, "Training loss", LOSSES)


def _log(path: Path) -> pd.DataFrame | None:
    """Read the steps and losses of a training; None if there are none, or if the file is damaged, which is reported."""
    try:
        with files.open_regular(path, files.MAX_TEXT) as file:
            names = file.readline(MAX_HEADER).decode().strip().split(",")  # pandas renames repeated ones in square time
            read = pd.read_csv(file, names=names, usecols=["step", "loss"], dtype=float)
        if len(read) and bool((read.abs() <= np.finfo(np.float32).max).all(axis=None)):
            return read
        log.warning("%s is not drawn: %s", files.shown(path), "a number is not finite" if len(read) else "it is empty")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("%s is not drawn: %s", files.shown(path), first_line(error))
    return None


def _binned(logs: Sequence[pd.DataFrame]) -> tuple[Float[np.ndarray, "bins"], Float[np.ndarray, "seeds bins"]]:
    """Return steps and losses, averaged within bins."""
    length = min(map(len, logs))
    parts = np.array_split(np.arange(length), min(BINS, length))
    steps, losses = logs[0]["step"].to_numpy(), np.array([log["loss"].to_numpy()[:length] for log in logs])
    return np.array([steps[part].mean() for part in parts]), np.array([losses[:, part].mean(1) for part in parts]).T
