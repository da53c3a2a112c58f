"""Drawing: from kept runs to pictures and curves of training, themselves kept so that they outlive the weights.

RESULTS/SUITE/drawings.npz holds what was drawn: a few kilobytes a run, each under the name of the run, so that another
training is another drawing. A report of published records alone draws from there.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter

from genbench.core import Data, Model, Transport
from genbench.errors import ConfigError, RunFailed, Unsupported
from genbench.metrics.noise import noise
from genbench.metrics.sampling import draw
from genbench.models.build import build_model
from genbench.numerics.ode import trajectory
from genbench.report.pictures import Flow, Gallery, Panel
from genbench.report.suites import Kept, digest, published_file
from genbench.report.tables import grouped
from genbench.runs.image_grids import pictured
from genbench.runs.spec import Spec, build_data, plan_of, restore
from genbench.runs.store import load_weights
from genbench.seeds import derive
from genbench.space import Pixels
from genbench.storage import files

log = logging.getLogger("genbench")

VERSION = 1
"""Of everything below: drawings of another version are made again."""
TIMES = 17
POINTS = 200
MANY = 8192
"""Samples behind a density."""
SIZE = 48
BINS = 48
"""Of a curve of training."""
SHEET = 40

Arrays = Mapping[str, np.ndarray]


class Drawings:
    """What was drawn, in one file; whatever is asked for and there is not drawn again.

    Args:
        root: the results folder.
        suite: name of the suite.
    """

    def __init__(self, root: Path, suite: str) -> None:
        self.path = root / suite / "drawings.npz"
        self.kept = _load(published_file(root, suite, "drawings.npz"))
        self.used: dict[str, Arrays] = {}

    def of(self, key: str, make: Callable[[], Arrays]) -> Arrays:
        """Return the arrays of that name, drawn now if they are not there.

        Raises:
            Unsupported: if they cannot be drawn either.
        """
        key = f"{VERSION} {key}"
        if key not in self.used:
            self.used[key] = self.kept[key] if key in self.kept else make()
        return self.used[key]

    def replace(self, key: str, arrays: Arrays) -> None:
        """Keep these arrays under that name, whatever was there."""
        self.kept[f"{VERSION} {key}"] = arrays

    def save(self) -> list[Path]:
        """Write what was asked for, unless it is there already, and return the file if there is one."""
        if not self.used:
            return []
        if self.used.keys() != self.kept.keys() or any(self.used[key] is not self.kept[key] for key in self.used):
            arrays = {f"{key}|{name}": array for key in sorted(self.used) for name, array in self.used[key].items()}
            files.replace(self.path, lambda temporary: _save(temporary, arrays))
        return [self.path]


def _load(path: Path) -> dict[str, Arrays]:
    found: dict[str, dict[str, np.ndarray]] = {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for name in arrays.files:
                key, _, part = name.rpartition("|")
                found.setdefault(key, {})[part] = arrays[name]
    except FileNotFoundError:
        return {}
    except Exception:  # whatever is wrong with it, what can be drawn is drawn again
        log.warning("%s is damaged; what it held is drawn again where runs are kept", files.shown(path))
        return {}
    return dict(found)


def _save(path: Path, arrays: Arrays) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def picture(name: str, runs: Sequence[Kept], drawings: Drawings) -> Flow | Gallery | str | None:
    """Return the picture of a data set, or the reason why there is none; nothing where its data cannot be drawn at all.

    Of each model the first run is drawn that can be.

    Args:
        name: of the picture.
        runs: of one data set.
        drawings: where they are kept.
    """
    part = runs[0].record["spec"]["data"]
    try:
        reference = drawings.of(f"data {digest(part)}", lambda: _reference(build_data(part)))
    except (Unsupported, ConfigError, OSError) as error:
        return f"The data are not here to be drawn: {error}"
    if not reference:
        return None
    drawn, missing = [], {}
    for model, of in grouped(runs, lambda kept: kept.name).items():
        reasons = []
        for kept in sorted(of, key=lambda kept: kept.seed):
            try:
                drawn.append((model, kept.seed, _of_run(kept, reference, drawings)))
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
        sheets = [("data", reference["sheet"]), *((model, arrays["sheet"]) for model, _, arrays in drawn)]
        caption = f"The first {SHEET} samples of the run with the lowest seed, none chosen by hand."
        return Gallery(name, tuple(sheets), max(1, 32 // (height + 1)), caption, without)
    panels = [Panel(model, seed, arrays["paths"], arrays["density"]) for model, seed, arrays in drawn]
    data = Panel("data", 0, reference["paths"], reference["density"])
    left, right, bottom, top = (float(x) for x in reference["frame"])
    return Flow(name, (left, right, bottom, top), data, tuple(panels), _CAPTION, without)


_CAPTION = (
    f"{POINTS} points of the same noise for every model, the paths of some of them, and the density of {MANY} points "
    "(shade: square root of the density, one scale for all panels, full at the highest density of the data). "
    "Points beyond the frame are drawn on its edge. Of each model the run with the lowest seed that is kept."
)


def _of_run(kept: Kept, reference: Arrays, drawings: Drawings) -> Arrays:
    key = f"{kept.record['labels']['run']} {digest(kept.record['spec']['sample'])}"
    return drawings.of(key, lambda: _sheet(kept) if "sheet" in reference else _panel(kept, reference))


def _reference(data: Data) -> Arrays:
    """Draw the data themselves; nothing if they are neither points of a plane nor images."""
    if isinstance(data.space, Pixels) and pictured(data):
        raw = data.space.decode(data.test.take(SHEET, derive(0, "picture")).x).numpy()
        return {"sheet": _tiled(raw * (255 // (data.space.levels - 1))), "height": np.array(raw.shape[2])}
    if data.event.shape != (2,):
        return {}
    x = _raw(data, data.test.take(MANY, derive(0, "picture")).x)
    start = _raw(data, noise(data.source, POINTS * 4, derive(0, "picture")))
    both = np.concatenate([np.quantile(x, (0.001, 0.999), axis=0), np.quantile(start, (0.02, 0.98), axis=0)])
    middle, half = (both.min(0) + both.max(0)) / 2, np.ptp(both, axis=0).max() / 2 * 1.2
    frame = np.array([middle[0] - half, middle[0] + half, middle[1] - half, middle[1] + half], dtype=np.float32)
    shades, peak = _shades(x[None], frame, None)
    return {"frame": frame, "peak": np.array(peak), "paths": _quantised(x[None, :POINTS], frame), "density": shades}


def _panel(kept: Kept, reference: Arrays) -> Arrays:
    spec, model, data = _trained(kept)
    torch.set_num_threads(plan_of(spec).threads)
    seed = derive(0, "picture")
    if isinstance(model, Transport) and not model.conditional and not spec.sample.get("guidance"):
        with torch.no_grad():
            x0 = noise(model.source, MANY, seed)
            path = trajectory(lambda t, x: model.velocity(t, x, None), x0, torch.linspace(0, 1, TIMES), tol=1e-4).x
    else:
        path = draw(model, MANY, spec.evaluation["batch"], seed, spec.sample)[0][None]
    raw = _raw(data, path)
    if not np.isfinite(raw).all():
        raise Unsupported("some of its samples are not finite")
    frame, peak = reference["frame"], float(reference["peak"])
    return {"paths": _quantised(raw[:, :POINTS], frame), "density": _shades(raw, frame, peak)[0]}


def _trained(kept: Kept) -> tuple[Spec, Model, Data]:
    """Return spec, model and data of a run whose weights are kept. Raises Unsupported if they are not."""
    loaded = load_weights(kept.folder.parent / "model.safetensors") if kept.folder is not None else None
    if loaded is None:
        raise Unsupported("its weights are not kept here")
    spec = restore(kept.record["spec"])
    data = build_data(spec.data)
    model = build_model(spec.model, spec.encoder, data)
    model.load_state_dict(loaded[0])
    return spec, model.eval(), data


def _sheet(kept: Kept) -> Arrays:
    path = kept.folder / "samples.npz" if kept.folder is not None else None
    if path is None or not path.exists():
        raise Unsupported("its samples are not kept here")
    space = build_data(kept.record["spec"]["data"]).space
    assert isinstance(space, Pixels)
    with np.load(path) as arrays:
        return {"sheet": _tiled(arrays["samples"][:SHEET] * (255 // (space.levels - 1)))}


def _raw(data: Data, x: torch.Tensor) -> np.ndarray:
    return data.space.decode(x).numpy().astype(np.float64)


def _quantised(x: Float[np.ndarray, "times n 2"], frame: np.ndarray) -> UInt8[np.ndarray, "times n 2"]:
    """Put points on the 255 steps of the frame, y downwards."""
    left, right, bottom, top = frame
    unit = np.stack([(x[..., 0] - left) / (right - left), (top - x[..., 1]) / (top - bottom)], axis=-1)
    return np.rint(np.clip(unit, 0, 1) * 255).astype(np.uint8)


def _shades(
    x: Float[np.ndarray, "times n 2"], frame: np.ndarray, peak: float | None
) -> tuple[UInt8[np.ndarray, "times size size"], float]:
    """Return shades of the density of points, and the density that is full shade: its own highest if none is given."""
    left, right, bottom, top = frame
    found = []
    for points in x:
        counts = np.histogram2d(-points[:, 1], points[:, 0], bins=SIZE, range=[[-top, -bottom], [left, right]])[0]
        found.append(gaussian_filter(counts / len(points), 0.8, mode="constant"))
    peak = float(np.max(found)) if peak is None else peak
    return np.rint(np.sqrt(np.clip(np.array(found) / peak, 0, 1)) * 15).astype(np.uint8) * np.uint8(17), peak


def _tiled(images: UInt8[np.ndarray, "n channels height width"]) -> np.ndarray:
    """Lay images out in rows as wide as a phone, a grey pixel between."""
    n, channels, height, width = images.shape
    across = max(2, min(10, 340 // (width + 1)))
    rows = -(-n // across)
    sheet = np.full((rows * (height + 1) - 1, across * (width + 1) - 1, channels), 127, dtype=np.uint8)
    for index, image in enumerate(images):
        top, left = index // across * (height + 1), index % across * (width + 1)
        sheet[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return sheet[..., 0] if channels == 1 else sheet


def trainings(runs: Sequence[Kept], drawings: Drawings) -> Iterator[tuple[str, Float[np.ndarray, "bins"], np.ndarray]]:
    """Yield models with the loss on the way: steps, and (seeds, bins) means over as many steps each."""
    for model, of in grouped(runs, lambda kept: kept.name).items():
        of = sorted(of, key=lambda kept: kept.seed)
        key = f"{of[0].record['labels']['run']} training"
        logs = [path for kept in of if kept.folder and (path := kept.folder.parent / "train.csv").exists()]
        if logs:
            drawings.replace(key, _binned([pd.read_csv(path, usecols=["step", "loss"]) for path in logs]))
        try:
            arrays = drawings.of(key, _nothing)
        except Unsupported:
            continue
        yield model, arrays["step"], arrays["loss"]


def _nothing() -> Arrays:
    raise Unsupported("its log is not kept here")


def _binned(logs: Sequence[pd.DataFrame]) -> Arrays:
    shortest = min(len(log) for log in logs)
    parts = np.array_split(np.arange(shortest), min(BINS, shortest))
    steps, losses = logs[0]["step"].to_numpy(), np.array([log["loss"].to_numpy()[:shortest] for log in logs])
    means = [losses[:, part].mean(1) for part in parts]
    return {
        "step": np.array([steps[part].mean() for part in parts], dtype=np.float32),
        "loss": np.array(means, dtype=np.float32).T,
    }
