"""Files of the user in place of names: Python files that register components, and files of data."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from genbench.errors import ConfigError
from genbench.registry import ALL
from genbench.settings import Settings, merge

POINTS = (".npy", ".npz", ".csv", ".parquet")
ARCHIVE = re.compile(r"\.(tar|tgz|tbz2|txz|tar\.\w+)$")


def component_name(kind: str, text: str, folder: Path = Path()) -> tuple[str, dict[str, Any]]:
    """Return the name and the settings of a component that may be given as a file.

    Args:
        kind: models, metrics or datasets.
        text: a name; `file.py` or `file.py:name`; for data, a file of points, a folder or archive of images, or
            `hf:NAME[:split]`, a data set of Hugging Face's library, by its folder or its name on the hub.
        folder: to which paths are relative.

    Raises:
        ConfigError: on an unknown name; if a Python file is broken, or registers no such component; or if a data set
            cannot be read.

    >>> component_name("datasets", "moons"), component_name("datasets", "my/images.tar")
    (('moons', {}), ('folder', {'path': 'my/images.tar'}))
    """
    code = re.fullmatch(r"(.+\.py)(?::([^:/]+))?", text)
    if code:
        return ALL[kind].load(folder / code[1], code[2] or ""), {}
    if kind == "datasets" and text not in ALL[kind] and (found := _data(text, folder)) is not None:
        return found
    ALL[kind].require(text)
    return text, {}


def _data(text: str, folder: Path) -> tuple[str, dict[str, Any]] | None:
    """Return the name and the settings of the data set that reads a file or folder; None for any other text."""
    hub = re.fullmatch(r"hf:([^:]+)(?::([^:]+))?", text)
    if hub:
        from genbench.data.hugging_face import export  # which imports much

        path = export(hub[1], hub[2], folder)
        return "points" if path.suffix in POINTS else "folder", {"path": str(path)}
    path = folder / text
    if path.suffix in POINTS:
        if not path.is_file():
            raise ConfigError(f"{path} does not exist or is not a file")
        return "points", {"path": str(path)}
    if ARCHIVE.search(text) or path.is_dir():
        return "folder", {"path": str(path)}
    return None


def request(
    model: str, dataset: str, metrics: Iterable[str] | None, settings: Settings
) -> tuple[str, str, list[str] | None, dict[str, Any]]:
    """Return the names and the settings of a request, with the names of components in place of files.

    Raises:
        ConfigError: as `component_name` does.
    """
    name, _ = component_name("models", model)
    data, own = data_request(dataset, settings)
    return name, data, metric_names(metrics), own


def data_request(dataset: str, settings: Settings) -> tuple[str, dict[str, Any]]:
    """Return the name of a data set that may be given as a file, and the settings of a request with its path."""
    name, settings_of_file = component_name("datasets", dataset)
    return name, merge({"data": settings_of_file} if settings_of_file else {}, settings)


def metric_names(metrics: Iterable[str] | None) -> list[str] | None:
    """Return the names of metrics, some of which may be given as Python files."""
    return None if metrics is None else [component_name("metrics", metric)[0] for metric in metrics]
