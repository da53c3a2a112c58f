"""The JSON Schema of suites, by which editors complete names and settings and underline what is wrong."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter

from genbench.metrics.sampling import Sampling
from genbench.registry import Registry, datasets, encoders, metrics, models
from genbench.runs.spec import SECTIONS, model_class, sampler
from genbench.settings import Setting, settings_of
from genbench.training.plan import Plan


def schema() -> dict[str, Any]:
    """Return the schema, of every component that is installed."""
    sections = {
        "plan": _table(settings_of(Plan)),
        "evaluation": _table(settings_of(Sampling)),
        "metric": _closed({name: _table(settings_of(metrics[name].build)) for name in metrics}),
        "sample": {"type": "object"},
    }
    names = {"type": "array", "items": {"enum": list(metrics)}}
    data = [_entry(datasets, name, {"metrics": names}) for name in datasets]
    model = [_entry(models, name, _of_model(name)) for name in models]
    entries = {
        "dataset": {"oneOf": [{"enum": list(datasets)}, *data]},
        "model": {"oneOf": [{"enum": list(models)}, *model]},
    }
    seeds = {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0}}
    added = _closed(entries | {"seeds": seeds}) | {"required": ["dataset", "model"]}
    dropped = _closed({"dataset": {}, "model": {}, "seed": {}}) | {"minProperties": 1}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A suite of genbench",
        "type": "object",
        "required": ["datasets", "models"],
        "additionalProperties": False,
        "$defs": sections,
        "properties": {
            "datasets": {"type": "array", "minItems": 1, "items": entries["dataset"]},
            "models": {"type": "array", "minItems": 1, "items": entries["model"]},
            "metrics": names,
            "seeds": seeds,
            "include": {"type": "array", "items": added},
            "exclude": {"type": "array", "items": dropped},
            "stack": {"type": "array", "items": {"enum": ["seed", *_steering()]}},
            **{name: {"$ref": f"#/$defs/{name}"} for name in sections},
        },
    }


def _steering() -> list[str]:
    """Return the settings in which members of a stack may differ."""
    able = {name: model_class(models[name]).steering for name in models}
    return sorted({setting for name in models for setting in settings_of(models[name].build) if setting in able[name]})


def _of_model(name: str) -> dict[str, Any]:
    encoder = {"anyOf": [{"enum": list(encoders)}, {"type": "object", "required": ["name"]}]}
    seeds = {"type": "array", "items": {"type": "integer", "minimum": 0}}
    return {"sample": _table(settings_of(sampler(models[name])), grid=True), "encoder": encoder, "seeds": seeds}


def _entry(registry: Registry, name: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a table of one component: its settings, of which a list makes a grid, and sections."""
    build: Callable = registry[name].build
    sections = {part: {"$ref": f"#/$defs/{part}"} for part in SECTIONS if part not in ("data", "model")}
    own = _table(settings_of(build), grid=True)["properties"]
    entry = _closed({"name": {"const": name}} | sections | own | dict(extra))
    return entry | {"required": ["name"], "description": registry.summary(name)}


def _table(settings: Mapping[str, Setting], *, grid: bool = False) -> dict[str, Any]:
    return _closed({name: _value(setting, grid) for name, setting in settings.items()})


def _closed(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _value(setting: Setting, grid: bool) -> dict[str, Any]:
    one: dict[str, Any] = {} if setting.nested is not None else TypeAdapter(setting.type).json_schema()
    value = {"anyOf": [one, {"type": "array", "items": one}]} if grid and one else one
    return value | ({"description": setting.meaning} if setting.meaning else {})
