"""Samples as files: raw arrays, grids of images, and the picture of a run, which shows samples beside held-out data."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

from genbench.core import Data, Transport
from genbench.errors import first_line
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.sampling import noise
from genbench.numerics.ode import trajectory
from genbench.runs.monitoring import drawing
from genbench.runs.monitoring.drawing import COLOR, GAP, INK, LABEL, Opacity
from genbench.seeds import derive
from genbench.space import Pixels
from genbench.storage import arrays, files

log = logging.getLogger("genbench")

GRID_SIZE = 100
"""Number of samples in a grid, in rows of ten."""

NAME = "samples.png"
"""Name of the file beside the record of a run."""
TILE, WAYS, TIMES = 480, 60, 33
"""Pixels of a tile; number of trajectories that are drawn, and of points on each."""
IMAGES = 40
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
    images = np.pad(images.repeat(enlarge, 2).repeat(enlarge, 3), ((0, -len(images) % 10), (0, 0), (1, 1), (1, 1)))
    rows, (_, channels, height, width) = len(images) // 10, images.shape
    grid = images.reshape(rows, 10, channels, height, width).transpose(0, 3, 1, 4, 2)
    grid = grid.reshape(rows * height, 10 * width, channels).astype(np.uint8)
    return Image.fromarray(grid[..., 0] if channels == 1 else grid)


def save_sample_picture(folder: Path, evaluation: Evaluation, data: Data) -> Path | None:
    """Draw samples beside held-out data as samples.png, and return its path; if drawing fails, warn and return None.

    2D points are drawn with the paths of a few of them from noise, images as grids, other vectors by their first two
    principal components and their first marginals.
    """
    path = folder / NAME
    try:
        drawn = sample_picture(evaluation, data)
        files.replace(path, lambda place: drawn.save(place, format="PNG"))
    except Exception as error:
        log.warning("no picture of the samples: %s", first_line(error))
        return None
    return path


def sample_picture(evaluation: Evaluation, data: Data) -> Image.Image:
    """Return the picture of samples beside held-out data."""
    finite = torch.isfinite(evaluation.x.flatten(1)).all(1)
    if not finite.any():
        raise ValueError("no sample is finite")
    samples = data.space.decode(evaluation.x[finite]).numpy()
    test = data.test.take(min(len(samples), data.test.size or len(samples)), derive(0, "picture")).x
    real = data.space.decode(test).numpy()
    if isinstance(data.space, Pixels) and has_images(data):
        sheets = {"data": real, "samples": samples}
        tiled = {title: drawing.tiled(data.space.gray(images[:IMAGES])) for title, images in sheets.items()}
        return drawing.gallery(tiled, samples.shape[2])
    flat = [part.reshape(len(part), -1).astype(np.float64) for part in (real, samples)]
    real, samples = flat
    if real.shape[1] == 1:
        return _joined([("data and samples", _marginals(real, samples))])
    center, axes = (np.zeros(2), np.eye(2)) if real.shape[1] == 2 else _principal(real)
    plane, generated = (real - center) @ axes, (samples - center) @ axes
    frame = drawing.square([drawing.bulk(plane)])
    what = "" if real.shape[1] == 2 else ", principal components"
    tiles = [
        (f"data{what}", _colored([(INK, drawing.scatter(plane, frame, TILE))])),
        (f"samples{what}", _colored([(COLOR, drawing.scatter(generated, frame, TILE))])),
    ]
    if real.shape[1] > 2:
        tiles.append((f"first {min(DIMENSIONS, real.shape[1])} coordinates", _marginals(real, samples)))
    elif (path := _ways(evaluation, data)) is not None:
        frame = drawing.square([drawing.bulk(plane), *path[[0, -1]]])
        ends = [(color, drawing.scatter(points, frame, TILE)) for color, points in ((INK, path[0]), (COLOR, path[-1]))]
        tiles.append(("from noise to samples", _colored([(COLOR, drawing.lines(path, frame, TILE)), *ends])))
    return _joined(tiles)


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


def _marginals(real: Float[np.ndarray, "n d"], samples: Float[np.ndarray, "m d"]) -> Image.Image:
    """Draw histograms of the first coordinates: data filled, samples as a line."""
    shown = min(real.shape[1], DIMENSIONS)
    across = 1 if shown == 1 else 2
    size = (TILE - GAP * (across - 1)) // across
    tile = Image.new("RGBA", (TILE, TILE))
    for k in range(shown):
        low, high = drawing.bulk(real[:, k : k + 1])[:, 0]
        ends = low - 0.1 * (high - low or 1), high + 0.1 * (high - low or 1)
        heights = [drawing.histogram(part[:, k], ends, size) for part in (real, samples)]
        peak = max(heights[0].max(), heights[1].max()) * 1.05
        filled, line = (np.rint(height / peak * (size - 1)).astype(int) for height in heights)
        row = np.arange(size)[::-1, None]
        edge = np.maximum(line, np.r_[line[1:], line[-1:]])  # a vertical line joins bars of different height
        low_edge = np.minimum(line, np.r_[line[1:], line[-1:]])
        layers = [
            (INK, np.where(row < filled, 110, 0).astype(np.uint8)),
            (COLOR, np.where((row <= edge + 1) & (row >= low_edge - 1), 255, 0).astype(np.uint8)),
        ]
        tile.paste(_colored(layers), (k % across * (size + GAP), k // across * (size + GAP)))
    return tile


def _colored(layers: Sequence[tuple[tuple[int, int, int], Opacity]]) -> Image.Image:
    """Return the layers in their colors, the last layer on top."""
    whole = Image.new("RGBA", (layers[0][1].shape[1], layers[0][1].shape[0]))
    for color, opacity in layers:
        layer = Image.new("RGBA", whole.size, (*color, 255))
        layer.putalpha(Image.fromarray(opacity))
        whole = Image.alpha_composite(whole, layer)
    return whole


def _joined(tiles: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Return tiles side by side, with their titles above them, without pixel rows that are empty in all tiles."""
    row = Image.new("RGBA", (len(tiles) * (TILE + GAP), TILE))
    for number, (_, tile) in enumerate(tiles):
        row.paste(tile, (number * (TILE + GAP), 0))
    _, top, _, bottom = row.getbbox() or (0, 0, 0, TILE)
    whole = Image.new("RGBA", (row.width, LABEL + GAP + bottom - top))
    whole.paste(row.crop((0, top, row.width, bottom)), (0, LABEL + GAP))
    for number, (title, _) in enumerate(tiles):
        whole.paste((*INK, 255), (number * (TILE + GAP), 0), Image.fromarray(drawing.label(title, TILE)))
    return whole
