"""Components in a spec as plain JSON (name, version, every setting): their identity in keys, and their labels."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from genbench.core import Model
from genbench.errors import ConfigError
from genbench.registry import Entry, Registry
from genbench.runs.record_types import by_content
from genbench.settings import Nested, Settings, bind, settings_in, settings_of
from genbench.storage import content_hash


def component(registry: Registry, name: str, settings: Settings, context: Any = None) -> dict[str, Any]:
    """Return a component as plain JSON: its name, version, and settings with every default filled in.

    Raises:
        ConfigError: on an unknown name or a wrong value.
    """
    entry = registry[name]
    return {"name": name, "version": entry.version, **bind(entry.build, settings, name, context=context)}


def identity(registry: Registry, component: Mapping[str, Any]) -> dict[str, Any]:
    """Return what enters a key: name, version and the settings that are not defaults, files by their content."""
    known = known_by_content(registry[component["name"]].build, settings_in(component), component["name"])
    return {"name": component["name"], "version": component["version"]} | known


def known_by_content(builder: Callable, bound: Settings, what: str) -> dict[str, Any]:
    """Return the settings that differ from the defaults, with the hashes of files and folders in place of paths."""
    return differing(builder, by_content(bound, content_hash.of_settings(builder, bound, what)))


def with_content(registry: Registry, component: Mapping[str, Any]) -> dict[str, Any]:
    """Return a component with the hashes of the files that its settings name, as `content`, if there are any.

    Raises:
        ConfigError: if a file does not exist or cannot be read.
    """
    name = component["name"]
    found = content_hash.of_settings(registry[name].build, settings_in(component), name)
    return {**component, "content": found} if found else dict(component)


def differing(builder: Callable, bound: Settings) -> dict[str, Any]:
    """Return the settings that differ from the defaults in the builder's signature.

    A nested component is reduced to its name, its version and the settings that differ from its own defaults.
    """
    schema = settings_of(builder)
    changed: dict[str, Any] = {}
    for name, value in bound.items():
        setting = schema[name]
        if setting.nested is None:
            if setting.required or value != setting.plain_default:
                changed[name] = value
        elif isinstance(value, Mapping):
            default = setting.nested.resolve(value["name"], name) or {}
            changed[name] = {k: v for k, v in value.items() if k in ("name", "version") or v != default.get(k)}
    return changed


def with_files(row: Any, content: Mapping[str, str]) -> Any:
    """Return a row whose protocol states which files were read: tables never average values of different protocols."""
    protocol = row.get("protocol")
    unstated = [f"{name} {sha256[:8]}" for name, sha256 in content.items() if sha256[:8] not in (protocol or "")]
    return {**row, "protocol": ", ".join([protocol, *unstated])} if protocol and unstated else row


def sampler(entry: Entry) -> Callable:
    """Return the schema of the sampling options of a model."""
    return own_options(model_class(entry))


def model_class(entry: Entry) -> type[Model]:
    """Return the class of a model: its builder, or the return annotation of its builder.

    Raises:
        ConfigError: if neither is a subclass of Model.
    """
    build = entry.build
    kind = build if inspect.isclass(build) else inspect.signature(build, eval_str=True).return_annotation
    if not (isinstance(kind, type) and issubclass(kind, Model)):
        raise ConfigError(f"model '{entry.name}': annotate its builder with the Model class that it returns")
    return kind


@lru_cache
def own_options(kind: type[Model]) -> Callable:
    """Return the sampling method's schema: its keyword-only options except the label, which is not a setting."""

    def options() -> None: ...

    signature = inspect.signature(kind.sample, eval_str=True)
    kept = [p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY and p.name != "label"]
    options.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    options.__doc__ = kind.sample.__doc__
    return options


def label(
    registry: Registry,
    component: Mapping[str, Any],
    extra: Settings | None = None,
    context: Any = None,
    hidden: Sequence[str] = (),
) -> str:
    """Return a component's name, followed by the settings that differ from their defaults, and by extra settings."""
    changed = _changed(registry, component, None, context)
    shown = {name: text for name, text in changed.items() if name not in hidden} | dict(extra or {})
    return " ".join([component["name"], *(f"{name}={_short(value)}" for name, value in shown.items())])


def nested_label(nested: Nested, component: Any, default: Any, context: Any) -> str:
    """Return a nested component as NAME, or NAME(setting=value,...) with the settings that differ from their defaults.

    Args:
        default: the component used here by default; its settings are the defaults for a component of its name.
    """
    if not isinstance(component, Mapping):
        return _short(component)
    same = isinstance(default, Mapping) and default["name"] == component["name"]
    changed = _changed(nested.registry, component, default if same else None, context)
    words = ",".join(f"{name}={text}" for name, text in changed.items())
    return f"{component['name']}({words})" if words else component["name"]


def _changed(
    registry: Registry, component: Mapping[str, Any], defaults: Settings | None, context: Any
) -> dict[str, str]:
    """Return {setting: value as text} of the settings that differ from their defaults."""
    build, settings = registry[component["name"]].build, settings_in(component)
    schema = settings_of(build)
    if defaults is None:
        required = {name: settings[name] for name, setting in schema.items() if setting.required}
        defaults = bind(build, required, "", context=context)
    changed = {}
    for name, value in settings.items():
        if value != defaults[name]:
            nested = schema[name].nested
            changed[name] = nested_label(nested, value, defaults[name], context) if nested else _short(value)
    return changed


def _short(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")).replace('"', "")
