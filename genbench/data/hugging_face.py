"""Data sets of Hugging Face's library, exported once to a file that the data sets `folder` and `points` read.

A data set is a folder made by `save_to_disk`, a folder of Parquet files, or a name on the hub. The same rows are always
exported to the same bytes, so a run has the same name on every machine. No code of a data set is ever executed: version
4 of the library dropped loading scripts.
"""

import functools
import io
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from genbench.data.image_tree import split_of
from genbench.data.points import LABEL, check_index, check_names
from genbench.errors import ConfigError, first_line
from genbench.storage import cache, content_hash, files

if TYPE_CHECKING:
    from datasets import Dataset

VERSION = 3
"""Version of the export: raise it when the export writes other bytes or refuses other inputs."""

EXTENSIONS = {"PNG": "png", "JPEG": "jpg", "GIF": "gif", "BMP": "bmp", "TIFF": "tif", "WEBP": "webp", "PPM": "ppm"}


def export(name: str, split: str | None, folder: Path = Path()) -> Path:
    """Return a tar archive of images, or an .npz of vectors, with the rows of a data set.

    A feature of type Image makes it a data set of images. Classes come from the column `label`, or else from the only
    ClassLabel.
    Otherwise every other column holds coordinates: a number, or a list of the same length in every row.

    Args:
        name: folder, or name on the hub.
        split: the split to export. Without it, images keep their splits, and vectors must have a single split.
        folder: paths are relative to it.

    Raises:
        ConfigError: if the data set cannot be found or read, holds neither images nor vectors, or would have to be
            downloaded although downloads are forbidden.
    """
    path = files.expanded(folder / name)
    dataset = None
    if path.is_dir():
        content = content_hash.remembered(path)
    else:
        dataset = _from_hub(name)
        content = {part: rows._fingerprint for part, rows in dataset.items()}

    @functools.cache
    def selected() -> "tuple[dict[str, Dataset], str | None]":
        rows = _chosen(dataset or _from_folder(path), name, split)
        return rows, _image_column(next(iter(rows.values())), name)

    def write(place: Path) -> None:
        rows, column = selected()
        try:
            if column:
                _write_images(place, rows, name, column)
            else:
                with place.open("wb") as file:
                    np.savez(file, **_vectors(rows, name))  # type: ignore[arg-type]
        except (ConfigError, OSError):
            raise
        except Exception as error:  # splits that differ in their columns, or labels of odd types
            raise ConfigError(f"hf:{name} cannot be exported: {first_line(error)}") from error

    key = cache.key(content=content, split=split, version=VERSION)
    stem = f"{_plain('-'.join(filter(None, (name, split)))).strip('-')[-60:]}-{key}"
    suffix = cache.text("hf", f"{stem}.suffix", lambda: ".tar" if selected()[1] else ".npz")
    return content_hash.cached_file("hf", f"{stem}{suffix}", write)


def _library() -> Any:
    """Import the library, without progress bars, and without the network where downloads are forbidden."""
    try:
        import datasets
        from huggingface_hub import constants
    except ImportError as error:
        raise ConfigError("hf: needs the library datasets: pip install 'genbench[hf]'") from error
    datasets.disable_progress_bars()
    if os.environ.get("GENBENCH_OFFLINE"):
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True  # type: ignore[attr-defined]
    return datasets


def _from_folder(path: Path) -> "dict[str, Dataset]":
    datasets = _library()
    saved = any((path / name).is_file() for name in ("state.json", "dataset_dict.json"))
    if not saved and next(path.rglob("*.parquet"), None) is None:
        raise ConfigError(f"{path} holds no Parquet files, and was not made by save_to_disk")
    try:
        if saved:
            return _by_split(datasets.load_from_disk(str(path)))
        return _by_split(datasets.load_dataset("parquet", data_dir=str(path), cache_dir=str(cache.home() / "hf/arrow")))
    except Exception as error:  # Arrow and the library raise many types on a damaged file
        raise ConfigError(f"{path} cannot be read as a data set: {first_line(error)}") from error


def _from_hub(name: str) -> "dict[str, Dataset]":
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise ConfigError(f"hf:{name} is neither a folder nor a name on the hub (owner/name)")
    datasets = _library()
    try:
        return _by_split(datasets.load_dataset(name))
    except Exception as error:
        offline = " (GENBENCH_OFFLINE or HF_HUB_OFFLINE is set)" if datasets.config.HF_HUB_OFFLINE else ""
        raise ConfigError(
            f"hf:{name} is not a folder, and cannot be read from the hub or its cache{offline}: {first_line(error)}"
        ) from error


def _by_split(loaded: Any) -> "dict[str, Dataset]":
    splits = dict(loaded) if isinstance(loaded, dict) else {"": loaded}
    if not splits:
        raise ConfigError("it has no splits")
    for rows in splits.values():
        rows.data.validate(full=True)  # Arrow reads wherever the offsets in a damaged file point to
    return splits


