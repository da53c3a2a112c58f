"""Parts: a component in a spec as plain JSON (name, version, every setting), its identity, and what tables call it."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from genbench.errors import ConfigError
from genbench.registry import Registry
from genbench.settings import Settings, bind, plain, settings_in, settings_of


def component(registry: Registry, name: str, settings: Settings, context: Any = None) -> dict[str, Any]:
    """Return the part of a component: its version, and its settings with every default filled in.

    Raises:
        ConfigError: on an unknown name or a wrong value.
    """
    entry = registry[name]
    return {"name": name, "version": entry.version, **bind(entry.build, settings, name, context=context)}


def identity(registry: Registry, part: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells a component from others: name, version, and settings that differ from their defaults."""
    build = registry[part["name"]].build
    return {"name": part["name"], "version": part["version"], **differing(build, settings_in(part))}


def differing(builder: Callable, bound: Settings) -> dict[str, Any]:
    """Return the settings that differ from the defaults in the builder's signature.

    A nested component counts by its name, its version and those of its settings that differ from its own defaults.
    """
    schema = settings_of(builder)
    found: dict[str, Any] = {}
    for name, value in bound.items():
        setting = schema[name]
        if setting.nested is None:
            if setting.required or value != plain(setting, setting.default, name):
                found[name] = value
        elif isinstance(value, Mapping):
            base = setting.nested.resolve(value["name"], name) or {}
            found[name] = {k: v for k, v in value.items() if k in ("name", "version") or v != base.get(k)}
    return found


def same_version(registry: Registry, name: str, version: int) -> None:
    """Raise ConfigError if a component has another version now."""
    now = registry[name].version
    if now != version:
        raise ConfigError(f"it was made with version {version} of {registry.kind} '{name}', which is now {now}")


def label(
    registry: Registry,
    part: Mapping[str, Any],
    extra: Settings | None = None,
    context: Any = None,
    hidden: Sequence[str] = (),
) -> str:
    """Return a component's name, followed by the settings that were chosen: those that differ from their defaults."""
    build, settings = registry[part["name"]].build, settings_in(part)
    usual = bind(build, {n: settings[n] for n, s in settings_of(build).items() if s.required}, "", context=context)
    shown = {n: value for n, value in settings.items() if n not in hidden and value != usual[n]}
    chosen = {n: _chosen(value, usual[n]) for n, value in shown.items()} | dict(extra or {})
    return " ".join([part["name"], *(f"{name}={_short(value)}" for name, value in chosen.items())])


def _chosen(value: Any, usual: Any) -> Any:
    """Return of a nested component only what differs from the one that would have been taken."""
    if not (isinstance(value, Mapping) and isinstance(usual, Mapping) and value["name"] == usual["name"]):
        return value
    return {name: item for name, item in value.items() if item != usual[name]}


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + " ".join(f"{k}={_short(v)}" for k, v in value.items() if k != "version") + "}"
    return json.dumps(value, separators=(",", ":")).replace('"', "")
