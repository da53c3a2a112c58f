"""Pictures of what models generate: drawn once from saved runs into RESULTS/SUITE/pictures, one file per data set.

A picture states which runs it shows. It is drawn again only for other runs of at least as many models.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, PngImagePlugin

from genbench.analysis.labels import slug
from genbench.analysis.values import by_model, digest
from genbench.core import Data, Transport
from genbench.errors import ConfigError, MissingFile, RunFailed, Unsupported, first_line
from genbench.metrics.sampling import draw, drawn_labels, noise
from genbench.models.build import build_model
from genbench.numerics.ode import trajectory
from genbench.report.blocks import Picture
from genbench.results.reader import Run
from genbench.runs.make_spec import restore_spec
from genbench.runs.monitoring import drawing, sample_files
from genbench.runs.monitoring.drawing import COLOR, GAP, INK, LABEL, SCALE, Sheet, gallery, stacked, tiled
from genbench.runs.monitoring.sample_files import has_images
from genbench.runs.record import identity
from genbench.runs.spec import build_data, plan_of, sampling_of
from genbench.runs.weights_file import restore_weights
from genbench.seeds import derive
from genbench.space import Pixels
from genbench.storage import arrays, files

log = logging.getLogger("genbench")

T = TypeVar("T")

VERSION = 2
"""Pictures of another version are drawn again where their runs are saved."""
TIMES, POINTS, DENSITY_SAMPLES, DENSITY_SIZE = (0.0, 0.5, 1.0), 200, 8192, 48
IMAGES = 40
TILE, ACROSS = 240, 10
"""Pixels of a density; most tiles in a row."""
SHADES = 48
"""Number of colors of an excerpt; few colors keep the file small."""
EXCERPT = 4 * (TILE + GAP), LABEL + TILE
"""Width and height of an excerpt in pixels; it shows only the first models."""
MAX_BYTES = 2**23
"""Size of a picture above which it is not shown."""


@dataclass(frozen=True)
class Panel:
    """Samples of one model in 2D at times from 0 to 1; models without a trajectory have the time 1 only.

    Args:
        shades: density at each time, rows from the top: square root of the density, 255 at the maximum of the data.
        points: positions of some samples at each time, 0..255 from the left and from the top of the frame.
    """

    label: str
    shades: UInt8[np.ndarray, "times size size"]
    points: UInt8[np.ndarray, "times n 2"]


FLOW_CAPTION = (
    f"From noise (t = 0, top) over t = 1/2 to samples (t = 1): {POINTS} points from the same noise for every model, "
    f"and the density of {DENSITY_SAMPLES} samples (shade: its square root, on one scale for all panels, darkest at "
    "the maximum of the data). Points outside the frame are drawn on its edge. Each model is shown by its saved run "
    "with the lowest seed."
)
BESIDE_CAPTION = "Held-out data beside samples, of each model from its saved run with the lowest seed."
GRID_CAPTION = f"The first {IMAGES} samples of the run with the lowest seed, not selected."


def sample_picture(folder: Path, data: str, runs: Sequence[Run]) -> Picture | str | None:
    """Return the picture of a data set in the folder of its suite, drawn if it is missing or shows other runs.

    Each model is shown by its saved run with the lowest seed.

    Returns:
        The picture, or the reason why there is none; None for data that cannot be pictured, or without saved runs.
    """
    path = folder / "pictures" / f"{name_of(data)}.png"
    shown = {model: run for model, own in by_model(runs) if (run := _saved(own)) is not None}
    key = digest(VERSION, [(model, *identity(run.record)) for model, run in shown.items()])
    known = _described(path)
    if shown and (known is None or (known.key != key and len(shown) >= known.models)):
        try:
            image, caption, missing = _drawn(shown)
        except (Unsupported, ConfigError, OSError) as error:
            image, caption, missing = None, f"The data is not available to be drawn: {error}.", {}
        if caption and (without := [model for model, _ in by_model(runs) if model not in shown]):
            missing["its weights are not saved here"] = without
        caption += "".join(f" Not shown: {', '.join(models)}: {why}." for why, models in missing.items())
        if image is not None:
            save(path, image, caption, key, len(shown))
            known = _described(path)
        elif known is None:
            return caption or None
    return None if known is None else Picture(path, "Samples of all models", known.caption)


def run_picture(runs: Sequence[Run]) -> Picture | None:
    """Return the picture that the saved run with the lowest seed drew; None if no intact picture exists."""
    run = _saved(runs)
    if run is None or run.folder is None:
        return None
    try:
        _picture(run)
    except Unsupported:
        return None
    return Picture(run.folder / sample_files.NAME, "Samples", BESIDE_CAPTION)


def excerpt(picture: Picture) -> bytes:
    """Return the top left of a picture as a small PNG; for points, only labels and samples, without earlier times."""
    with Image.open(picture.path, formats=["PNG"]) as image:
        whole, points = image.convert("RGBA"), image.mode == "P"
    if points:
        whole.paste(whole.crop((0, LABEL + (len(TIMES) - 1) * (TILE + GAP), *whole.size)), (0, LABEL))
    cut = whole.crop((0, 0, *np.minimum(whole.size, EXCERPT).tolist()))
    file = BytesIO()
    cut.quantize(SHADES).save(file, format="PNG", optimize=True)
    return file.getvalue()


class _Description(NamedTuple):
    caption: str
    key: str
    models: int


def save(path: Path, image: Image.Image, caption: str, key: str, models: int) -> None:
    """Save a picture as PNG, with its caption, the key of the runs that it shows, and their number."""
    about = PngImagePlugin.PngInfo()
    about.add_itxt("Description", caption)
    about.add_text("genbench", f"{key} {models}")
    files.replace(path, lambda place: image.save(place, format="PNG", optimize=True, pnginfo=about))


def _described(path: Path) -> _Description | None:
    """Read what a picture states about itself; None without a picture, or with a damaged one, which is reported."""
    try:
        with files.open_regular(path, MAX_BYTES) as file, Image.open(file, formats=["PNG"]) as image:
            key, models = image.info["genbench"].split()
            return _Description(str(image.info["Description"]), key, int(models))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, SyntaxError, Image.DecompressionBombError) as error:
        log.warning("%s is damaged and not shown: %s", files.shown(path), first_line(error))
        return None


def name_of(data: str) -> str:
    """Return the name of a data set's file; names of different data sets differ."""
    return data if slug(data) == data else f"{slug(data)}-{digest(data)[:4]}"


