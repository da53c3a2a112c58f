"""The pictures of README, docs and results, from published records.

    python -m benchmarks.figures    # writes docs/images/*.svg

The README's picture needs weights, which are not published: its eight models are trained first (4 minutes on one core),
and saved in --runs.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.readme import ROOT, read_board
from benchmarks.trajectories import picture
from genbench.analysis.means import mean_and_half
from genbench.report.blocks import Axis, Chart, Charts, Point, Series
from genbench.report.formats.figures import INK, LIGHT, MUTED, encoded, styled, write_charts
from genbench.report.plots import budget_curves, track_curves
from genbench.report.track_board import TrackBoard
from genbench.results.reader import RECORDS
from genbench.runs.record import read_published
from genbench.runs.record_types import Record

KAPPAS = ("8gaussians", "moons")
ROW, PANELS = 0.16, 4
"""Inches of a row of the forest plot, and its panels in a line."""


def tilt_against_straightness(records: Sequence[Record]) -> Charts:
    """Chart straightness against tilt of W-CFM: as kappa falls, paths get straighter and marginals more tilted."""
    charts = []
    for data in KAPPAS:
        points: dict[tuple[str, float], dict[str, list[float]]] = {}
        for record in records:
            if record["labels"]["data"] != data:
                continue
            values = {row["metric"]: row["value"] for row in record["results"] if row["point"] == "main"}
            if "kappa" in record["spec"]["model"] and values.get("tilt.source") is None:
                continue  # too few pairs have weight: it is not measured
            kappa = float(record["spec"]["model"].get("kappa", np.inf))
            where = points.setdefault((record["labels"]["model"].split()[0], kappa), {"tilt": [], "straightness": []})
            where["straightness"].append(values["straightness"])
            # Pairs without weights tilt nothing.
            where["tilt"].append((values.get("tilt.source") or 0.0) + (values.get("tilt.data") or 0.0))
        lines: dict[str, list[Point]] = {}
        for (model, _), found in sorted(points.items(), key=lambda item: item[0][1]):
            mean, half = mean_and_half(found["straightness"])
            lines.setdefault(model, []).append(
                Point(float(np.mean(found["tilt"])), mean, mean - (half or 0.0), mean + (half or 0.0))
            )
        series = tuple(Series(model, tuple(line)) for model, line in lines.items())
        charts.append(
            Chart(data, Axis("tilt of source plus tilt of data"), Axis("straightness, 0 for straight paths"), series)
        )
    return Charts("Tilt against straightness over kappa", tuple(charts), "")


@styled
def forest(board: TrackBoard) -> Any:
    """Draw, for each task and model with all seeds, the paired difference from the baseline relative to its mean."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    heat = board.heat(board.budgets[0], None)
    contests = [contest for contest in heat.contests if not contest.cells[board.baseline].word]
    models = [model for model in board.models if model != board.baseline]
    rows = math.ceil(len(contests) / PANELS)
    figure = Figure(figsize=(7.4, (ROW * len(models) + 0.5) * rows + 0.2), layout="constrained")
    grid = figure.subplots(rows, PANELS, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(contests) :]:
        axes.remove()
    for number, (axes, contest) in enumerate(zip(grid.flat, contests, strict=False)):
        base = contest.cells[board.baseline].values
        for row, model in enumerate(models):
            if contest.cells[model].word:
                axes.text(0, row, contest.cells[model].word, fontsize=5.5, color=MUTED, ha="left", va="center")
                continue
            center = float(np.mean(list(base.values())))
            mean, half = mean_and_half(
                [(value - base[seed]) / center for seed, value in contest.cells[model].values.items()]
            )
            color = MUTED if not contest.pairs.apart(model, board.baseline) else LIGHT[0] if mean < 0 else LIGHT[1]
            ends = np.clip((mean - (half or 0.0), mean + (half or 0.0)), -1, 2)
            axes.plot(ends, (row, row), color=color, linewidth=1.2)
            axes.plot(min(mean, 2), row, ">" if mean > 2 else "o", color=color, markersize=3)
        axes.axvline(0, color=INK, linewidth=0.6)
        axes.set(xlim=(-1, 2.1), ylim=(len(models) - 0.4, -0.6), yticks=range(len(models)))
        axes.set_yticklabels([model.partition(" ")[0] for model in models])
        axes.set_title(contest.data, pad=2)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_xticks([-1, 0, 1, 2])
        axes.tick_params(labelbottom=number + PANELS >= len(contests))  # no panel is below
    figure.supxlabel(
        f"{contests[0].metric}: paired difference from {board.baseline}, as a share of its mean", fontsize="medium"
    )
    return figure


def main() -> None:
    """Draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="Published records.")
    parser.add_argument("--runs", type=Path, default=ROOT / "reproduced" / "figures", help="Where runs are kept.")
    arguments = parser.parse_args()
    images = ROOT / "docs" / "images"
    board = read_board(arguments.results, "default")  # the page of these pictures compares default settings
    (images / "trajectories.svg").write_bytes(picture(arguments.runs))
    if (curves := track_curves(board)) is not None:
        write_charts(curves, images / "leaderboard.svg", board.models)
    if (turns := budget_curves(board)) is not None:
        write_charts(turns, images / "steps.svg", board.models)
    write_charts(tilt_against_straightness(read_published(arguments.results / "kappa" / RECORDS)), images / "kappa.svg")
    (images / "forest.svg").write_bytes(encoded(forest(board)))


if __name__ == "__main__":
    main()
