"""Requests: their names, settings and values are checked by the catalog, before torch is imported.

Whatever depends on the data or on several settings is checked later, by the library itself.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic_core import SchemaValidator

from genbench import registry
from genbench.aliases import canonical
from genbench.cli.catalog import Schema, read
from genbench.errors import ConfigError, unknown
from genbench.settings import Settings, check_sections, table_of
from genbench.storage import memory
from genbench.suites import find
from genbench.training.plan import Plan
from genbench.validation import validated


def check(
    models: Iterable[str] = (),
    datasets: Iterable[str] = (),
    metrics: Iterable[str] | None = None,
    settings: Settings | None = None,
) -> None:
    """Check the names and settings of a run.

    Raises:
        ConfigError: on an unknown name or a value of the wrong type.
    """
    components = [("models", name, "model") for name in models] + [("datasets", name, "data") for name in datasets]
    for kind, name, _ in components:
        _known(kind, name)
    chosen = list(metrics or ())
    for name in chosen:
        _known("metrics", name)
    check_sections(settings or {})
    for name in (settings or {}).get("metric", {}) if chosen else ():
        if name not in chosen:
            raise unknown("settings for a metric that is not measured:", name, chosen)
    for kind, name, section in components:
        _component(kind, name, (settings or {}).get(section, {}), name)
    _sections(settings or {}, list(models))


def check_sizes(settings: Settings, devices: int = 1) -> None:
    """Check the sizes that need neither the data nor the model: lower bounds, as if a sample were one number.

    Raises:
        ConfigError: if a batch cannot be divided, or a batch or the samples do not fit into memory.
    """
    plan, n = settings.get("plan", {}), settings.get("evaluation", {}).get("n", 0)
    batch = plan.get("batch_size")
    if batch is not None:
        Plan(batch_size=batch, accumulate=plan.get("accumulate", 1)).parts(devices)
        memory.require(16 * batch, f"plan.batch_size={batch}")
    memory.require(12 * n, f"evaluation.n={n}")


def check_suite(suite: str | Path, settings: Settings) -> None:
    """Check the names and settings in a suite.

    Raises:
        ConfigError: as `check` does, naming the suite.
    """
    from genbench.sweeps.suite_file import read as read_suite

    path = find(suite)
    contents = read_suite(path)
    included = [(addition.dataset, addition.model) for addition in contents.include]
    data = [*contents.datasets, *(entry for entry, _ in included)]
    models = [*contents.models, *(entry for _, entry in included)]
    try:
        for kind, entries in (("datasets", data), ("models", models)):
            for entry in entries:
                _known(kind, entry.name)
                _component(kind, entry.name, entry.settings, entry.name, grid=True)
                _sections(entry.sections, [entry.name] if kind == "models" else [], grid=kind == "models")
        for name in [*(contents.metrics or []), *(name for entry in data for name in entry.metrics or [])]:
            _known("metrics", name)
        _sections(contents.sections, [])
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    check(settings=settings)


def _known(kind: str, name: str) -> None:
    if name not in registry.ALL[kind]:
        raise unknown(f"no {registry.ALL[kind].kind}", name, registry.ALL[kind])


def _sections(settings: Mapping[str, Any], models: list[str], *, grid: bool = False) -> None:
    """Check the sections of settings that are not those of a model or a data set."""
    catalog = read()
    for section, schema in catalog["sections"].items():
        _settings(schema, settings.get(section, {}), section)
    for name in models:
        if name in catalog["sample"]:
            _settings(catalog["sample"][name], settings.get("sample", {}), f"sample ({name})", grid=grid)
    for name, table in settings.get("metric", {}).items():
        _known("metrics", name)
        _component("metrics", name, table, name)


def _component(kind: str, name: str, settings: Any, what: str, *, grid: bool = False) -> None:
    schema = read()[kind].get(name)
    if schema is not None:
        _settings(schema, settings, what, grid=grid)


def _settings(schema: Schema, settings: Any, what: str, *, grid: bool = False) -> None:
    """Check settings; with `grid`, a list is right if each of its values is."""
    for name, value in canonical(table_of(settings, what), schema).items():
        if name not in schema:
            raise unknown(f"{what} has no setting", name, schema)
        try:
            _value(schema[name], value, f"{what}.{name}")
        except ConfigError:
            if not (grid and isinstance(value, list) and value):
                raise
            for item in value:
                _value(schema[name], item, f"{what}.{name}")


def _value(described: Mapping[str, Any], value: Any, what: str) -> None:
    if "type" in described:
        validated(SchemaValidator(described["type"]), value, what)
        return
    given = dict(value) if isinstance(value, Mapping) else {"name": value}
    name = given.pop("name", next(iter(described["allowed"]), None))
    if isinstance(name, str) and (name in described["allowed"] or not described["allowed"]):
        _known(described["kind"], name)
        given.pop("version", None)
        _component(described["kind"], name, given, f"{what} ({name})")
