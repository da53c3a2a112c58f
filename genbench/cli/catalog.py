"""The catalog: the settings of every component as plain JSON, with which requests are checked without importing torch.

To make it, every component has to be imported. That is done once: the catalog is kept in the cache under a hash of the
sources of all packages that register components.
"""

import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from functools import cache as once
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.errors import ConfigError
from genbench.registry import ALL, models
from genbench.storage import cache, files

if TYPE_CHECKING:
    from genbench.settings import Setting

Schema = dict[str, dict[str, Any]]
"""{setting: {"type": as pydantic_core has it}; of a component, {"kind": its registry, "allowed": names}}."""

Catalog = dict[str, dict[str, Schema]]
"""{"models": {"cfm": its settings}, ..., "sample": {"cfm": its sampling options}, "sections": {"plan": fields}}."""


@once
def read() -> Catalog:
    """Return the catalog of this installation, which is made at the first use."""

    return json.loads(cache.text("catalog", _name(), lambda: json.dumps(_make())))


def broken() -> dict[tuple[str, str], str]:
    """Return {(kind, name): why} of the components that cannot be imported, as far as that is known already."""
    try:
        noted = json.loads(files.read_sealed(cache.home() / "catalog" / _name(), _name()))["broken"]
    except (OSError, files.Damaged):
        return {}
    found = {}
    for kind, names in noted.items():
        for name in names:
            try:
                ALL[kind][name]  # it may have been repaired since
            except ConfigError as error:
                found[kind, name] = str(error)
    return found


def _name() -> str:
    return f"{cache.key(pydantic=version('pydantic'), sources=[digest for _, digest in _sources()])}.json"


def _sources() -> Iterator[tuple[str, str]]:
    """Yield the sources of all packages that register components, each with its hash."""
    packages = {"genbench", *(module.partition(".")[0] for registry in ALL.values() for module in registry.modules)}
    for package in sorted(packages):
        spec = importlib.util.find_spec(package)
        places = [] if spec is None else spec.submodule_search_locations or [spec.origin or ""]
        for place in places:
            paths = sorted(Path(place).rglob("*.py")) if Path(place).is_dir() else [Path(place)]
            for path in paths:
                yield str(path), hashlib.sha256(path.read_bytes()).hexdigest()


def _make() -> Catalog:
    if sys.stderr.isatty():
        print("first start: reading the settings of all components (a few seconds)", file=sys.stderr)

    from genbench.metrics.sampling import Sampling
    from genbench.runs.component import sampler
    from genbench.training.plan import Plan

    found: Catalog = {kind: {} for kind in (*ALL, "sample")}
    unusable: dict[str, Any] = {}
    for kind, registry in ALL.items():
        for name in registry:
            try:
                found[kind][name] = _schema(registry[name].build)
                if registry is models:
                    found["sample"][name] = _schema(sampler(models[name]))
                    found[kind][name]["encoder"] = {"kind": "encoders", "allowed": ()}
            except Exception as error:  # of a plug-in; a request for the component states it
                unusable.setdefault(kind, {})[name] = str(error)
    return found | {"broken": unusable, "sections": {"plan": _schema(Plan), "evaluation": _schema(Sampling)}}


def _schema(builder: Callable) -> Schema:
    from genbench.settings import settings_of

    return {name: _described(setting) for name, setting in settings_of(builder).items()}


def _described(setting: "Setting") -> dict[str, Any]:
    import pydantic

    if setting.nested is not None:
        kind = next(kind for kind, registry in ALL.items() if registry is setting.nested.registry)
        return {"kind": kind, "allowed": setting.nested.allowed}
    return {"type": pydantic.TypeAdapter(setting.type).core_schema}
