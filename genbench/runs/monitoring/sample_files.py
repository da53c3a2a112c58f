"""Samples as files: raw arrays, grids of images, and the picture of a run, which shows samples beside held-out data."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

from genbench.core import Data, Transport
from genbench.errors import first_line
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.sampling import noise
from genbench.numerics.ode import trajectory
from genbench.seeds import derive
from genbench.space import Pixels
from genbench.storage import arrays, files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

log = logging.getLogger("genbench")

GRID_SIZE = 100
"""Number of samples in a grid, in rows of ten."""

NAME = "samples.png"
"""Name of the file beside the record of a run."""
INK, COLOR = "#777d87", "#347dd6"
"""Colors of text and data, and of models: legible on white and on black."""
DPI, SCALE = 128, 2
"""Pixels of a picture per inch; pixels of the file per pixel of a page."""
TILE, LABEL, GAP = 480, 30, 8
"""Pixels of a tile, of a line of text, and between tiles."""
WAYS, TIMES, IMAGES = 60, 33, 40
"""Number of trajectories that are drawn, of points on each, and of images."""
FEW = 500
"""Number of points up to which they are drawn larger."""
DIMENSIONS = 4
"""Number of coordinates whose marginals are drawn."""


def has_images(data: Data) -> bool:
    """Return whether samples are images."""
    return isinstance(data.space, Pixels) and data.event.is_image


def save_samples(folder: Path, evaluation: Evaluation, data: Data) -> None:
    """Save the samples as samples.npz with raw data, and the grids of images of metrics."""
    if evaluation.failures:
        return
    label = {"label": evaluation.label.numpy()} if evaluation.label is not None else {}
    arrays.save(folder / "samples.npz", {"samples": data.space.decode(evaluation.x).numpy()} | label)
    save_metric_grids(folder, evaluation, data)


def save_metric_grids(folder: Path, evaluation: Evaluation, data: Data) -> list[Path]:
    """Save the grids of images that metrics have produced, and return their paths."""
    grids = {folder / f"{name}.png": images for name, images in evaluation.image_grids.items()}
    for path, images in grids.items():
        _save(path, images.numpy(), data)
    return list(grids)


def save_image_grid(path: Path, evaluation: Evaluation, data: Data) -> None:
    """Save the first hundred samples as a grid, if they are images."""
    if not evaluation.failures:
        _save(path, data.space.decode(evaluation.x[:GRID_SIZE]).numpy(), data)


def _save(path: Path, raw: np.ndarray, data: Data) -> None:
    if isinstance(data.space, Pixels) and has_images(data):
        grid = _grid(data.space.gray(raw))
        files.replace(path, lambda temporary: grid.save(temporary, format="PNG"))


def _grid(images: np.ndarray) -> Image.Image:
    """Arrange images (n, channels, height, width) of 0..255 in rows of ten, small ones enlarged to 32 pixels."""
    enlarge = max(1, 32 // images.shape[2])
    margins = np.array([(0, -len(images) % 10), (0, 0), (1, 1), (1, 1)])
    images = np.pad(images.repeat(enlarge, 2).repeat(enlarge, 3), margins)
    rows, (_, channels, height, width) = len(images) // 10, images.shape
    grid = images.reshape(rows, 10, channels, height, width).transpose(0, 3, 1, 4, 2)
    grid = grid.reshape(rows * height, 10 * width, channels).astype(np.uint8)
    return Image.fromarray(grid[..., 0] if channels == 1 else grid)


def save_sample_picture(folder: Path, evaluation: Evaluation, data: Data) -> Path | None:
    """Draw samples beside held-out data as samples.png, and return its path; if drawing fails, warn and return None.

    2D points are drawn with the paths of a few of them from noise, images as grids, other vectors by their first two
    principal components and their first marginals. The background is transparent, for light and dark pages.
    """
    path = folder / NAME
    try:
        from matplotlib import style  # takes a third of a second

        own = {"format": "png", "transparent": True, "metadata": {"Software": None}}
        with style.context("default"):  # no setting of the user changes pixels
            drawn = sample_picture(evaluation, data)
            files.replace(path, lambda place: drawn.savefig(place, **own))
    except Exception as error:
        log.warning("no picture of the samples: %s", first_line(error))
        return None
    return path


def sample_picture(evaluation: Evaluation, data: Data) -> "Figure":
    """Return the picture of samples beside held-out data."""
    finite = torch.isfinite(evaluation.x.flatten(1)).all(1)
    if not finite.any():
        raise ValueError("no sample is finite")
    samples = data.space.decode(evaluation.x[finite]).numpy()
    test = data.test.take(min(len(samples), data.test.size or len(samples)), derive(0, "picture")).x
    real = data.space.decode(test).numpy()
    if isinstance(data.space, Pixels) and has_images(data):
        return _gallery({"data": data.space.gray(real[:IMAGES]), "samples": data.space.gray(samples[:IMAGES])})
    real, samples = (part.reshape(len(part), -1).astype(np.float64) for part in (real, samples))
    if real.shape[1] == 1:
        figure, (axes,) = _tiles("data and samples")
        _marginal(axes, real[:, 0], samples[:, 0])
        return figure
    center, plane = (np.zeros(2), np.eye(2)) if real.shape[1] == 2 else _principal(real)
    shown, generated = (real - center) @ plane, (samples - center) @ plane
    what = "" if real.shape[1] == 2 else ", principal components"
    frame = _square(_bulk(shown))
    views = {f"data{what}": ({INK: shown}, frame), f"samples{what}": ({COLOR: generated}, frame)}
    if (path := _ways(evaluation, data) if real.shape[1] == 2 else None) is not None:
        ends = path[[0, -1]]
        views["from noise to samples"] = dict(zip((INK, COLOR), ends, strict=True)), _square(_bulk(shown), *ends)
    titles = [*views, *([] if real.shape[1] == 2 else [f"first {min(DIMENSIONS, real.shape[1])} coordinates"])]
    tall = 1.0 if len(titles) > len(views) else max(_height(points, frame) for points, frame in views.values())
    figure, tiles = _tiles(*titles, tall=tall)
    for axes, (points, (middle, half)) in zip(tiles, views.values(), strict=False):
        if len(points) == 2 and path is not None:
            axes.plot(*path.transpose(2, 0, 1), color=COLOR, alpha=0.7, linewidth=0.8)
        for color, x in points.items():
            size = (5 if len(x) > FEW else 8) * 72 / DPI
            axes.plot(*x.T, "o", color=color, alpha=0.6, markersize=size, markeredgewidth=0)
        axes.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - tall * half, middle[1] + tall * half))
    for k in range(min(DIMENSIONS, real.shape[1]) if len(titles) > len(views) else 0):
        inner = tiles[-1].inset_axes((k % 2 * 0.51, 0.51 - k // 2 * 0.51, 0.49, 0.49))
        _marginal(inner, real[:, k], samples[:, k])
    return figure


def _figure(width: int, height: int) -> "Figure":
    """Return an empty figure, its size in pixels."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI)


