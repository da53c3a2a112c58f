"""External samples: an array or a folder of images, measured like the samples of a model."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from genbench.core import Data
from genbench.data import image_decoding, points
from genbench.data.image_decoding import ImageFormat
from genbench.data.points import TABLES
from genbench.errors import ConfigError
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.measurement import measure
from genbench.registry import datasets, metrics
from genbench.runs.component import component
from genbench.runs.make_spec import bind_metrics
from genbench.runs.spec import build_data
from genbench.seeds import derive, generator
from genbench.settings import Settings, settings_in
from genbench.space import Pixels
from genbench.storage import arrays, content_hash


class ExternalSamples(NamedTuple):
    """Samples as raw data, their labels if any, and a description: source, sha256, n, layout and a note if needed."""

    raw: Shaped[Tensor, "n *event"]
    label: Int[Tensor, " n"] | None
    description: dict[str, Any]


def task_without_model(
    dataset: str, names: Iterable[str] | None, settings: Settings
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the data's and the metrics' parts of a spec, for samples that come without a model.

    Raises:
        ConfigError: on an unknown name or a wrong value.
    """
    for section in settings:
        if section not in ("data", "metric"):
            raise ConfigError(
                f"{section}: samples without a model take settings of data and metric only; "
                "--set metric.NAME.n=1000 sets how many samples a metric uses"
            )
    spec = component(datasets, dataset, settings.get("data", {}))
    data = build_data(spec)
    if names is None:
        names = [name for name in data.metrics if metrics[name].traits["of"] == "samples"]
    return spec, bind_metrics(names, settings.get("metric", {}), data.event)


def measure_samples(
    path: Path, dataset: Mapping[str, Any], metrics: Mapping[str, Mapping], seed: int
) -> tuple[list[dict[str, Any]], dict[str, Any], Evaluation]:
    """Measure samples, given as raw data in the units of the data set, against the data set.

    Args:
        path: .npy or .npz of shape (n, *event), or with channels last for images; .csv or .parquet of points, with the
            columns of the data; or a folder or tar archive of images.
        seed: seed of the reference samples and of the randomness of metrics.

    Returns:
        Rows as in a record, the description of the samples, and the evaluation with its image grids.

    Raises:
        ConfigError: if the path holds no such samples.
    """
    data = build_data(dataset)
    own = Path(dataset["path"]) if dataset["name"] == "points" else None
    names = points.read_table(own)[2] if own is not None and own.suffix in TABLES else ()
    found = read(path, data, dataset["name"], names)
    # Samples are often sorted by class, but a metric that uses the first n samples must see all classes.
    order = torch.randperm(len(found.raw), generator=generator(0, "order of samples"))
    x = torch.empty(found.raw.shape, dtype=torch.float32)
    for part in torch.arange(len(order)).split(1024):  # in chunks, to save memory
        x[part] = data.space.encode(found.raw[order[part]]).float()
    label = None if found.label is None else found.label[order]
    evaluation = Evaluation(data, derive(seed, "evaluation"), x=x, label=label)
    rows = [row for name, m in metrics.items() for row in measure(evaluation, name, settings_in(m), True)]
    return rows, found.description, evaluation


def read(path: Path, data: Data, name: str, columns: Sequence[str] = ()) -> ExternalSamples:
    """Read samples of a data set from an array, a table, or a folder or tar archive of images.

    Args:
        columns: names of the coordinates of the data, if they have any.

    Raises:
        ConfigError: if the path holds no such samples.
    """
    if path.suffix in arrays.SUFFIXES:
        return _array(path, *arrays.samples(path), data, name)
    if path.suffix in TABLES and data.event.is_vector:
        raw, label, names = points.read_table(path)
        if names and columns and names != columns:
            raise ConfigError(f"{path} has the columns {', '.join(names)}, but {name} has {', '.join(columns)}")
        return _array(path, raw, label, data, name)
    shape = data.event.shape
    if len(shape) != 3 or data.space != Pixels(256):
        *kinds, last = [*arrays.SUFFIXES, *(TABLES if data.event.is_vector else ())]
        raise ConfigError(f"{path}: write samples of {name} as {', '.join(kinds)} or {last}")
    collection = image_decoding.collection(str(path), ImageFormat(shape[1], 1 if shape[0] == 1 else 3))
    if len(collection.counts) > 1:
        parts = ", ".join(collection.counts)
        raise ConfigError(f"{path} has the parts {parts}: give the path of one part")
    rows, label = collection.load()
    raw = rows[torch.arange(len(label))]
    description = {"source": path.resolve().name, "sha256": collection.provenance["sha256"], "n": len(raw)}
    note = {"note": collection.provenance["note"]} if "note" in collection.provenance else {}
    return ExternalSamples(raw, None, description | {"layout": "a folder or archive of images"} | note)


def _array(path: Path, raw: np.ndarray, label: np.ndarray | None, data: Data, name: str) -> ExternalSamples:
    shape = data.event.shape
    if raw.dtype.kind not in "fiu" or not raw.ndim or not len(raw):
        raise ConfigError(f"{path}: samples must be rows of real numbers; this is {raw.shape} of {raw.dtype}")
    if raw.dtype.kind == "f" and not np.isfinite(raw).reshape(len(raw), -1).all(1).any():
        raise ConfigError(f"{path}: not one of {len(raw)} samples is finite, so there is nothing to measure")
    layout = ""
    if len(shape) == 3:
        layout = "channels first"
        if raw.shape[1:] == (*shape[1:], shape[0]):
            raw, layout = np.ascontiguousarray(raw.transpose(0, 3, 1, 2)), "channels last"
    if raw.shape[1:] != shape:
        also = f", or {(*shape[1:], shape[0])}" if len(shape) == 3 else ""
        raise ConfigError(f"{path}: samples have shape {raw.shape[1:]}, but {name} has {shape}{also}")
    if isinstance(data.space, Pixels):
        if raw.dtype != np.uint8:
            raise ConfigError(f"{path}: images must be uint8 levels 0..{data.space.levels - 1}, not {raw.dtype}")
        if raw.max() >= data.space.levels:
            raise ConfigError(f"{path}: levels must lie in 0..{data.space.levels - 1}; the largest one is {raw.max()}")
    description = {"source": path.resolve().name, "sha256": content_hash.sha256(path), "n": len(raw), "layout": layout}
    return ExternalSamples(torch.from_numpy(raw), _labels(path, label, len(raw), data.event.classes), description)


def _labels(path: Path, label: np.ndarray | None, n: int, classes: int) -> Int[Tensor, " n"] | None:
    if label is None or not classes:
        return None
    if label.shape != (n,) or label.dtype.kind not in "iu" or label.min() < 0 or label.max() >= classes:
        raise ConfigError(f"{path}: labels must be {n} whole numbers from 0 to {classes - 1}")
    return torch.from_numpy(label.astype(np.int64))
