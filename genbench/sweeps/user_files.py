"""Users' files where a name is expected: Python files that register components, and files of data."""

import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from genbench import user_code
from genbench.errors import ConfigError
from genbench.registry import ALL, Registry
from genbench.settings import Setting, Settings, merge, settings_in, settings_of
from genbench.storage import content_hash, files

if TYPE_CHECKING:
    from genbench.runs.spec import Spec

POINTS = (".npy", ".npz", ".csv", ".parquet")
ARCHIVE = re.compile(r"\.(tar|tgz|tbz2|txz|tar\.\w+)$")


def component_name(kind: str, text: str, folder: Path = Path()) -> tuple[str, dict[str, Any]]:
    """Return the name and the settings of a component that may be given as a file, whose path is not changed.

    Args:
        kind: models, metrics or datasets.
        text: a name; `file.py` or `file.py:name`; for data, a file of points, a folder or archive of images, or
            `hf:NAME[:split]`, a data set of Hugging Face's library, by its folder or its name on the hub.
        folder: folder to which paths are relative.

    Raises:
        ConfigError: on an unknown name; if a Python file is broken, or registers no such component; or if a data set
            cannot be read.

    >>> component_name("datasets", "moons"), component_name("datasets", "my/images.tar")
    (('moons', {}), ('folder', {'path': 'my/images.tar'}))
    """
    if not isinstance(text, str):
        raise ConfigError(f"{kind}: {type(text).__name__} is not a name: write a name or a path as text")
    if (name := _registered(ALL[kind], text, folder)) is not None:
        return name, {}
    if kind == "datasets" and text not in ALL[kind] and (found := _data(text, folder)) is not None:
        return found
    ALL[kind].require(text)
    return text, {}


def from_folder(builder: Callable, table: Settings, folder: Path) -> dict[str, Any]:
    """Return the settings of a component, or lists of them, with relative paths joined to a folder."""
    schema = settings_of(builder)
    return {name: placed(schema[name], value, folder) if name in schema else value for name, value in table.items()}


def placed(setting: Setting, value: Any, folder: Path) -> Any:
    """Return the value of a setting, or a list of values, with relative paths joined to a folder."""
    if isinstance(value, list):
        return [placed(setting, item, folder) for item in value]
    if setting.nested is not None and isinstance(value, Mapping):
        registry, name = setting.nested.registry, value.get("name", next(iter(setting.nested.allowed), None))
        if isinstance(name, list):  # candidates of tuning
            return {**value, "name": [placed(setting, each, folder) for each in name]}
        if isinstance(name, str) and (own := _registered(registry, name, folder)) is not None:
            name, value = own, {**value, "name": own}
        known = isinstance(name, str) and name in registry
        return from_folder(registry[name].build, value, folder) if known else value
    if setting.nested is not None and isinstance(value, str):
        return _registered(setting.nested.registry, value, folder) or value
    marker = content_hash.path_marker(setting)
    if marker is None or not isinstance(value, str):
        return value
    path = folder / files.expanded(value)
    return value if marker.or_name and not path.exists() else str(path)


def of_model(name: str, table: Settings, folder: Path = Path()) -> dict[str, Any]:
    """Return the settings of a model, whose network, encoder or coupling may be given as a Python file.

    Args:
        name: name of the model.
        table: its settings, nested, with the settings of the encoder.
        folder: folder to which paths are relative.

    Raises:
        ConfigError: on an unknown model; if a Python file is broken, or registers no such component.
    """
    from genbench.runs.spec import ENCODER  # imports torch

    settings = from_folder(ALL["models"][name].build, table, folder)
    if "encoder" in settings:
        encoder = Setting("encoder", Annotated[Any, ENCODER], None, "")
        settings["encoder"] = placed(encoder, settings["encoder"], folder)
    return settings


def of_models(names: Iterable[str], settings: Settings) -> dict[str, Any]:
    """Return settings of several models, nested by section; a section may be the name of a model, without the hash."""
    found = dict(settings)
    for name in names:
        own = name.partition("@")[0]
        if own != name and own in found and own not in names:
            found[name] = found.pop(own)
        for section in ("model", name):
            if isinstance(found.get(section), Mapping):
                found[section] = of_model(name, found[section])
    return found


def _registered(registry: Registry, text: str, folder: Path) -> str | None:
    """Return the name of the component that a Python file registers, from `file.py` or `file.py:name`."""
    code = re.fullmatch(r"(.+\.py)(?::([^:/]+))?", text)
    return registry.load(folder / files.expanded(code[1]), code[2] or "") if code else None


def _data(text: str, folder: Path) -> tuple[str, dict[str, Any]] | None:
    """Return the name and the settings of the data set that reads a file or folder; None for any other text."""
    hub = re.fullmatch(r"hf:([^:]+)(?::([^:]+))?", text)
    if hub:
        from genbench.data.hugging_face import export  # imports large libraries

        path = export(hub[1], hub[2], folder)
        return "points" if path.suffix in POINTS else "folder", {"path": str(path.absolute())}
    own = files.expanded(text)
    path = folder / own
    if path.suffix in POINTS:
        if not path.is_file():
            raise ConfigError(f"{path} does not exist or is not a file")
        return "points", {"path": str(own)}
    if ARCHIVE.search(text) or path.is_dir():
        return "folder", {"path": str(own)}
    if path.is_file():
        raise ConfigError(f"{path}: data files are {', '.join(POINTS)}, .py, or a folder or tar archive of images")
    return None


def request(
    model: str, dataset: str, metrics: Iterable[str] | None, settings: Settings
) -> tuple[str, str, list[str] | None, dict[str, Any]]:
    """Return the names and the settings of a request, with the names of components in place of files."""
    name, _ = component_name("models", model)
    data, own = data_request(dataset, settings)
    if isinstance(own.get("model"), Mapping):
        own = {**own, "model": of_model(name, own["model"])}
    return name, data, metric_names(metrics), own


def data_request(dataset: str, settings: Settings) -> tuple[str, dict[str, Any]]:
    """Return the name of a data set that may be given as a file, and the settings of a request with its path."""
    name, settings_of_file = component_name("datasets", dataset)
    return name, merge({"data": settings_of_file} if settings_of_file else {}, settings)


def metric_names(metrics: Iterable[str] | None, folder: Path = Path()) -> list[str] | None:
    """Return the names of metrics, some of which may be given as Python files.

    Raises:
        ConfigError: as `component_name` does, and if the names are not a list.
    """
    if isinstance(metrics, str):
        raise ConfigError(f"metrics='{metrics}' is wrong: write a list of names, as ['{metrics}']")
    return None if metrics is None else [component_name("metrics", metric, folder)[0] for metric in metrics]


def pack(specs: Sequence["Spec"], folder: Path) -> list[str]:
    """Copy what the specs need into a folder, and return the paths of the user's Python files in it."""
    sources = {f"code/{number}/{path.name}": path for number, path in enumerate(user_code.named_files())}
    for name, path in sources.items():
        for module, content in user_code.sources(path).items():
            files.write(folder / Path(name).parent / module, content)
    parts = [part for spec in specs for part in spec.parts()]
    paths = {path for _, builder, part in parts for _, path in content_hash.paths_in(builder, settings_in(part))}
    paths |= {Path(part["path"]) for _, _, part in parts if part.get("path")}
    for path in paths:
        if path.exists() and not path.is_absolute():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if path.is_dir() else shutil.copyfile)(path, folder / path)
    return list(sources)