def _title(figure: "Figure", left: int, text: str) -> None:
    width, height = figure.get_size_inches() * DPI
    figure.text(left / width, 1 - LABEL / 2 / height, text, color=INK, fontsize=21 * 72 / DPI, va="center_baseline")


def _tiles(*titles: str, tall: float = 1.0) -> "tuple[Figure, list[Axes]]":
    """Return a figure of tiles side by side, below their titles; `tall` is their height divided by their width."""
    width, height = len(titles) * (TILE + GAP), LABEL + GAP + round(tall * TILE)
    figure, tiles = _figure(width, height), []
    for left, title in zip(range(0, width, TILE + GAP), titles, strict=True):
        _title(figure, left, title)
        tiles.append(figure.add_axes((left / width, 0, TILE / width, 1 - (LABEL + GAP) / height)))
        tiles[-1].set_axis_off()
    return figure, tiles


def _gallery(images: Mapping[str, Float[np.ndarray, "n channels height width"]]) -> "Figure":
    """Return a figure of images in grids side by side, pixel by pixel."""
    grids = {title: np.asarray(_grid(part)) for title, part in images.items()}
    zoom = SCALE if next(iter(images.values())).shape[2] <= 32 else 1
    tall, wide = (side * zoom for side in next(iter(grids.values())).shape[:2])
    figure = _figure(len(grids) * (wide + GAP), LABEL + GAP + tall)
    for index, (title, grid) in enumerate(grids.items()):
        _title(figure, index * (wide + GAP), title)
        enlarged = grid.repeat(zoom, 0).repeat(zoom, 1)
        figure.figimage(enlarged, index * (wide + GAP), 0, cmap="gray", vmin=0, vmax=255, origin="upper")
    return figure


