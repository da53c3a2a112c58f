"""What the published results say about a component: ratios and samples of models, defects that metrics detect."""

import io
import json
from functools import cache
from pathlib import Path

import numpy as np
from component_pictures import GRAY, png  # pyright: ignore[reportMissingImports]
from matplotlib.figure import Figure
from PIL import Image

from genbench.analysis.values import SuiteResults, by_model, load_suites
from genbench.report.formats.writers import number
from genbench.report.pictures import name_of
from genbench.report.track_board import REGIMES, TrackBoard, track_board
from genbench.report.track_table import across_table
from genbench.runs.store import Store
from genbench.suites import find

RESULTS = Path(__file__).parents[2] / "results"
TRACKS = ("plane-v1", "transport-v1", "maps-v1", "digits-v1")
DRAWN = ("8gaussians", "moons", "8gaussians-moons")
"""Data sets of which a model page shows samples."""
TILE, GAP, LABEL, ACROSS = 240, 8, 30, 10
"""Pixels of a published picture of points: a tile, between tiles, and a label above them; most tiles in a row."""
ROWS = 3
"""Rows of tiles in such a picture: noise, half of the way, samples."""
POWER = 0.9
"""Share of detections from which the picture states the number."""


@cache
def _boards() -> list[TrackBoard]:
    return [track_board(find(name), Store(RESULTS)) for name in TRACKS]


@cache
def _suites() -> list[SuiteResults]:
    return load_suites(Store(RESULTS), {path.parents[1].name for path in RESULTS.glob("*/pictures/*.png")})


def standing(model: str) -> list[str]:
    """Return the rows of a model in the tables across the tasks of the tracks, as Markdown; nothing without a row."""
    lines = []
    for board in _boards():
        table = across_table(board)
        if board.heat(board.shown[0], None).effects.scored:
            for row in (row for row in table.rows if row.label.partition(" ")[0] == model):
                for index, steps in enumerate(board.shown):
                    cells = row.cells[index : len(REGIMES) * len(board.shown) : len(board.shown)]  # one of each regime
                    tuned = ", tuned" if board.heat(steps, None).settings == "tuned" else ""
                    place = f"| {board.name} | `{row.label}` | {steps:,}{tuned} |"
                    lines.append(f"{place} {' | '.join(map(number, cells))} |")
    if not lines:
        return []
    read = "Excess over real data as a multiple of the excess of `cfm`, with its 95 % interval; lower is better. "
    head = ["| track | method | training steps | own sampler | NFE 1 | NFE 4 |", "|---|---|---:|---:|---:|---:|"]
    said = ["## Where it stands", "", f"{read}See [Read a leaderboard](../../read_a_leaderboard.md).", ""]
    return [*said, *head, *lines, ""]


def drawn(model: str) -> tuple[bytes, str] | None:
    """Return published samples of a model beside the data, PNG, and a caption; None if no picture shows the model."""
    tiles: list[Image.Image] = []
    shown: list[str] = []
    for data in DRAWN:
        for suite in _suites():
            path = RESULTS / suite.name / "pictures" / f"{name_of(data)}.png"
            labels = [label for label, _ in by_model([run for run in suite.runs if run.data == data])]
            found = [label for label in labels if label.partition(" ")[0] == model]
            if found and path.exists():
                with Image.open(path) as image:
                    # Its columns are the data and all models in this order, or it does not show all of them.
                    if int(image.info["genbench"].split()[1]) == len(labels):
                        whole = image.convert("RGBA")
                        columns = len(labels) + 1
                        label = found[len(found) // 2]  # the middle of a grid of settings
                        tiles += [_tile(whole, index, columns) for index in (0, 1 + labels.index(label))]
                        shown.append(f"`{label}` ({suite.name}, {data})")
                        break
    if not tiles:
        return None
    picture = Image.new("RGBA", (len(tiles) * (TILE + GAP), TILE))
    for index, tile in enumerate(tiles):
        picture.paste(tile, (index * (TILE + GAP), 0))
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=True)
    return file.getvalue(), f"Its samples, in blue, beside the data: {', '.join(shown)}."


def _tile(picture: Image.Image, index: int, columns: int) -> Image.Image:
    """Return the samples in a column of a picture of points, whose columns continue below when they are many."""
    across = -(-columns // -(-columns // ACROSS))
    left, top = index % across * (TILE + GAP), index // across * (LABEL + ROWS * (TILE + GAP))
    top += LABEL + (ROWS - 1) * (TILE + GAP)
    return picture.crop((left, top, left + TILE, top + TILE))


def detection(metric: str) -> tuple[bytes, str] | None:
    """Draw how often one evaluation detects each defect, by the number of samples; None without a calibration."""
    caption = "Share of evaluations that detect a defect, by the number of samples; –: not tried."
    rows = [row for row in json.loads((RESULTS / "calibration.json").read_text())["rows"] if "power" in row]
    own = [row for row in rows if row["metric"].partition(".")[0] == metric]
    if not own:
        return None
    own = [row for row in own if row["task"] == own[0]["task"]]
    faults = list(dict.fromkeys(row["sampler"] for row in own))
    sizes = sorted({n for row in own for n in row["n"]})
    power = np.full((len(faults), len(sizes)), np.nan)
    for row in own:  # of a metric with parts, the part that detects the fault most often
        for n, share in zip(row["n"], row["power"], strict=True):
            place = faults.index(row["sampler"]), sizes.index(n)
            power[place] = np.nanmax([power[place], share])
    size = 4.6, 0.17 * len(faults) + 0.7
    return png(lambda figure: _detection(figure, own[0]["task"], faults, sizes, power), size), caption


def _detection(figure: Figure, task: str, faults: list[str], sizes: list[int], power: np.ndarray) -> None:
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    shades = np.zeros((*power.shape, 4))
    shades[..., :3], shades[..., 3] = (0.25, 0.4, 0.9), np.nan_to_num(power)
    axes.imshow(shades, aspect="auto")
    for (row, column), share in np.ndenumerate(power):
        if np.isnan(share):
            axes.text(column, row, "–", color=GRAY, fontsize=6, ha="center", va="center")
        elif share >= POWER:
            axes.text(column, row, f"{100 * share:.0f} %", color="white", fontsize=6, ha="center", va="center")
    axes.set_xticks(range(len(sizes)), [f"n = {n}" for n in sizes])
    axes.set_yticks(range(len(faults)), faults)
    axes.set_title(task, color=GRAY, fontsize=8, loc="left")
    axes.tick_params(colors=GRAY, labelsize=7, length=0)
    for spine in axes.spines.values():
        spine.set_color(GRAY)
