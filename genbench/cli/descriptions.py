"""Components: what a model, data set, metric, net, encoder or extractor is, and its settings, as data and as text."""

import inspect
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from rich.console import Console

from genbench.metrics.sampling import Sampling
from genbench.registry import Registry, datasets, models
from genbench.runs.component import sampler
from genbench.settings import ByEvent, Setting, marker_in, settings_of
from genbench.training.plan import Plan

BOUNDS = {Gt: ">", Ge: ">=", Lt: "<", Le: "<="}


def describe(name: str, registry: Registry) -> dict[str, Any]:
    """Return the kind, version, origin, documentation and settings of a component."""
    entry = registry[name]
    builders = {registry.kind: entry.build} | ({"sample": sampler(entry)} if registry is models else {})
    defaults = {}
    if registry is datasets and not any(setting.required for setting in settings_of(entry.build).values()):
        data = entry.build()
        defaults = {"plan": dict(data.plan), "evaluation": dict(data.evaluation), "metrics": list(data.metrics)}
    return {
        "name": name,
        "kind": registry.kind,
        "version": entry.version,
        "from": registry.origin(name),
        "about": (inspect.getdoc(entry.build) or "").partition("Args:")[0].partition("Raises:")[0].strip(),
        "settings": {
            section: {name: _setting(setting) for name, setting in settings_of(build).items()}
            for section, build in builders.items()
        },
        **({"usual": defaults} if defaults else {}),
    }


SECTIONS = {
    "plan": "The budget and the optimizer of a run: --set plan.NAME=VALUE.",
    "evaluation": "How samples are drawn and measured: --set evaluation.NAME=VALUE.",
}
"""Sections of settings, with what they are."""


def describe_section(section: str) -> dict[str, Any]:
    """Return the settings of a section as `describe` does."""
    found = settings_of(Plan if section == "plan" else Sampling)
    settings = {name: _setting(setting) for name, setting in found.items()}
    about = {"name": section, "kind": "section of settings", "version": 1, "from": "genbench"}
    return about | {"about": SECTIONS[section], "settings": {section: settings}}


def _setting(setting: Setting) -> dict[str, Any]:
    default, by_event = None if setting.required else setting.default, marker_in(setting.type, ByEvent)
    if default is None and by_event is not None and isinstance(by_event.rule, str):
        default = by_event.rule
    return {
        "type": _type(setting.type),
        "default": default,
        "required": setting.required,
        "meaning": setting.meaning,
    }


PREFIXES = {
    **{name: name for name in ("model", "sample", "plan", "evaluation", "data")},
    **{"data set": "data", "net": "model.net", "encoder": "model.encoder", "text encoder": "model.text"},
}
LINES, DEFAULT = 40, 12
"""Maximum number of lines of a description, and of characters of a default."""


def print_description(description: Mapping[str, Any], console: Console) -> None:
    """Print what `describe` returns, in at most 40 lines; meanings are shortened if necessary."""
    kind = f"{description['kind']}, version {description['version']}, from {description['from']}"
    head = [f"{description['name']}: {kind}", ""]
    head += [line for part in description["about"].split("\n\n") for line in (*textwrap.wrap(part, console.width), "")]
    for section, values in description.get("usual", {}).items():
        text = ", ".join(f"{k}={v}" for k, v in values.items()) if isinstance(values, dict) else ", ".join(values)
        head += textwrap.wrap(f"Usual {section}: {text}", console.width, subsequent_indent="  ") if text else []
    head += [""] * bool(description.get("usual"))
    for most in (9, 2, 1):
        lines = [*head, *_settings(description, console.width, most)]
        if len(lines) < LINES:
            break
    if most < 9:
        lines = [*lines[: LINES - 1], f"In full: genbench show {description['name']} --json"]
    console.print("\n".join(lines), highlight=False, markup=False)


def _settings(description: Mapping[str, Any], width: int, most: int) -> Iterator[str]:
    """Yield at most `most` lines for each setting: its name, its default, what it means, its type."""
    metric = f"metric.{description['name']}"
    found = [
        (f"{PREFIXES.get(section, metric)}.{name}", setting)
        for section, settings in description["settings"].items()
        for name, setting in settings.items()
    ]
    left = max((len(name) for name, _ in found), default=0)
    for name, setting in found:
        default = "required" if setting["required"] else written(setting["default"])
        default = default if len(default) <= DEFAULT else f"{default[: DEFAULT - 1]}…"
        text, space = f"{setting['meaning']} ({setting['type']})", width - left - DEFAULT - 4
        first, *rest = textwrap.wrap(text, space, max_lines=most, placeholder=" …")
        yield f"{name:<{left}}  {default:<{DEFAULT}}  {first}"
        yield from (" " * (left + DEFAULT + 4) + line for line in rest)
    if not found:
        yield "No settings."


def written(value: Any) -> str:
    """Return a value of a setting; a component as NAME(setting=value, ...).

    >>> written({"name": "mlp", "version": 1, "width": 64, "bias": True})
    'mlp(width=64, bias=true)'
    """
    if isinstance(value, dict):
        inner = ", ".join(f"{k}={written(v)}" for k, v in value.items() if k not in ("name", "version"))
        return f"{value.get('name', '')}({inner})"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _type(annotation: Any) -> str:
    """Write a type annotation for readers.

    >>> _type(Annotated[int, Ge(0), Le(3)] | None), _type(Literal["a", "b"]), _type(tuple[int, ...])
    ('int >= 0 <= 3 | none', 'a | b', 'list of int')
    >>> _type(tuple[float, float]), _type(tuple[int, str]), _type(dict[str, int])
    ('list of float', 'list (int, str)', 'table')
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        bounds = [m for m in arguments[1:] if isinstance(m, tuple(BOUNDS))]
        limits = [(BOUNDS[type(m)], next(iter(asdict(m).values()))) for m in bounds]
        return _type(arguments[0]) + "".join(f" {sign} {limit:g}" for sign, limit in limits)
    if origin in (Union, UnionType):
        return " | ".join(_type(part) for part in arguments)
    if origin is Literal:
        return " | ".join(str(part) for part in arguments)
    if origin in (tuple, list):
        parts = [_type(part) for part in arguments if part is not Ellipsis]
        return f"list of {parts[0]}" if len(set(parts)) == 1 else f"list ({', '.join(parts)})"
    if origin is dict:
        return "table"
    return "none" if annotation is NoneType else getattr(annotation, "__name__", str(annotation))
