"""The shell command that repeats a cell: an equivalent `genbench run`."""

import shlex
from collections.abc import Mapping
from typing import Any

from genbench.errors import ConfigError
from genbench.registry import datasets
from genbench.runs.component import differing
from genbench.runs.make_spec import complete_spec
from genbench.runs.spec import Spec, build_data
from genbench.settings import Settings, settings_in
from genbench.sweeps.set_options import as_set_options, parse_set_options


def command(spec: Spec) -> str:
    """Return the shell command that runs a cell alone.

    Raises:
        ConfigError: if a value of a setting cannot be written on a command line, or the cell belongs to an ensemble.
    """
    model, dataset, metrics = spec.model["name"], spec.data["name"], list(spec.metrics)
    data = differing(datasets[dataset].build, settings_in(spec.data))
    default = complete_spec(model, dataset, spec.seed, metrics, {"data": data})
    changes = {"data": data} | _changes(spec.settings, default.settings)
    sets = [item for section, values in changes.items() for item in as_set_options(section, values)]
    if complete_spec(model, dataset, spec.seed, metrics, parse_set_options(sets)) != spec:
        raise ConfigError(f"{spec.model_label} on {spec.data_label} cannot be written as one command")
    words = ["genbench", "run", "--model", model, "--dataset", dataset, "--seed", str(spec.seed)]
    words += [word for name in metrics for word in ("--metric", name)]
    return shlex.join([*words, *(word for item in sets for word in ("--set", item))])


def baseline(spec: Spec, model: str) -> list[str]:
    """Return the words of a command that runs another model, with its default settings, on the data of a spec."""
    changes = {"data": differing(datasets[spec.data["name"]].build, settings_in(spec.data))}
    default = complete_spec(model, spec.data["name"], spec.seed, list(spec.metrics), changes)
    changes |= {name: _changes(spec.settings[name], default.settings[name]) for name in ("plan", "evaluation")}
    sets = [item for section, values in changes.items() for item in as_set_options(section, values)]
    words = ["genbench", "run", "--model", model, "--dataset", spec.data["name"]]
    metrics = [] if {*spec.metrics} == {*build_data(spec.data).metrics} else spec.metrics
    words += [word for name in metrics for word in ("--metric", name)]
    words += [word for item in sets for word in ("--set", item)]
    return [*words, *([] if spec.seed == 0 else ["--seed", str(spec.seed)])]


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
