"""Samples as files: arrays of raw data, and grids of images as PNG."""

from pathlib import Path

import numpy as np
from PIL import Image

from genbench.core import Data
from genbench.metrics.evaluation import Evaluation
from genbench.space import Pixels
from genbench.storage import arrays, files

GRID_SIZE = 100
"""Samples in a grid, in rows of ten."""


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
