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
        ConfigError: if a Python file is broken, or registers no such component, or a data set cannot be read.

    >>> component_name("datasets", "moons"), component_name("datasets", "my/images.tar")
    (('moons', {}), ('folder', {'path': 'my/images.tar'}))
    """
    code = re.fullmatch(r"(.+\.py)(?::([^:/]+))?", text)
    if code:
        return ALL[kind].load(folder / code[1], code[2] or ""), {}
    if kind != "datasets" or text in ALL[kind]:
        return text, {}
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
    return text, {}


def request(
    model: str, dataset: str, metrics: Iterable[str] | None, settings: Settings
) -> tuple[str, str, list[str] | None, dict[str, Any]]:
    """Return the names and the settings of a request, with the names of components in place of files."""
    name, _ = component_name("models", model)
    data, dataset_files = component_name("datasets", dataset)
    chosen = None if metrics is None else [component_name("metrics", metric)[0] for metric in metrics]
    return name, data, chosen, merge({"data": dataset_files} if dataset_files else {}, settings)
