"""Samples: pictures of what models generate, and their loss curves, drawn from kept runs."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter

from genbench.analysis.suite_results import digest
from genbench.analysis.values import by_model
from genbench.core import Data, Model, Transport
from genbench.errors import ConfigError, RunFailed, Unsupported, first_line
from genbench.metrics.sampling import draw, noise
from genbench.models.build import build_model
from genbench.numerics.ode import trajectory
from genbench.report.blocks import Flow, Gallery, Panel
from genbench.report.drawings import DENSITY_SIZE, FLOW_DATA, IMAGE_DATA, PANEL, SHEET, TRAINING, Arrays, Drawings
from genbench.results.reader import Run
from genbench.runs.make_spec import restore_spec
from genbench.runs.monitoring.image_grids import has_images
from genbench.runs.spec import Spec, build_data, plan_of
from genbench.runs.weights_file import restore_weights
from genbench.seeds import derive
from genbench.space import Pixels
from genbench.storage import arrays, files

log = logging.getLogger("genbench")

TIMES = 17
POINTS = 200
DENSITY_SAMPLES = 8192
LOSS_BINS = 48
MAX_HEADER = 10_000
GRID_IMAGES = 40


def sample_picture(name: str, runs: Sequence[Run], drawings: Drawings) -> Flow | Gallery | str | None:
    """Return the picture of a data set, or the reason why it is missing; None for data that cannot be pictured.

    For each model the run with the lowest seed is shown, among those that can be drawn.

    Args:
        name: name of the picture.
        runs: all of one data set.
        drawings: the cache.
    """
    spec = runs[0].record["spec"]
    try:
        reference = drawings.get(
            f"data {digest(spec['data'])}", lambda: _reference(build_data(spec["data"])), FLOW_DATA, IMAGE_DATA
        )
    except (Unsupported, ConfigError, OSError) as error:
        return f"The data is not available to be drawn: {error}"
    if not reference:
        return None
    drawn, missing = [], {}
    for model, of_model in by_model(runs):
        reasons = []
        for run in sorted(of_model, key=lambda run: run.seed):
            try:
                drawn.append((model, run.seed, _drawing(run, reference, drawings)))
                break
            except (Unsupported, ConfigError, RunFailed) as reason:
                reasons.append(str(reason))
        else:
            missing.setdefault("; ".join(dict.fromkeys(reasons)), []).append(model)
    without = tuple(f"{', '.join(models)}: {reason}" for reason, models in missing.items())
    if not drawn:
        return f"Nothing could be drawn. {'; '.join(without)}."
    if "sheet" in reference:
        height = int(reference["height"])
        grids = [("data", reference["sheet"]), *((model, arrays["sheet"]) for model, _, arrays in drawn)]
        caption = f"The first {GRID_IMAGES} samples of the run with the lowest seed, not selected."
        return Gallery(name, tuple(grids), max(1, 32 // (height + 1)), caption, without)
    panels = [Panel(model, seed, arrays["paths"], arrays["density"]) for model, seed, arrays in drawn]
    data = Panel("data", 0, reference["paths"], reference["density"])
    left, right, bottom, top = (float(x) for x in reference["frame"])
    return Flow(name, (left, right, bottom, top), data, tuple(panels), _CAPTION, without)


_CAPTION = (
    f"{POINTS} points from the same noise for every model, and the density of "
    f"{DENSITY_SAMPLES} samples (shade: square root of the density, on one scale for all panels, darkest at the "
    "maximum of the data). Points outside the frame are drawn on its edge. Each model is shown by its kept run with "
    "the lowest seed."
)


def _drawing(run: Run, reference: Arrays, drawings: Drawings) -> Arrays:
    key = f"{run.record['labels']['run']} {digest(run.record['spec']['sample'])}"
    if "sheet" in reference:
        return drawings.get(key, lambda: _image_grid(run), SHEET)
    return drawings.get(key, lambda: _panel(run, reference), PANEL)


def _reference(data: Data) -> Arrays:
    """Draw the data itself; empty if it is neither two-dimensional nor images."""
    if isinstance(data.space, Pixels) and has_images(data):
        raw = data.space.decode(data.test.take(GRID_IMAGES, derive(0, "picture")).x).numpy()
        return {"sheet": _tiled(data.space.gray(raw)), "height": np.array(raw.shape[2])}
    if data.event.shape != (2,):
        return {}
    x = _raw(data, data.test.take(DENSITY_SAMPLES, derive(0, "picture")).x)
    start = _raw(data, noise(data.source, POINTS * 4, derive(0, "picture")))
    both = np.concatenate([np.quantile(x, (0.001, 0.999), axis=0), np.quantile(start, (0.02, 0.98), axis=0)])
    center, half = (both.min(0) + both.max(0)) / 2, np.ptp(both, axis=0).max() / 2 * 1.2
    frame = np.array([center[0] - half, center[0] + half, center[1] - half, center[1] + half], dtype=np.float32)
    shades, peak = _shades(x[None], frame, None)
    return {"frame": frame, "peak": np.array(peak), "paths": _quantized(x[None, :POINTS], frame), "density": shades}


def _panel(run: Run, reference: Arrays) -> Arrays:
    spec, model, data = _trained(run)
    torch.set_num_threads(plan_of(spec).threads)
    seed = derive(0, "picture")
    if isinstance(model, Transport) and not model.conditional and not spec.sample.get("guidance"):
        with torch.no_grad():
            x0 = noise(model.source, DENSITY_SAMPLES, seed)
            path = trajectory(lambda t, x: model.velocity(t, x, None), x0, torch.linspace(0, 1, TIMES), tol=1e-4).x
    else:
        path = draw(model, DENSITY_SAMPLES, spec.evaluation["batch"], seed, spec.sample)[0][None]
    raw = _raw(data, path)
    if not np.isfinite(raw).all():
        raise Unsupported("some of its samples are not finite")
    frame, peak = reference["frame"], float(reference["peak"])
    return {"paths": _quantized(raw[:, :POINTS], frame), "density": _shades(raw, frame, peak)[0]}


def _trained(run: Run) -> tuple[Spec, Model, Data]:
    """Return spec, model and data of a run. Raises Unsupported if its weights are not kept."""
    if run.folder is None or not (weights := run.folder.parent / "model.safetensors").exists():
        raise Unsupported("its weights are not kept here")
    spec = restore_spec(run.record["spec"])
    data = build_data(spec.data)
    model = build_model(spec.model, spec.encoder, data)
    restore_weights(model, weights, spec)
    return spec, model.eval(), data


def _image_grid(run: Run) -> Arrays:
    path = run.folder / "samples.npz" if run.folder is not None else None
    if path is None or not path.exists():
        raise Unsupported("its samples are not kept here")
    space = build_data(run.record["spec"]["data"]).space
    assert isinstance(space, Pixels)
    samples = arrays.load(path, "samples")
    if samples.dtype != np.uint8 or samples.ndim != 4 or 0 in samples.shape or samples.shape[1] not in (1, 3):
        raise Unsupported(f"{files.shown(path)} holds no images: its samples are {samples.dtype} {samples.shape}")
    return {"sheet": _tiled(space.gray(samples[:GRID_IMAGES]))}


def _raw(data: Data, x: torch.Tensor) -> np.ndarray:
    return data.space.decode(x).numpy().astype(np.float64)


def _quantized(x: Float[np.ndarray, "times n 2"], frame: np.ndarray) -> UInt8[np.ndarray, "times n 2"]:
    """Quantise points to 0..255 within the frame, y downwards."""
    left, right, bottom, top = frame
    unit = np.stack([(x[..., 0] - left) / (right - left), (top - x[..., 1]) / (top - bottom)], axis=-1)
    return np.rint(np.clip(unit, 0, 1) * 255).astype(np.uint8)


def _shades(
    x: Float[np.ndarray, "times n 2"], frame: np.ndarray, peak: float | None
) -> tuple[UInt8[np.ndarray, "times size size"], float]:
    """Return shades of the density of points, and the density of the darkest shade (by default the maximum)."""
    left, right, bottom, top = frame
    shades = []
    for points in x:
        counts, _, _ = np.histogram2d(-points[:, 1], points[:, 0], DENSITY_SIZE, [[-top, -bottom], [left, right]])
        shades.append(gaussian_filter(counts / len(points), 0.8, mode="constant"))
    peak = float(np.max(shades)) if peak is None else peak
    return np.rint(np.sqrt(np.clip(np.array(shades) / peak, 0, 1)) * 15).astype(np.uint8) * np.uint8(17), peak


def _tiled(images: UInt8[np.ndarray, "n channels height width"]) -> np.ndarray:
    """Tile images in rows at most 340 pixels wide, a gray pixel apart."""
    n, channels, height, width = images.shape
    across = max(2, min(10, 340 // (width + 1)))
    rows = -(-n // across)
    sheet = np.full((rows * (height + 1) - 1, across * (width + 1) - 1, channels), 127, dtype=np.uint8)
    for index, image in enumerate(images):
        top, left = index // across * (height + 1), index % across * (width + 1)
        sheet[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return sheet[..., 0] if channels == 1 else sheet


def loss_curves(runs: Sequence[Run], drawings: Drawings) -> Iterator[tuple[str, Float[np.ndarray, "bins"], np.ndarray]]:
    """Yield the training loss of each model: label, steps, and losses of shape (seeds, bins), averaged within bins."""
    for model, of_model in by_model(runs):
        of_model = sorted(of_model, key=lambda run: run.seed)
        key = f"{of_model[0].record['labels']['run']} training"
        logs = [log for run in of_model if run.folder and (log := _log(run.folder.parent / "train.csv")) is not None]
        try:
            if len(logs) == len(of_model):  # otherwise the cached curve may be of more seeds
                drawings.replace(key, _binned(logs))
            arrays = drawings.get(key, lambda logs=logs: _binned(logs), TRAINING)
        except Unsupported:
            continue
        yield model, arrays["step"], arrays["loss"]


def _log(path: Path) -> pd.DataFrame | None:
    """Read the steps and losses of a training; None if there are none, or if the file is damaged, which is reported."""
    try:
        with files.open_regular(path, files.MAX_TEXT) as file:
            names = (
                file.readline(MAX_HEADER).decode().strip().split(",")
            )  # pandas names repeated columns in square time
            read = pd.read_csv(file, names=names, usecols=["step", "loss"], dtype=float)
        if len(read) and bool((read.abs() <= np.finfo(np.float32).max).all(axis=None)):
            return read
        log.warning("%s is not drawn: %s", files.shown(path), "a number is not finite" if len(read) else "it is empty")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("%s is not drawn: %s", files.shown(path), first_line(error))
    return None


def _binned(logs: Sequence[pd.DataFrame]) -> Arrays:
    if not logs:
        raise Unsupported("its log is not kept here")
    length = min(len(log) for log in logs)
    parts = np.array_split(np.arange(length), min(LOSS_BINS, length))
    steps, losses = logs[0]["step"].to_numpy(), np.array([log["loss"].to_numpy()[:length] for log in logs])
    means = [losses[:, part].mean(1) for part in parts]
    return {
        "step": np.array([steps[part].mean() for part in parts], dtype=np.float32),
        "loss": np.array(means, dtype=np.float32).T,
    }
