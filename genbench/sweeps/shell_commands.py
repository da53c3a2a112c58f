"""The shell command that repeats a cell: an equivalent `genbench run`."""

import shlex
from collections.abc import Mapping
from typing import Any

from genbench.errors import ConfigError
from genbench.registry import datasets
from genbench.runs.component import differing
from genbench.runs.make_spec import complete_spec
from genbench.runs.spec import Spec, own_data_name
from genbench.settings import Settings, merge, settings_in
from genbench.sweeps.set_options import as_set_options, parse_set_options


def command(spec: Spec) -> str:
    """Return the shell command that runs a cell alone.

    Raises:
        ConfigError: if a value of a setting cannot be written on a command line, or the cell belongs to an ensemble.
    """
    model, dataset, metrics = spec.model["name"], spec.data["name"], list(spec.metrics)
    data = differing(datasets[dataset].build, settings_in(spec.data))
    default = complete_spec(model, dataset, spec.seed, metrics, {"data": data})
    file = spec.data["path"] if own_data_name(spec.data) else None
    # --dataset states the path of a file.
    stated = {name: value for name, value in data.items() if file is None or name != "path"}
    sections = {"data": stated, **_changes(spec.settings, default.settings)}
    sets = [item for section, values in sections.items() for item in as_set_options(section, values)]
    given = merge({"data": data}, parse_set_options(sets))
    if complete_spec(model, dataset, spec.seed, metrics, given) != spec:
        raise ConfigError(f"{spec.model_label} on {spec.data_label} cannot be written as one command")
    words = ["genbench", "run", "--model", model, "--dataset", file or dataset, "--seed", str(spec.seed)]
    words += [word for name in metrics for word in ("--metric", name)]
    return shlex.join([*words, *(word for item in sets for word in ("--set", item))])


def _changes(settings: Settings, default: Settings) -> dict[str, Any]:
    """Return the settings that differ from the default, also within a nested component of the same name."""
    changes: dict[str, Any] = {}
    for name, value in settings.items():
        other = default.get(name)
        if value == other:
            continue
        same = isinstance(value, Mapping) and isinstance(other, Mapping) and value.get("name") == other.get("name")
        changes[name] = _changes(value, other) if same else value  # type: ignore[arg-type]
    return changes
