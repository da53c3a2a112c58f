"""Ensembles: which cells are trained together as one model. Specs and suite files call an ensemble `stack`."""

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from genbench.errors import ConfigError, unknown
from genbench.registry import models
from genbench.runs.component import model_class
from genbench.runs.spec import Spec, plan_of
from genbench.settings import settings_in


def why_alone(spec: Spec) -> str | None:
    """Return why a model cannot be trained in an ensemble; None if it can."""
    name, plan = spec.model["name"], plan_of(spec)
    stackable = spec.encoder is None and model_class(models[name]).stackable(spec.event, spec.model)
    if not stackable:
        return f"{name} on {spec.data['name']} cannot be stacked: only models with small networks can"
    if plan.accumulate > 1 or plan.precision != "fp32":
        return "plan.accumulate and plan.precision=bf16 need models that are trained alone"
    if plan.stop == "validation":
        return "plan.stop=validation needs models that are trained alone"
    return None


def form_ensembles(specs: Sequence[Spec], names: Sequence[str]) -> list[Spec]:
    """Return specs with their ensembles: models that are equal except for the named settings form an ensemble.

    Models that cannot be trained in an ensemble stay alone. Members may differ in sampling and metrics.

    Args:
        specs: all cells; members of an ensemble keep their order.
        names: what may differ within an ensemble: "seed", and names of model settings.

    Raises:
        ConfigError: if no model has a setting of that name, or members cannot differ in it.
    """
    _check(specs, names)
    groups: dict[str, dict[str, dict[str, Any]]] = {}
    keys = []
    for spec in specs:
        settings = {"seed": spec.seed} | settings_in(spec.model)
        member = {"seed": spec.seed} | {name: settings[name] for name in names if name in settings}
        shared = [spec.data, spec.model | dict.fromkeys(member), spec.plan, spec.seed if "seed" not in names else None]
        key = json.dumps(shared, sort_keys=True) if why_alone(spec) is None else ""
        keys.append(key)
        groups.setdefault(key, {})[json.dumps(member)] = member
    stacks = {key: _differing(list(members.values())) for key, members in groups.items() if key and len(members) > 1}
    return [replace(spec, stack=stacks.get(key)) for spec, key in zip(specs, keys, strict=True)]


def among(spec: Spec, seeds: Collection[int]) -> Spec:
    """Return a spec whose ensemble has only its members of these seeds."""
    members = [member for member in spec.stack or () if member["seed"] in seeds]
    return replace(spec, stack=members if len(members) > 1 else None)


def _check(specs: Sequence[Spec], names: Sequence[str]) -> None:
    known = {"seed"} | {name for spec in specs for name in settings_in(spec.model)}
    for name in names:
        if name not in known:
            raise unknown("stack: no model has a setting", name, sorted(known))
    for spec in specs:
        kind = model_class(models[spec.model["name"]])
        for name in set(names) & settings_in(spec.model).keys() - set(kind.steering):
            if why_alone(spec) is None:
                able = ", ".join(("seed", *(name for name in kind.steering if name in spec.model)))
                raise ConfigError(f"stack: {spec.model['name']} can differ in {able} within a stack, not in '{name}'")


def _differing(members: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Reduce members to their seeds and the settings in which they differ."""
    names = [
        name for name in members[0] if name == "seed" or any(member[name] != members[0][name] for member in members)
    ]
    return [{name: member[name] for name in names} for member in members]
