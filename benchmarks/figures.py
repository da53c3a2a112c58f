"""The README's picture: what methods make of the same noise.

    python -m benchmarks.figures    # writes docs/images/trajectories.svg

Above, the paths of points; below, images after a few network evaluations. Weights are not published: the eight models
are trained first (4 minutes on one core), and saved in --runs.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

import genbench
from genbench.core import Data, Transport
from genbench.metrics.sampling import noise
from genbench.numerics.ode import trajectory
from genbench.report.formats.figures import INK, LIGHT, MUTED, encoded, styled
from genbench.runs.spec import build_data

ROOT = Path(__file__).parents[1]
DRAWN = {"CFM": "cfm", "W-CFM": "wcfm", "OT-CFM": "otcfm", "MeanFlow": "meanflow"}
POINTS, IMAGES = "moons", "digits"
PLAN = {"schedule": "cosine", "ema": 0.999}
SETTINGS: dict[str, dict[str, Any]] = {
    POINTS: {"model": {"net": "mlp"}, "plan": {"steps": 2000, "batch_size": 256, **PLAN}},
    IMAGES: {"plan": {"steps": 800, "batch_size": 64, **PLAN}},
}
"""The settings of plane-v1 and digits-v1."""
SEED, FOLLOWED, MOMENTS = 7, 70, 15
"""Seed of the noise, points that are followed, and the times of a path that are drawn."""
COLUMNS, BUDGETS = 6, (1, 32)
"""Images in a row of a panel, and the network evaluations (NFE) of each row."""
BACKGROUND, CELLS = 8192, 90
"""Number of data points whose density is outlined behind the paths, and cells per side of the grid."""
SIDE, HIGH, LEFT, TOP, GAP, BOTTOM = 1.77, 1.05, 0.56, 0.22, 0.1, 0.06
"""Inches of a panel's width, of its paths' height, of the labels, of the titles, between two parts, and below."""
SPACE, SMALL = 2, 7
"""Pixels between images, and the size of small text."""


class Panel(NamedTuple):
    """What is drawn of one method.

    Args:
        nfe: network evaluations that each path takes.
        images: one row of samples for each of BUDGETS; ink from 0 to 1.
    """

    paths: Float[np.ndarray, "times points 2"]
    nfe: int
    images: Float[np.ndarray, "rows columns height width"]


def picture(runs: Path) -> bytes:
    """Draw the picture, and train the models whose weights are not in the folder. Returns SVG."""
    panels = {}
    for title, name in DRAWN.items():
        paths, nfe = follow(*trained(name, POINTS, runs))
        panels[title] = Panel(paths, nfe, sampled(*trained(name, IMAGES, runs)))
    data = build_data({"name": POINTS})
    return encoded(draw(panels, data.space.decode(data.test.take(BACKGROUND, SEED).x).numpy()))


def trained(name: str, dataset: str, runs: Path) -> tuple[Any, Data]:
    """Return a trained model and its data."""
    record = genbench.run(name, dataset, seed=0, settings=SETTINGS[dataset], metrics=[], results=runs)
    return genbench.load(runs, record["labels"]["run"]), build_data(record["spec"]["data"])


@torch.no_grad()
def follow(model: Any, data: Data) -> tuple[Float[np.ndarray, "times points 2"], int]:
    """Return paths from noise and their NFE: solutions of an ODE, or the single jump of a flow map."""
    x0 = noise(model.source, FOLLOWED, SEED)
    if isinstance(model, Transport):
        path, nfe = trajectory(model.velocity, x0, torch.linspace(0, 1, MOMENTS))
    else:
        x, nfe = model.sample(x0, steps=1)
        path = torch.stack([x0, x])
    return data.space.decode(path).numpy(), int(nfe)


@torch.no_grad()
def sampled(model: Any, data: Any) -> Float[np.ndarray, "rows columns height width"]:
    """Return the images that the model makes of the noise of each column by 1, 32, ... Euler steps."""
    x0 = noise(model.source, COLUMNS, SEED)
    rows = torch.stack([model.sample(x0, method="euler", steps=steps).x for steps in BUDGETS])
    return data.space.decode(rows)[:, :, 0].numpy() / (data.space.levels - 1)


@styled
def draw(panels: Mapping[str, Panel], background: Float[np.ndarray, "n 2"]) -> Any:
    """Draw the paths of each method, and its images below."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    every = np.concatenate([background, *(panel.paths.reshape(-1, 2) for panel in panels.values())])
    middle, up = (every.max(0) + every.min(0)) / 2, np.ptp(every[:, 1]) * 1.1
    across = up * SIDE / HIGH
    grid = density(background, middle, across / 2)
    rows, columns, tall, wide = next(iter(panels.values())).images.shape
    pixel = (SIDE - GAP) / (columns * (wide + SPACE) - SPACE)
    low = pixel * (rows * (tall + SPACE) - SPACE)
    width, height = LEFT + SIDE * len(panels), TOP + HIGH + GAP + low + BOTTOM
    figure = Figure(figsize=(width, height))
    for number, (title, panel) in enumerate(panels.items()):
        left = LEFT + SIDE * number
        axes = figure.add_axes((left / width, (low + BOTTOM + GAP) / height, SIDE / width, HIGH / height))
        axes.contourf(*grid, levels=[0.05, 1.0], colors=[MUTED], alpha=0.22)
        # One line that is broken between paths makes a smaller file than many lines.
        broken = np.pad(panel.paths, [(0, 1), (0, 0), (0, 0)], constant_values=np.nan)
        axes.plot(*broken.T.reshape(2, -1), color=LIGHT[0], linewidth=0.6, alpha=0.8)
        axes.scatter(*panel.paths[0].T, s=4, color=INK, linewidths=0, zorder=3)
        axes.scatter(*panel.paths[-1].T, s=6, color=LIGHT[1], linewidths=0, zorder=3)
        axes.set(xlim=middle[0] + across * np.array([-0.5, 0.5]), ylim=middle[1] + up * np.array([-0.5, 0.5]))
        axes.set_axis_off()
        axes.set_title(title, loc="center", pad=4)
        axes.text(0.04, 0.02, f"NFE {panel.nfe}", transform=axes.transAxes, fontsize=SMALL, color=MUTED)
        place = ((left + GAP / 2) / width, BOTTOM / height, (SIDE - GAP) / width, low / height)
        draw_images(figure.add_axes(place), panel.images, pixel * 72)
    for row, word in enumerate([f"NFE {nfe}" for nfe in BUDGETS][:rows]):
        y = BOTTOM + low - pixel * (row * (tall + SPACE) + tall / 2)
        figure.text((LEFT - 0.04) / width, y / height, word, ha="right", va="center", fontsize=SMALL, color=MUTED)
    key = {
        "noise": Line2D([], [], color=INK, marker="o", linestyle="", markersize=2.5, markeredgewidth=0),
        "path": Line2D([], [], color=LIGHT[0], linewidth=0.8),
        "sample": Line2D([], [], color=LIGHT[1], marker="o", linestyle="", markersize=3, markeredgewidth=0),
        "data": Patch(facecolor=MUTED, alpha=0.22, linewidth=0),
    }
    look: dict[str, Any] = {"fontsize": SMALL, "labelcolor": MUTED, "handlelength": 1, "handletextpad": 0.4}
    middle_left = (0, 1 - (TOP + HIGH / 2) / height)
    figure.legend(key.values(), key, loc="center left", bbox_to_anchor=middle_left, borderpad=0.1, **look)
    return figure


