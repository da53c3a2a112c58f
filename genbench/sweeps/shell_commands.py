"""The shell command that repeats a cell: an equivalent `genbench run`."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from genbench.errors import ConfigError
from genbench.registry import datasets, models
from genbench.runs.component import differing, sampler
from genbench.runs.make_spec import complete_spec
from genbench.runs.spec import Spec, build_data, own_data_name
from genbench.settings import Settings, bind, merge, settings_in, settings_of
from genbench.sweeps.set_options import as_set_options, parse_set_options


def command(spec: Spec) -> str:
    """Return the shell command that runs a cell alone.

    Raises:
        ConfigError: if a value of a setting cannot be written on a command line, or the cell belongs to an ensemble.
    """
    model, dataset, metrics, data = spec.model["name"], spec.data["name"], list(spec.metrics), _data(spec)
    default = complete_spec(model, dataset, spec.seed, metrics, {"data": data})
    sets = _sets(spec, data, _changes(spec.settings, default.settings))
    given = merge({"data": data}, parse_set_options(sets))
    if complete_spec(model, dataset, spec.seed, metrics, given) != spec:
        raise ConfigError(f"{spec.model_label} on {spec.data_label} cannot be written as one command")
    return _written(spec, model, str(spec.seed), metrics, sets)


def baseline(spec: Spec, model: str, seeds: str) -> str:
    """Return the shell command that runs another model on the data and budget of a cell.

    Of the settings of the cell's model, the command has the encoder and those that both models have, such as the
    network, and, if the cell changes its sampler, the options that both samplers have, if the other one takes them:
    without these, the comparison would be unequal.
    """
    data, metrics = _data(spec), list(spec.metrics)
    encoder = {"encoder": spec.encoder} if spec.encoder is not None else {}
    default = complete_spec(model, spec.data["name"], spec.seed, metrics, {"data": data, "model": encoder})
    changes = {part: _changes(spec.settings[part], default.settings[part]) for part in ("plan", "evaluation")}
    own, other = (settings_of(models[name].build) for name in (spec.model["name"], model))
    both = {name for name in own.keys() & other.keys() if own[name].type == other[name].type}
    shared = {name: value for name, value in spec.settings["model"].items() if name in both}
    changes["model"] = encoder | _changes(shared, default.settings["model"])
    if spec.sample != bind(sampler(models[spec.model["name"]]), {}, "sample"):  # else each has its own default
        options = {name: value for name, value in spec.sample.items() if name in default.sample}
        changes["sample"] = _changes(options, default.sample)
        try:
            complete_spec(model, spec.data["name"], spec.seed, metrics, {"data": data} | changes)
        except ConfigError:  # the other sampler does not take them together
            del changes["sample"]
    usual = {*metrics} == {*build_data(spec.data).metrics}
    return _written(spec, model, seeds, [] if usual else metrics, _sets(spec, data, changes))


def _written(spec: Spec, model: str, seeds: str, metrics: Sequence[str], sets: Sequence[str]) -> str:
    dataset = spec.data["path"] if own_data_name(spec.data) else spec.data["name"]
    words = ["genbench", "run", "--model", model, "--dataset", dataset, "--seed", seeds]
    words += [word for name in metrics for word in ("--metric", name)]
    return shlex.join([*words, *(word for item in sets for word in ("--set", item))])


def _data(spec: Spec) -> dict[str, Any]:
    """Return the settings of the data that differ from their defaults."""
    return differing(datasets[spec.data["name"]].build, settings_in(spec.data))


def _sets(spec: Spec, data: Settings, changes: Settings) -> list[str]:
    """Return the --set options of a command, without the path of a data file, which --dataset states."""
    own = {name: value for name, value in data.items() if name != "path" or not own_data_name(spec.data)}
    sections = {"data": own} | dict(changes)
    return [item for section, values in sections.items() for item in as_set_options(section, values)]


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
