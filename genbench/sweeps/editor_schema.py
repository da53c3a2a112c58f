"""The JSON Schema of suites, with which editors complete names and settings and mark what is wrong."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from genbench.metrics.sampling import Sampling
from genbench.registry import Registry, datasets, encoders, metrics, models
from genbench.runs.component import model_class, sampler
from genbench.settings import Setting, settings_of
from genbench.sweeps.suite_file import Suite
from genbench.training.plan import Plan


def schema() -> dict[str, Any]:
    """Return the schema of `genbench.sweeps.suite_file.Suite`, with the names and settings of installed components."""
    suite_schema = Suite.model_json_schema()
    data_names, model_names, metric_names = datasets.working(), models.working(), metrics.working()
    definitions = suite_schema["$defs"]
    of_families = f"^({'|'.join(metrics.families)}):"
    every_metric = _closed({name: _table(settings_of(metrics[name].build)) for name in metric_names})
    sections = {
        "plan": _table(settings_of(Plan)),
        "evaluation": _table(settings_of(Sampling)),
        "metric": every_metric | {"patternProperties": {of_families: {"type": "object"}}},
    }
    for table in (suite_schema, *definitions.values()):
        properties = table["properties"]
        properties |= {name: {"$ref": f"#/$defs/{name}"} for name in sections if name in properties}
        if "metrics" in properties:
            properties["metrics"] = {
                "type": "array",
                "items": {"anyOf": [{"enum": metric_names}, {"pattern": of_families}]},
            }
    suite_schema["properties"]["stack"]["items"] = {"enum": ["seed", *_steering(model_names)]}
    encoder = {"encoder": {"anyOf": [{"enum": encoders.working()}, {"type": "object", "required": ["name"]}]}}
    data = [_entry(datasets, name, definitions["DataEntry"], {}) for name in data_names]
    model = [_entry(models, name, definitions["ModelEntry"], encoder | _sample(name)) for name in model_names]
    definitions |= sections
    definitions["DataEntry"] = {"oneOf": [{"enum": data_names}, *data]}
    definitions["ModelEntry"] = {"oneOf": [{"enum": model_names}, *model]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **suite_schema}


def _steering(names: list[str]) -> list[str]:
    """Return the settings in which members of an ensemble of any of these models may differ."""
    steering = {name: model_class(models[name]).steering for name in names}
    return sorted({key for name in names for key in settings_of(models[name].build) if key in steering[name]})


def _sample(name: str) -> dict[str, Any]:
    return {"sample": _table(settings_of(sampler(models[name])), grid=True)}


def _entry(registry: Registry, name: str, entry: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a table of one component; a list where a setting takes a single value makes a grid."""
    settings = _table(settings_of(registry[name].build), grid=True)["properties"]
    both = {key: {"anyOf": [entry["properties"][key], settings[key]]} for key in settings if key in entry["properties"]}
    table = _closed({**entry["properties"], "name": {"const": name}, **settings, **both, **extra})
    return table | {"required": ["name"], "description": registry.summary(name)}


def _table(settings: Mapping[str, Setting], *, grid: bool = False) -> dict[str, Any]:
    return _closed({name: _value(setting, grid) for name, setting in settings.items()})


def _closed(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _value(setting: Setting, grid: bool) -> dict[str, Any]:
    one: dict[str, Any] = {} if setting.nested is not None else TypeAdapter(setting.type).json_schema()
    value = {"anyOf": [one, {"type": "array", "items": one}]} if grid and one else one
    return value | ({"description": setting.meaning} if setting.meaning else {})