def draw_images(axes: Any, images: Float[np.ndarray, "rows columns height width"], pixel: float) -> None:
    """Draw rows of images, pixels as strokes of ink; a pixel has this size in points.

    Firefox shows no raster image within an SVG of a README on GitHub.
    """
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    rows, columns, height, width = images.shape
    strokes: dict[float, list[tuple[float, float]]] = defaultdict(list)
    for row, column in np.ndindex(rows, columns):
        left, top = column * (width + SPACE), row * (height + SPACE)
        for ink, line, ends in runs(images[row, column]):
            strokes[ink] += [(left + end, top + line + 0.5) for end in ends]
    for ink, ends in strokes.items():
        outline = Outline(ends, [Outline.MOVETO, Outline.LINETO] * (len(ends) // 2))
        outline.should_simplify = False
        axes.add_patch(PathPatch(outline, fill=False, edgecolor=INK, alpha=ink, linewidth=pixel, capstyle="butt"))
    axes.set(xlim=(0, columns * (width + SPACE) - SPACE), ylim=(rows * (height + SPACE) - SPACE, 0))
    axes.set_axis_off()


def runs(image: Float[np.ndarray, "height width"]) -> Iterator[tuple[float, int, tuple[int, int]]]:
    """Yield the value, the row, the start and the end of each run of equal pixels; zeros are left out.

    >>> list(runs(np.array([[0, 0.5, 0.5, 1], [0, 0, 0, 0.5]])))
    [(0.5, 0, (1, 3)), (1.0, 0, (3, 4)), (0.5, 1, (3, 4))]
    """
    for row, line in enumerate(image):
        for start, end in pairwise([0, *(np.flatnonzero(np.diff(line)) + 1).tolist(), len(line)]):
            if line[start] > 0:
                yield float(line[start]), row, (start, end)


def density(
    points: Float[np.ndarray, "n 2"], middle: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the coordinates of a grid around a point, and a smooth density of points on it, 1 at its maximum."""
    from scipy.ndimage import gaussian_filter

    edges = np.linspace(-reach, reach, CELLS + 1)
    x, y = (center + edges for center in middle)
    counts = gaussian_filter(np.histogram2d(*points.T, bins=(x, y))[0].T, 1.5)
    return (x[1:] + x[:-1]) / 2, (y[1:] + y[:-1]) / 2, counts / counts.max()


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=ROOT / "reproduced" / "figures", help="Where runs are kept.")
    (ROOT / "docs" / "images" / "trajectories.svg").write_bytes(picture(parser.parse_args().runs))


if __name__ == "__main__":
    main()
