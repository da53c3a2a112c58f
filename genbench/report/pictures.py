"""Pictures of what models generate: those that runs drew of their samples, or the published ones of a suite."""

import logging
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from genbench.analysis.labels import slug
from genbench.analysis.values import by_model, digest
from genbench.errors import first_line
from genbench.report.blocks import Picture
from genbench.results.reader import Run
from genbench.runs.monitoring.sample_files import NAME, SCALE
from genbench.storage import files

log = logging.getLogger("genbench")

TOP = 30, 526, 992, 270
"""Pixels of a published picture of points: height of its labels, top of its last row, width and height of an excerpt.

The last row has samples, the rows above it earlier times."""
SHADES = 48
"""Number of colors of a small picture; few colors keep the file small."""
MAX_BYTES = 2**23
"""Size of a picture above which it is not shown."""


def sample_pictures(folder: Path, data: str, runs: Sequence[Run]) -> list[Picture | str]:
    """Return the pictures of a data set: one of each model, or the published one of the suite in this folder.

    The published picture is shown if it exists and the runs of some models have no picture here.
    """
    drawn = {model: run_picture(model, own) for model, own in by_model(runs)}
    lacking = [model for model, picture in drawn.items() if picture is None]
    path = folder / "pictures" / f"{name_of(data)}.png"
    if lacking and (about := _about(path)) is not None:
        return [Picture(path, "Samples of all models", str(about.get("Description", "")))]
    shown = [picture for picture in drawn.values() if picture is not None]
    return [*shown, *([f"Without a saved picture: {', '.join(lacking)}."] if shown and lacking else [])]


def run_picture(model: str, runs: Sequence[Run]) -> Picture | None:
    """Return the picture that the saved run of a model with the lowest seed drew; None if there is no intact one."""
    for run in sorted(runs, key=lambda run: run.seed):
        if run.folder is not None and _about(path := run.folder / NAME) is not None:
            return Picture(path, f"Samples of {model}", f"{model}: samples beside held-out data, seed {run.seed}.")
    return None


def small(picture: Picture) -> bytes:
    """Return a picture for a page of several: the picture of a run at half its size and in few colors."""
    return _encoded(_whole(picture).reduce(SCALE)) if _is_of_run(picture) else files.read(picture.path)


def excerpt(picture: Picture) -> bytes:
    """Return a part of a picture as a small PNG: of a published one the top left, of points only their last row."""
    if _is_of_run(picture):
        return small(picture)
    whole, (label, last, *size) = _whole(picture), TOP
    if whole.mode == "P":
        whole.paste(whole.crop((0, last, *whole.size)), (0, label))
    return _encoded(whole.crop((0, 0, *np.minimum(whole.size, size).tolist())))


def name_of(data: str) -> str:
    """Return the name of a data set's file; names of different data sets differ."""
    return data if slug(data) == data else f"{slug(data)}-{digest(data)[:4]}"


def _is_of_run(picture: Picture) -> bool:
    return picture.path.name == NAME


def _whole(picture: Picture) -> Image.Image:
    with Image.open(picture.path, formats=["PNG"]) as image:
        return image.copy()


def _encoded(image: Image.Image) -> bytes:
    file = BytesIO()
    image.convert("RGBA").quantize(SHADES).save(file, format="PNG", optimize=True)
    return file.getvalue()


def _about(path: Path) -> dict[Any, Any] | None:
    """Read what a picture states about itself; None without a picture, or with a damaged one, which is reported."""
    try:
        with files.open_regular(path, MAX_BYTES) as file, Image.open(file, formats=["PNG"]) as image:
            image.load()
            return image.info
    except FileNotFoundError:
        return None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        log.warning("%s is damaged and not shown: %s", files.shown(path), first_line(error))
        return None
