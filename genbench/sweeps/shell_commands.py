"""Commands: a cell of a suite, or a stack of them, as the `genbench run` that does exactly the same."""

import json
import math
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genbench.errors import ConfigError
from genbench.registry import datasets
from genbench.runs.spec import Spec, resolve
from genbench.settings import Settings, parse, plain, settings_in, settings_of
from genbench.sweeps.ensembles import members


def command(spec: Spec, results: Path) -> str:
    """Return the line of a shell that runs a cell, with all members of its stack.

    Raises:
        ConfigError: if a value of a setting cannot be written on a command line.
    """
    model, dataset = spec.model["name"], spec.data["name"]
    if spec.stack is not None:
        spec = spec.members[0]  # the command runs all of them
    data = _chosen(spec)
    bare = resolve(model, dataset, seed=spec.seed, metrics=list(spec.metrics), settings={"data": data})
    differing = _differing(_model(spec), _model(bare))
    own = (spec.stack or [{}])[0]  # what a stack says of its members need not be said twice
    sets = [*_flat("data", data), *_flat("model", {name: differing[name] for name in differing if name not in own})]
    for section in ("plan", "sample", "evaluation"):
        sets += _flat(section, _differing(getattr(spec, section), getattr(bare, section)))
    for name, part in spec.metrics.items():
        sets += _flat(f"metric.{name}", _differing(settings_in(part), settings_in(bare.metrics[name])))
    if spec.stack is None:
        again = resolve(model, dataset, seed=spec.seed, metrics=list(spec.metrics), settings=parse(sets))
        which = ["--seed", str(spec.seed)]
    else:
        again = members(model, dataset, spec.stack, list(spec.metrics), parse(sets))[0]
        which = ["--stack", json.dumps(spec.stack)]
    if again != spec:
        raise ConfigError(f"{spec.model_label} on {spec.data_label} cannot be written as one command")
    words = ["genbench", "run", "--model", model, "--dataset", dataset, *which]
    words += [word for name in spec.metrics for word in ("--metric", name)]
    words += [word for item in sets for word in ("--set", item)]
    return shlex.join([*words, "--results", str(results)])


def _chosen(spec: Spec) -> dict[str, Any]:
    schema, settings = settings_of(datasets[spec.data["name"]].build), settings_in(spec.data)
    return {
        name: value
        for name, value in settings.items()
        if schema[name].required or value != plain(schema[name], schema[name].default, name)
    }


def _model(spec: Spec) -> dict[str, Any]:
    return settings_in(spec.model) | ({"encoder": spec.encoder} if spec.encoder is not None else {})


def _differing(settings: Settings, usual: Settings) -> dict[str, Any]:
    """Return the settings that are not the usual ones; of a component of the same name, only those of its own."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        other = usual.get(name)
        if value == other:
            continue
        alike = isinstance(value, Mapping) and isinstance(other, Mapping) and value.get("name") == other.get("name")
        found[name] = _differing(value, other) if alike else value  # type: ignore[arg-type]
    return found


def _flat(key: str, value: Any) -> Iterator[str]:
    """Yield section.name=value for everything in a nested table."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name != "version":
                yield from _flat(f"{key}.{name}", item)
    else:
        yield f"{key}={_literal(value)}"


def _literal(value: Any) -> str:
    """Return a value as `genbench.settings.parse` reads it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return (
            "["
            + ", ".join(json.dumps(v, ensure_ascii=False) if isinstance(v, str) else _literal(v) for v in value)
            + "]"
        )
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w-]*", value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


_WORDS = ("none", "true", "false", "inf", "nan")
