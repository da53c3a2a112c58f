"""Shell commands: a cell of a suite, or an ensemble of cells, as an equivalent `genbench run`."""

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genbench.errors import ConfigError
from genbench.registry import datasets
from genbench.runs.component import differing
from genbench.runs.spec import Spec, resolve
from genbench.settings import Settings, settings_in
from genbench.sweeps.assignments import literal, parse
from genbench.sweeps.ensembles import ensemble_of


def command(spec: Spec, results: Path) -> str:
    """Return the shell command that runs a cell, with all members of its ensemble.

    Raises:
        ConfigError: if a value of a setting cannot be written on a command line.
    """
    model, dataset, metrics = spec.model["name"], spec.data["name"], list(spec.metrics)
    if spec.stack is not None:
        spec = spec.members[0]  # the command runs all of them
    data = differing(datasets[dataset].build, settings_in(spec.data))
    default = resolve(model, dataset, seed=spec.seed, metrics=metrics, settings={"data": data})
    of_model = _changes(_model(spec), _model(default))
    of_member = (spec.stack or [{}])[0]  # --stack states these
    sets = [*_flat("data", data), *_flat("model", {n: of_model[n] for n in of_model if n not in of_member})]
    for section in ("plan", "sample", "evaluation"):
        sets += _flat(section, _changes(getattr(spec, section), getattr(default, section)))
    for name, metric in spec.metrics.items():
        sets += _flat(f"metric.{name}", _changes(settings_in(metric), settings_in(default.metrics[name])))
    if spec.stack is None:
        again = resolve(model, dataset, seed=spec.seed, metrics=metrics, settings=parse(sets))
        which = ["--seed", str(spec.seed)]
    else:
        again = ensemble_of(model, dataset, spec.stack, metrics, parse(sets))[0]
        which = ["--stack", json.dumps(spec.stack)]
    if again != spec:
        raise ConfigError(f"{spec.model_label} on {spec.data_label} cannot be written as one command")
    words = ["genbench", "run", "--model", model, "--dataset", dataset, *which]
    words += [word for name in metrics for word in ("--metric", name)]
    words += [word for item in sets for word in ("--set", item)]
    return shlex.join([*words, "--results", str(results)])


def _model(spec: Spec) -> dict[str, Any]:
    return settings_in(spec.model) | ({"encoder": spec.encoder} if spec.encoder is not None else {})


def _changes(settings: Settings, default: Settings) -> dict[str, Any]:
    """Return the settings that differ from the default; of a nested component of the same name, those within it."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        other = default.get(name)
        if value == other:
            continue
        same = isinstance(value, Mapping) and isinstance(other, Mapping) and value.get("name") == other.get("name")
        found[name] = _changes(value, other) if same else value  # type: ignore[arg-type]
    return found


def _flat(key: str, value: Any) -> Iterator[str]:
    """Yield section.name=value for every value of a nested table."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name != "version":
                yield from _flat(f"{key}.{name}", item)
    else:
        yield f"{key}={literal(value)}"
