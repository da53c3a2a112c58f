"""Losses: the training losses on a data set, drawn once from saved logs into RESULTS/SUITE/pictures."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from genbench.analysis.values import by_model
from genbench.errors import first_line
from genbench.report.blocks import Picture
from genbench.report.formats.figures import write_charts
from genbench.report.pictures import MAX_BYTES, name_of
from genbench.report.plots import training_loss
from genbench.results.reader import Run
from genbench.storage import files

log = logging.getLogger("genbench")

BINS, MAX_HEADER = 48, 10_000
"""Points of a curve; bytes of the head of a log."""
CAPTION = (
    "Training loss: mean over seeds, from its first value to its lowest. Losses of different methods are different "
    "quantities, of which only the shapes are comparable."
)


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
    return Picture(path, "Training loss", CAPTION)


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