def _plain(name: str) -> str:
    """Return a name that can be the name of a file or a folder."""
    return re.sub(r"[^\w-]+", "-", name)


def _chosen(splits: "dict[str, Dataset]", name: str, split: str | None) -> "dict[str, Dataset]":
    """Return the rows to export, by split; the split is "" where only one is wanted or there is only one."""
    if split is None:
        return {"": next(iter(splits.values()))} if len(splits) == 1 else splits
    if split not in splits:
        raise ConfigError(f"hf:{name} has no split '{split}'; it has {', '.join(filter(None, splits)) or 'only one'}")
    return {"": splits[split]}


def _image_column(rows: "Dataset", name: str) -> str | None:
    columns = [column for column, feature in rows.features.items() if type(feature).__name__ == "Image"]
    if len(columns) > 1:
        raise ConfigError(f"hf:{name} has several columns of images: {', '.join(columns)}; keep one of them")
    return columns[0] if columns else None


def _class_labels(rows: "Dataset") -> list[str]:
    return [column for column, feature in rows.features.items() if type(feature).__name__ == "ClassLabel"]


def _label_column(rows: "Dataset", name: str, *, images: bool = False) -> str | None:
    """Return the column of the classes, if there is one; with images, no other column can be mistaken for it."""
    classes = _class_labels(rows)
    clear = [column for column in rows.features if column.casefold() == LABEL] or classes
    if images and len(clear) == 1:
        return clear[0]
    named = check_names(f"hf:{name}", [column for column in rows.features if column not in classes or column == LABEL])
    return named or (classes[0] if len(classes) == 1 else None)


def _write_images(path: Path, rows: "dict[str, Dataset]", name: str, column: str) -> None:
    """Write SPLIT/CLASS/NUMBER.EXTENSION; numbers before the names keep the order of classes."""
    odd = [split for split in rows if split and split_of(split) is None]
    if odd:
        raise ConfigError(f"hf:{name} has the splits {', '.join(rows)}: choose one, as in hf:{name}:{next(iter(rows))}")
    with tarfile.open(path, "w") as archive:
        for split, some in rows.items():
            for number, (class_name, content) in enumerate(_images(some, name, column)):
                try:
                    form = Image.open(io.BytesIO(content), formats=list(EXTENSIONS)).format
                except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
                    raise ConfigError(f"hf:{name}: image {number + 1} of {split or column} cannot be read") from error
                folders = filter(None, (split, class_name))
                member = tarfile.TarInfo("/".join([*folders, f"{number:08}.{EXTENSIONS[form or '']}"]))
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def _images(rows: "Dataset", name: str, column: str) -> Iterator[tuple[str, bytes]]:
    """Yield, for each image, the folder of its class ("" without classes) and the content of its file."""
    label = _label_column(rows, name, images=True)
    named = getattr(rows.features[label], "names", None) if label else None
    values = list(named or sorted({*rows[label]} - {None})) if label else []
    width = len(str(len(values) - 1))
    folders = {
        number if named else value: f"{number:0{width}}-{_plain(str(value))}" for number, value in enumerate(values)
    }
    raw = rows.select_columns([column, *([label] if label else [])]).cast_column(column, _library().Image(decode=False))
    row: Any
    for number, row in enumerate(raw):
        content = row[column]["bytes"] if row[column] else None
        if not content:
            raise ConfigError(f"hf:{name}: image {number + 1} is missing, or in a file outside the data set")
        if label and row[label] not in folders:
            raise ConfigError(f"hf:{name}: image {number + 1} has no class")
        yield folders[row[label]] if label else "", content


def _vectors(rows: "dict[str, Dataset]", name: str) -> dict[str, np.ndarray]:
    if len(rows) > 1:
        raise ConfigError(f"hf:{name} has the splits {', '.join(rows)}: choose one, as in hf:{name}:{next(iter(rows))}")
    (some,) = rows.values()
    table: Any = some.with_format("arrow")[:]
    label = _label_column(some, name)
    several = [column for column in _class_labels(some) if column != label]
    if several:
        raise ConfigError(f"hf:{name}: {', '.join(several)} hold classes: keep one such column, and call it {LABEL}")
    columns = []
    for number, column in enumerate(table.column_names):
        if column == label:
            continue
        try:
            values = np.array(table[column].to_pylist())
        except ValueError as error:  # lists of several lengths
            raise ConfigError(f"hf:{name}: the rows of {column} differ in length") from error
        if values.dtype.kind not in "fiu" or values.ndim > 2:
            raise ConfigError(f"hf:{name}: {column} holds neither images nor vectors: {some.features[column]}")
        check_index(f"hf:{name}", table.column_names, number, values)
        columns.append(values.reshape(len(some), -1))
    if not columns or not len(some):
        raise ConfigError(f"hf:{name} holds no images and no vectors")
    label_array = {"label": np.array(table[label].to_pylist())} if label else {}
    return {"samples": np.concatenate(columns, axis=1)} | label_array
