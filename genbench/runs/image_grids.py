"""Galleries: samples kept as arrays, and images as pages to look at."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from genbench.core import Data
from genbench.metrics.evaluation import Evaluation
from genbench.space import Pixels
from genbench.storage import files

PAGE = 100
"""Samples on a page, ten in a row."""


def pictured(data: Data) -> bool:
    """Return whether samples can be looked at."""
    return isinstance(data.space, Pixels) and len(data.event.shape) == 3


def keep_samples(folder: Path, evaluation: Evaluation, data: Data) -> None:
    """Keep the samples as a compressed array of raw data, and images as pages to look at."""
    if evaluation.failures:
        return
    arrays = {"samples": data.space.decode(evaluation.x).numpy()}
    arrays |= {"label": evaluation.label.numpy()} if evaluation.label is not None else {}
    files.replace(folder / "samples.npz", lambda temporary: _savez(temporary, arrays))
    keep_page(folder / "samples.png", evaluation, data)
    keep_pages(folder, evaluation, data)


def keep_pages(folder: Path, evaluation: Evaluation, data: Data) -> list[Path]:
    """Keep the pages that metrics have made, and return their paths."""
    kept = {folder / f"{name}.png": page for name, page in evaluation.image_grids.items()}
    for path, page in kept.items():
        _draw(path, page.numpy(), data)
    return list(kept)


def keep_page(path: Path, evaluation: Evaluation, data: Data) -> None:
    """Keep the first hundred samples as a page to look at, if they are images."""
    if not evaluation.failures:
        _draw(path, data.space.decode(evaluation.x[:PAGE]).numpy(), data)


def _draw(path: Path, raw: np.ndarray, data: Data) -> None:
    if isinstance(data.space, Pixels) and pictured(data):
        page = _grid(raw * (255 // (data.space.levels - 1)))
        files.replace(path, lambda temporary: page.save(temporary, format="PNG"))


def _savez(path: Path, arrays: Mapping[str, Any]) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _grid(images: np.ndarray) -> Image.Image:
    """Lay images (n, channels, height, width) of 0..255 out in rows of ten, small ones enlarged to 32 pixels."""
    enlarge = max(1, 32 // images.shape[2])
    images = np.pad(images.repeat(enlarge, 2).repeat(enlarge, 3), ((0, -len(images) % 10), (0, 0), (1, 1), (1, 1)))
    rows, (_, channels, height, width) = len(images) // 10, images.shape
    sheet = images.reshape(rows, 10, channels, height, width).transpose(0, 3, 1, 4, 2)
    sheet = sheet.reshape(rows * height, 10 * width, channels).astype(np.uint8)
    return Image.fromarray(sheet[..., 0] if channels == 1 else sheet)
