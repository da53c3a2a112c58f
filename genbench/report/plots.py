"""Plots: charts of measured values and of the training loss. Means over seeds are shown with their 95 % t interval."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from genbench.analysis.means import mean_and_error, mean_and_half
from genbench.analysis.values import Value, by_model, group_by
from genbench.errors import first_line
from genbench.report.blocks import Axis, Chart, Charts, Point, Series
from genbench.report.track_board import Contest, TrackBoard
from genbench.results.reader import Run
from genbench.storage import files

log = logging.getLogger("genbench")

INTERVAL = "95 % t intervals over the seeds that have a value"
BARS = f"Bars: {INTERVAL}; dashed: the floor, real vs. real."
ARROWS = {"lower": " ↓", "higher": " ↑"}
TASKS = 3
"""Number of tasks of a track that are drawn."""
BINS, MAX_HEADER = 48, 10_000
"""Maximum number of points of a curve; maximum number of bytes of the header of a log."""


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


def track_curves(board: TrackBoard) -> Charts | None:
    """Draw quality against NFE on the tasks of a track, at the longest budget that is shown: models with all seeds."""
    steps = board.shown[-1]
    heats = {heat.nfe: heat.contests for heat in board.heats if heat.steps == steps and heat.nfe is not None}
    charts = _task_charts(board, "NFE", heats)
    title = f"{board.name}: {steps:,} steps, {board.heat(steps, None).settings} settings"
    return Charts(title, tuple(charts[:TASKS]), BARS) if charts else None


def budget_curves(board: TrackBoard) -> Charts | None:
    """Draw quality against training steps on the tasks of a track that are complete at two budgets.

    Only methods with all seeds are drawn, each with its own sampler.

    Args:
        board: the track with default settings. In tables of tuned settings, some budgets are not tuned, and methods
            could cross because of the settings.
    """
    heats = {
        steps: [contest for contest in board.heat(steps, None).contests if contest.data in tasks]
        for steps, tasks in board.whole.items()
    }
    charts = [chart for chart in _task_charts(board, "training steps", heats) if len(_places(chart.series)) > 1]
    title = f"{board.name}: quality vs. training steps, {board.settings} settings"
    return Charts(title, tuple(charts[:TASKS]), BARS) if charts else None


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
