"""Shell commands: a cell of a suite, or an ensemble of cells, as an equivalent `genbench run`."""

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genbench.errors import ConfigError
from genbench.registry import datasets
from genbench.runs.component import differing
from genbench.runs.make_spec import make_spec
from genbench.runs.spec import Spec
from genbench.settings import Settings, settings_in
from genbench.sweeps.ensembles import ensemble_of
from genbench.sweeps.set_options import as_set_value, parse_set_options


def command(spec: Spec, results: Path) -> str:
    """Return the shell command that runs a cell, with all members of its ensemble.

    Raises:
        ConfigError: if a value of a setting cannot be written on a command line.
    """
    model, dataset, metrics = spec.model["name"], spec.data["name"], list(spec.metrics)
    if spec.stack is not None:
        spec = spec.members[0]  # the command runs all of them
    data = differing(datasets[dataset].build, settings_in(spec.data))
    default = make_spec(model, dataset, seed=spec.seed, metrics=metrics, settings={"data": data})
    changes = _changes(spec.settings, default.settings)
    for name in (spec.stack or [{}])[0]:  # --stack states these
        changes.get("model", {}).pop(name, None)
    sets = [*_flat("data", data), *(word for section in changes for word in _flat(section, changes[section]))]
    if spec.stack is None:
        again = make_spec(model, dataset, seed=spec.seed, metrics=metrics, settings=parse_set_options(sets))
        which = ["--seed", str(spec.seed)]
    else:
        again = ensemble_of(model, dataset, spec.stack, metrics, parse_set_options(sets))[0]
        which = ["--stack", json.dumps(spec.stack)]
    if again != spec:
        raise ConfigError(f"{spec.model_label} on {spec.data_label} cannot be written as one command")
    words = ["genbench", "run", "--model", model, "--dataset", dataset, *which]
    words += [word for name in metrics for word in ("--metric", name)]
    words += [word for item in sets for word in ("--set", item)]
    return shlex.join([*words, "--results", str(results)])


def _changes(settings: Settings, default: Settings) -> dict[str, Any]:
    """Return the settings that differ from the default; of a nested component of the same name, those within it."""
    changes: dict[str, Any] = {}
    for name, value in settings.items():
        other = default.get(name)
        if value == other:
            continue
        same = isinstance(value, Mapping) and isinstance(other, Mapping) and value.get("name") == other.get("name")
        changes[name] = _changes(value, other) if same else value  # type: ignore[arg-type]
    return changes


def _flat(key: str, value: Any) -> Iterator[str]:
    """Yield section.name=value for every value of a nested table."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name != "version":
                yield from _flat(f"{key}.{name}", item)
    else:
        yield f"{key}={as_set_value(value)}"
