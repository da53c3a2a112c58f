"""The terminal: a record and a component as people read them."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from genbench.errors import unknown
from genbench.registry import ALL, datasets, models
from genbench.results.frames import protocol
from genbench.runs.spec import sampler
from genbench.settings import settings_of
from genbench.sweeps.progress import duration

ARROWS = {"lower": "lower is better", "higher": "higher is better", "none": ""}


def print_record(record: Mapping[str, Any], path: Path, console: Console) -> None:
    """Print a record: every value with its direction, floor and protocol, then cost and place."""
    labels, cost = record["labels"], record["provenance"]["cost"]
    title = f"{labels['model']} on {labels['data']}, seed {record['spec']['seed']}"
    print_rows(record["results"], title, console)
    if cost:
        console.print(
            f"{cost['parameters']:,.0f} parameters, trained in {duration(cost['train_seconds'])} "
            f"({cost['steps_per_second']:.4g} steps/s, peak {cost['train_peak_mib']:.0f} MiB), "
            f"measured in {duration(cost['evaluate_seconds'])} (peak {cost['evaluate_peak_mib']:.0f} MiB)"
        )
    if said := not_original(record["provenance"]["data"]):
        console.print(said)
    console.print(f"kept in {path}", soft_wrap=True, highlight=False)


def not_original(data: Mapping[str, Any]) -> str:
    """Return a line on data that is not the checksummed original, from its provenance; nothing where it is."""
    if data.get("original", True):
        return ""
    note = f"; {data['note']}" if "note" in data else ""
    return f"data: not the checksummed original ({data.get('source')}, sha256 {data['sha256'][:8]}{note})"


def print_rows(rows: Sequence[Mapping[str, Any]], title: str, console: Console) -> None:
    """Print measured rows: the main point in full, then the curve of quality against evaluations."""
    main = [row for row in rows if row["point"] == "main"]
    table = Table(title=escape(title), title_justify="left", header_style="bold", show_lines=False)
    for name in ("metric", "value", "floor", "direction", "protocol"):
        table.add_column(name, justify="right" if name in ("value", "floor") else "left", overflow="fold")
    for row in main:
        if row["value"] is None:
            table.add_row(row["metric"], "-", "", "", f"[dim]{escape(row['reason'])}[/dim]")
        else:
            said = protocol(row) or ""
            said = said if "n=" in said else f"{said}, n={row['n']}"
            table.add_row(row["metric"], _value(row), _number(row["floor"]), ARROWS[row["better"]], escape(said))
    console.print(table)
    if any(_error(row) is not None for row in main):
        console.print("±: standard error of this one run, over its test points or images; seeds scatter besides")
    curve = [row for row in rows if row["point"] == "curve" and row["value"] is not None]
    if not curve:
        return
    budgets = sorted({row["nfe"] for row in curve})
    title = f"against network evaluations ({curve[0]['solver']})"
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("metric")
    for nfe in budgets:
        table.add_column(f"{nfe:g}", justify="right")
    values = {(row["metric"], row["nfe"]): row["value"] for row in curve}
    for metric in sorted({row["metric"] for row in curve}):
        table.add_row(metric, *(_number(values.get((metric, nfe))) for nfe in budgets))
    console.print(table)


def describe(name: str) -> dict[str, Any]:
    """Return what is known of a component: kind, version, origin, documentation, settings.

    Raises:
        ConfigError: if there is no component of that name.
    """
    for registry in ALL.values():
        if name in registry:
            break
    else:
        raise unknown("nothing called", name, [n for known in ALL.values() for n in known])
    entry = registry[name]
    builders = {registry.kind: entry.build} | ({"sample": sampler(entry)} if registry is models else {})
    usual = {}
    if registry is datasets and not any(setting.required for setting in settings_of(entry.build).values()):
        data = entry.build()
        usual = {"plan": dict(data.plan), "evaluation": dict(data.evaluation), "metrics": list(data.metrics)}
    return {
        "name": name,
        "kind": registry.kind,
        "version": entry.version,
        "from": registry.origin(name),
        "about": (inspect.getdoc(entry.build) or "").partition("Args:")[0].strip(),
        "settings": {
            section: {
                s.name: {
                    "type": _type(s.type),
                    "default": None if s.required else s.default,
                    "required": s.required,
                    "meaning": s.meaning,
                }
                for s in settings_of(build).values()
            }
            for section, build in builders.items()
        },
        **({"usual": usual} if usual else {}),
    }


def print_description(description: Mapping[str, Any], console: Console) -> None:
    """Print what `describe` returns."""
    console.print(
        f"[bold]{description['name']}[/bold]: {description['kind']}, version {description['version']}, "
        f"from {description['from']}\n"
    )
    console.print(escape(description["about"]), highlight=False)
    prefixes = {"model": "model", "sample": "sample", "data set": "data"}
    prefixes |= {"net": "model.net", "encoder": "model.encoder", "text encoder": "model.text"}
    for section, settings in description["settings"].items():
        prefix = prefixes.get(section, f"metric.{description['name']}")
        table = Table(header_style="bold")
        for name in ("setting", "type", "default", "meaning"):
            table.add_column(name, overflow="fold")
        for name, setting in settings.items():
            default = "required" if setting["required"] else _default(setting["default"])
            table.add_row(f"{prefix}.{name}", escape(setting["type"]), escape(default), escape(setting["meaning"]))
        console.print(table if settings else f"{section}: no settings")
    for section, values in description.get("usual", {}).items():
        said = ", ".join(f"{k}={v}" for k, v in values.items()) if isinstance(values, dict) else ", ".join(values)
        if said:
            console.print(f"{section} by default: {said}", highlight=False)


def _error(row: Mapping[str, Any]) -> float | None:
    return (row.get("details") or {}).get("standard_error")


def _value(row: Mapping[str, Any]) -> str:
    error = _error(row)
    return _number(row["value"]) + (f" ± {_number(error)}" if error is not None else "")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _default(value: Any) -> str:
    """Return a default as `--set` takes it."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _type(annotation: Any) -> str:
    """Return a type as people write it.

    >>> _type(Annotated[float, Gt(0)] | None), _type(Literal["a", "b"]), _type(tuple[int, ...])
    ('float > 0 | none', 'a | b', 'list of int')
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        bounds = [m for m in arguments[1:] if isinstance(m, Gt | Ge | Lt | Le)]
        return _type(arguments[0]) + "".join(f" {_BOUNDS[type(m)]} {_limit(m):g}" for m in bounds)
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


_BOUNDS = {Gt: ">", Ge: ">=", Lt: "<", Le: "<="}


def _limit(bound: Any) -> float:
    return next(iter(asdict(bound).values()))