def _saved(runs: Sequence[Run]) -> Run | None:
    """Return the run with the lowest seed among runs with saved weights or samples."""
    for run in sorted(runs, key=lambda run: run.seed):
        if run.folder and ((run.folder.parent / "model.safetensors").exists() or (run.folder / "samples.npz").exists()):
            return run
    return None


def _drawn(runs: Mapping[str, Run]) -> tuple[Image.Image | None, str, dict[str, list[str]]]:
    """Draw a data set; return the picture if there is one, its caption, and {reason: models} of the missing ones.

    Raises:
        Unsupported, ConfigError, OSError: if the data is not available, and no run has drawn it.
    """
    try:
        data = build_data(next(iter(runs.values())).record["spec"]["data"])
    except (Unsupported, ConfigError, OSError):  # its file is not here, but a run may have drawn it
        drawn = _beside_data(runs)
        if drawn[0] is None:
            raise
        return drawn
    if isinstance(data.space, Pixels) and has_images(data):
        raw, space = data.space.decode(data.test.take(IMAGES, derive(0, "picture")).x).numpy(), data.space
        sheets, missing = _each(runs, lambda run: _sheet(run, space))
        sheets = {"data": tiled(space.gray(raw)), **sheets}
        return gallery(sheets, raw.shape[2]) if len(sheets) > 1 else None, GRID_CAPTION, missing
    if data.event.shape != (2,):
        return _beside_data(runs)
    frame, x = _frame(data)
    shades, peak = _shades(x[None], frame, None)
    panels, missing = _each(runs, lambda run: _panel(run, data, frame, peak))
    real = Panel("data", shades, _quantized(x[None, :POINTS], frame))
    return flow(real, list(panels.values())) if panels else None, FLOW_CAPTION, missing


def _beside_data(runs: Mapping[str, Run]) -> tuple[Image.Image | None, str, dict[str, list[str]]]:
    """Return the pictures that runs have drawn of themselves, one below the other."""
    drawn, missing = _each(runs, _picture)
    return (stacked(drawn), BESIDE_CAPTION, missing) if drawn else (None, "", {})


def _each(runs: Mapping[str, Run], draw: Callable[[Run], T]) -> tuple[dict[str, T], dict[str, list[str]]]:
    drawn, missing = {}, {}
    for model, run in runs.items():
        try:
            drawn[model] = draw(run)
        except (Unsupported, ConfigError, RunFailed) as reason:
            missing.setdefault(str(reason), []).append(model)
    return drawn, missing


def _frame(data: Data) -> tuple[np.ndarray, Float[np.ndarray, "n 2"]]:
    """Return left, right, bottom and top of all panels in raw units, and real data."""
    x = _raw(data, data.test.take(DENSITY_SAMPLES, derive(0, "picture")).x)
    start = _raw(data, noise(data.source, POINTS * 4, derive(0, "picture")))
    both = np.concatenate([np.quantile(x, (0.001, 0.999), axis=0), np.quantile(start, (0.02, 0.98), axis=0)])
    center, half = (both.min(0) + both.max(0)) / 2, np.ptp(both, axis=0).max() / 2 * 1.2
    return np.array([center[0] - half, center[0] + half, center[1] - half, center[1] + half]), x


