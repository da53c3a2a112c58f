"""The shell command that repeats a run: a cell, or an ensemble of cells, as an equivalent `genbench run`."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from genbench.errors import ConfigError
from genbench.registry import datasets
from genbench.runs.component import differing
from genbench.runs.make_spec import complete_spec
from genbench.runs.spec import Spec
from genbench.settings import Settings, merge, settings_in
from genbench.sweeps.set_options import as_set_options, parse_set_options


def command(spec: Spec) -> str:
    """Return the shell command that runs a cell, with all members of its ensemble.

    Raises:
        ConfigError: if a value of a setting cannot be written on a command line.
    """
    model, dataset, metrics = spec.model["name"], spec.data["name"], list(spec.metrics)
    first = spec.members[0]
    own = {name: value for name, value in (first.stack or [{}])[0].items() if name != "seed"}
    data = differing(datasets[dataset].build, settings_in(spec.data))
    default = complete_spec(model, dataset, first.seed, metrics, {"data": data})
    changes = {"data": data} | _changes(first.settings, default.settings)
    for name in own:  # --stack states these
        changes.get("model", {}).pop(name, None)
    sets = [item for section, values in changes.items() for item in as_set_options(section, values)]
    given = merge(parse_set_options(sets), {"model": own})
    again = complete_spec(model, dataset, first.seed, metrics, given)
    if replace(again, stack=first.stack) != first:
        raise ConfigError(f"{spec.model_label} on {spec.data_label} cannot be written as one command")
    which = ["--seed", str(spec.seed)] if spec.stack is None else ["--stack", json.dumps(spec.stack)]
    words = ["genbench", "run", "--model", model, "--dataset", dataset, *which]
    words += [word for name in metrics for word in ("--metric", name)]
    return shlex.join([*words, *(word for item in sets for word in ("--set", item))])


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