def _square(*around: Float[np.ndarray, "_ 2"]) -> tuple[Float[np.ndarray, "2"], float]:
    """Return the center and half the width of a square around these points."""
    both = np.concatenate(around)
    return (both.min(0) + both.max(0)) / 2, float(np.ptp(both, axis=0).max() / 2 * 1.2) or 1.0


def _height(points: Mapping[str, Float[np.ndarray, "_ 2"]], frame: tuple[Float[np.ndarray, "2"], float]) -> float:
    """Return the share of the height of a square that points need, symmetrical around its center."""
    center, half = frame
    return min(1.0, 0.1 + 1.1 * max(float(np.abs(_bulk(x)[:, 1] - center[1]).max()) for x in points.values()) / half)


def _bulk(x: Float[np.ndarray, "n *d"]) -> Float[np.ndarray, "2 *d"]:
    """Return the corners of a box that leaves out 0.1 % of each coordinate at each end."""
    return np.quantile(x, (0.001, 0.999), axis=0)


def _marginal(axes: "Axes", real: Float[np.ndarray, "n"], samples: Float[np.ndarray, "m"]) -> None:
    """Draw histograms of a coordinate: data filled, samples as a line."""
    low, high = _bulk(real)
    ends = low - 0.1 * (high - low or 1), high + 0.1 * (high - low or 1)
    looks: list[dict[str, Any]] = [{"color": INK, "alpha": 0.4}, {"color": COLOR, "histtype": "step"}]
    for x, look in zip((real, samples), looks, strict=True):
        bins = min(48, max(10, int(3 * len(x) ** (1 / 3))))
        axes.hist(x, bins, range=ends, weights=np.full(len(x), bins / len(x)), **look)
    axes.set_xlim(ends)
    axes.set_axis_off()


def _ways(evaluation: Evaluation, data: Data) -> Float[np.ndarray, "times n 2"] | None:
    """Return trajectories from noise; None if the samples of the model do not follow an ODE."""
    model = evaluation.model
    if not isinstance(model, Transport) or model.conditional or evaluation.options.get("guidance"):
        return None
    start = noise(model.source, WAYS, derive(0, "picture")).to(next(model.parameters()).device)
    with torch.no_grad():
        path = trajectory(lambda t, x: model.velocity(t, x, None), start, torch.linspace(0, 1, TIMES), tol=1e-4).x
    return data.space.decode(path.cpu()).numpy().astype(np.float64) if bool(torch.isfinite(path).all()) else None


def _principal(x: Float[np.ndarray, "n d"]) -> tuple[Float[np.ndarray, "d"], Float[np.ndarray, "d 2"]]:
    """Return the center and the first two principal axes of data."""
    center = x.mean(0)
    _, axes = np.linalg.eigh(np.cov(x.T))
    return center, axes[:, :-3:-1]