def _panel(run: Run, data: Data, frame: np.ndarray, peak: float) -> Panel:
    """Draw samples of a model, or its saved samples if its Python file is missing; Unsupported if it diverges."""
    weights = run.folder.parent / "model.safetensors" if run.folder else None
    if weights is None or not weights.exists():
        raise Unsupported("its weights are not saved here")
    try:
        spec = restore_spec(run.record["spec"])
    except MissingFile:
        return _saved_panel(run, frame, peak)
    model = build_model(spec.model, spec.encoder, data)
    restore_weights(model, weights, spec)
    model.eval()
    torch.set_num_threads(plan_of(spec).threads)
    seed = derive(0, "picture")
    if isinstance(model, Transport) and not model.conditional and not spec.sample.get("guidance"):
        with torch.no_grad():
            x0 = noise(model.source, DENSITY_SAMPLES, seed)
            path = trajectory(lambda t, x: model.velocity(t, x, None), x0, torch.tensor(TIMES), tol=1e-4).x
    else:
        label = drawn_labels(model, data, DENSITY_SAMPLES, seed, sampling_of(spec).labels)
        path = draw(model, DENSITY_SAMPLES, spec.evaluation["batch"], seed, spec.sample, label=label)[0][None]
    raw = _raw(data, path)
    if not np.isfinite(raw).all():
        raise Unsupported("some of its samples are not finite")
    return Panel(run.model, _shades(raw, frame, peak)[0], _quantized(raw[:, :POINTS], frame))


def _saved_panel(run: Run, frame: np.ndarray, peak: float) -> Panel:
    """Draw the saved samples of a model. Raises Unsupported if they are not points."""
    raw = _samples(run)
    if raw.dtype.kind != "f" or raw.ndim != 2 or raw.shape[1] != 2 or not np.isfinite(raw).all():
        raise Unsupported("its saved samples are not points")
    path = raw[None].astype(np.float64)
    return Panel(run.model, _shades(path, frame, peak)[0], _quantized(path[:, :POINTS], frame))


def _samples(run: Run) -> np.ndarray:
    """Read the saved samples of a run. Raises Unsupported if there are none, ConfigError if damaged."""
    path = run.folder / "samples.npz" if run.folder else None
    if path is None or not path.exists():
        raise Unsupported("no samples are saved here")
    return arrays.load(path, "samples")


def _picture(run: Run) -> Image.Image:
    """Read the picture of a run, which was drawn when its data was at hand. Raises Unsupported if there is none."""
    path = run.folder / sample_files.NAME if run.folder else None
    if path is None or not path.exists():
        raise Unsupported("no picture is saved here")
    try:
        with files.open_regular(path, MAX_BYTES) as file, Image.open(file, formats=["PNG"]) as image:
            return image.convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Unsupported(f"its picture is damaged: {first_line(error)}") from error


def _sheet(run: Run, space: Pixels) -> Sheet:
    samples = _samples(run)
    if samples.dtype != np.uint8 or samples.ndim != 4 or 0 in samples.shape or samples.shape[1] not in (1, 3):
        raise Unsupported(f"its samples.npz holds no images: its samples are {samples.dtype} {samples.shape}")
    return tiled(space.gray(samples[:IMAGES]))


def _raw(data: Data, x: torch.Tensor) -> np.ndarray:
    return data.space.decode(x).numpy().astype(np.float64)


def _quantized(x: Float[np.ndarray, "times n 2"], frame: np.ndarray) -> UInt8[np.ndarray, "times n 2"]:
    """Quantize points to 0..255 within the frame, y downwards."""
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
        shades.append(drawing.blurred(counts / len(points), 0.8))
    peak = float(np.max(shades)) if peak is None else peak
    return np.rint(np.sqrt(np.clip(np.array(shades) / peak, 0, 1)) * 15).astype(np.uint8) * np.uint8(17), peak


def flow(data: Panel, models: Sequence[Panel]) -> Image.Image:
    """Draw density and points of every model at three times from the top, one model per column.

    The pixels are indices into a palette: 0 transparent, then 15 shades of ink, then 15 shades and the points of color.
    """
    columns = [data, *models]
    across = -(-len(columns) // -(-len(columns) // ACROSS))
    high = LABEL + len(TIMES) * (TILE + GAP)
    pixels = np.zeros((-(-len(columns) // across) * high, across * (TILE + GAP)), dtype=np.uint8)
    for index, panel in enumerate(columns):
        top, left, first = index // across * high, index % across * (TILE + GAP), 16 if index else 1
        pixels[top : top + LABEL, left : left + TILE] = drawing.label(panel.label, TILE) // 17
        for row, time in enumerate(TIMES):
            at = round(time * (len(panel.points) - 1))
            if time < 1 and len(panel.points) == 1:  # it has no trajectory
                continue
            shades = panel.shades[at].repeat(TILE // DENSITY_SIZE, 0).repeat(TILE // DENSITY_SIZE, 1) // 17
            y = top + LABEL + row * (TILE + GAP)
            tile = pixels[y : y + TILE, left : left + TILE]
            tile[:] = np.where(shades > 0, shades - np.uint8(1) + np.uint8(first), 0)
            x, y = (panel.points[at] / 255 * (TILE - SCALE)).astype(int).T
            for down, right in np.ndindex(SCALE, SCALE):
                tile[y + down, x + right] = 31 if index else 15
    drawn = Image.fromarray(pixels, mode="P")
    drawn.putpalette([*INK * 16, *COLOR * 16])
    drawn.info["transparency"] = bytes([0, *(17 * k for k in range(1, 16)), *(10 * k for k in range(1, 16)), 255])
    return drawn
