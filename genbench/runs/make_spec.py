"""Make specs: from the names and settings of a request, which are checked and completed, or from a record."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from genbench import registry
from genbench.core import Event
from genbench.errors import ConfigError, unknown
from genbench.metrics.sampling import Sampling
from genbench.registry import couplings, datasets, encoders, metrics, models
from genbench.runs.component import component, model_class, sampler, with_content
from genbench.runs.memory_estimate import check_memory
from genbench.runs.spec import ENCODER, SPEC, Spec, build_data, content_of, encoder_spec, latent_event
from genbench.runs.versions import differences
from genbench.settings import Settings, bind, merge, settings_in
from genbench.storage import content_hash
from genbench.training.plan import Plan
from genbench.validation import explain

log = logging.getLogger("genbench")

VALIDATION = "validation_loss"
"""The metric that is measured every `plan.validate_every` steps."""

SECTIONS = ("data", "model", "plan", "sample", "evaluation", "metric")
"""Sections of the settings of a run."""


def make_spec(
    model: str,
    dataset: str,
    *,
    seed: int = 0,
    metrics: Iterable[str] | None = None,
    settings: Settings | None = None,
) -> Spec:
    """Check a request of the user and fill in every default, without training or loading anything large.

    Args:
        metrics: names of metrics; by default the data set's metrics.
        settings: nested by section: data, model, plan, sample, evaluation, metric.

    Raises:
        ConfigError: on an unknown name, a wrong value, a missing file, or a size that does not fit into memory.
        Unsupported: if the model cannot learn the data set.
    """
    spec = complete_spec(model, dataset, seed, metrics, settings or {})
    if spec.plan["stop"] == "validation":
        _check_stop(spec.model, spec.plan)
    check_memory(spec)
    for part, builder, chosen in spec.parts():
        content_hash.of_settings(builder, chosen, part)  # refuses a missing file
    for line in spec.build_data().remarks:
        log.warning("%s", line)
    return replace(spec, metrics={name: with_content(registry.metrics, part) for name, part in spec.metrics.items()})


def complete_spec(model: str, dataset: str, seed: int, metrics: Iterable[str] | None, settings: Settings) -> Spec:
    """Fill in every default, without the checks of memory and files; see `make_spec`."""
    part = _by_section(settings)
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**63:
        raise ConfigError(f"seed: {seed!r} is wrong: a seed is a whole number from 0 on, below 2^63")
    data_spec = component(datasets, dataset, part["data"])
    data = build_data(data_spec)
    encoder = ENCODER.resolve(part["model"].pop("encoder", None), "model.encoder", data.event)
    entry = models[model]
    own_plan = entry.traits.get("plan", {})
    sample = bind(sampler(entry), part["sample"], f"sample ({model})")
    model_spec = component(models, model, part["model"], context=latent_event(encoder, data.event))
    model_class(entry).check(sample, settings_in(model_spec))
    plan = bind(Plan, merge(data.plan, own_plan, part["plan"]), "plan")
    names = [*(metrics if metrics is not None else data.metrics)]
    if plan["released"] and plan["steps"]:
        raise ConfigError("plan.released marks weights that are not trained here: set plan.steps=0")
    if plan["validate_every"] and VALIDATION not in names:
        names.append(VALIDATION)
    if plan["validate_every"] and data.valid.size == 0:
        raise ConfigError(f"plan.validate_every: {dataset} has no validation split: omit validate_every")
    if plan["stop"] == "validation" and not plan["validate_every"]:
        raise ConfigError("plan.stop=validation needs plan.validate_every, such as plan.validate_every=100")
    chosen = bind_metrics(names, part["metric"], data.event)
    evaluation = bind(Sampling, merge(data.evaluation, part["evaluation"]), "evaluation")
    for name in evaluation["curve_metrics"]:
        if full_name(name, chosen) is None:
            raise unknown("evaluation.curve_metrics names a metric that is not measured:", name, chosen)
    evaluation["curve_metrics"] = [full_name(name, chosen) for name in evaluation["curve_metrics"]]
    return Spec(
        data=data_spec,
        model=model_spec,
        plan=plan,
        sample=sample,
        evaluation=evaluation,
        metrics=chosen,
        seed=seed,
        encoder=encoder,
        content=content_of(data_spec),
    )


def _by_section(settings: Settings) -> dict[str, dict[str, Any]]:
    """Raises ConfigError unless settings are tables by section."""
    for section, table in settings.items():
        if section not in SECTIONS:
            raise unknown("no section of settings", section, SECTIONS)
        if not isinstance(table, Mapping):
            raise ConfigError(f"{section}={table!r}: write {section}.name=value")
    return {section: dict(settings.get(section, {})) for section in SECTIONS}


def _check_stop(model: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
    """Refuse to choose weights by the loss on validation data if that gives no choice or a misleading one."""
    if 0 < plan["steps"] <= plan["validate_every"]:
        every, steps = plan["validate_every"], plan["steps"]
        raise ConfigError(f"plan.stop=validation: plan.validate_every={every} must be below plan.steps={steps}")
    entries = [models[model["name"]]]
    if "coupling" in model:
        entries.append(couplings[model["coupling"]["name"]])
    why = [
        f"{entry.name} has no loss on validation data" for entry in entries if not entry.traits.get("held_out", True)
    ]
    if model_class(entries[0]).self_targeted:
        whose = f"the loss of {model['name']} depends on targets from its own weights"
        why.append(f"{whose}, so its lowest value does not mark the best step")
    if why:
        raise ConfigError(f"plan.stop=validation: {why[0]}; choose plan.stop=steps")


def restore_spec(record: Mapping[str, Any]) -> Spec:
    """Return the spec that a record or a checkpoint carries, without metrics that are outdated or not installed here.

    Raises:
        ConfigError: if another component that the spec names now has another version, or lacks one of its settings.
    """
    try:
        spec = SPEC.validate_python(record)
    except ValidationError as error:
        raise ConfigError(f"this is not the spec of a run: {explain(error)}") from error
    for kind, part in ((datasets, spec.data), (spec.registry, spec.model), (encoders, spec.encoder)):
        for why in differences(kind, part) if part is not None else ():
            raise ConfigError(f"it was {why}")
    if spec.kind == "encoder":
        data = component(datasets, spec.data["name"], settings_in(spec.data))
        encoder = ENCODER.resolve(spec.model, "model.encoder", build_data(data).event)
        assert encoder is not None
        return encoder_spec(data, encoder, content_of(data))
    for name in (name for member in spec.stack or () for name in member):
        if name not in ("seed", *spec.model):
            raise unknown(f"stack: {spec.model['name']} has no setting", name, settings_in(spec.model))
    known = {name: part for name, part in spec.metrics.items() if name in metrics}
    current = {name: part for name, part in known.items() if not any(differences(metrics, part))}
    along = bind(Sampling, spec.evaluation, "evaluation")["curve_metrics"]
    evaluation = {**spec.evaluation, "curve_metrics": [name for name in along if name in current]}
    settings = replace(spec, metrics=current, evaluation=evaluation).settings
    rebuilt = complete_spec(spec.model["name"], spec.data["name"], spec.seed, current, settings)
    # A teacher has no metrics, whatever its plan asks for.
    hashes = {name: {"content": part["content"]} if "content" in part else {} for name, part in current.items()}
    chosen = {name: rebuilt.metrics[name] | hashes[name] for name in current}
    # Outdated metrics of the curve stay in the evaluation, which names the folder of the record.
    evaluation = {**rebuilt.evaluation, "curve_metrics": along}
    return replace(rebuilt, stack=spec.stack, evaluation=evaluation, metrics=chosen)


def repeatable_spec(record: Mapping[str, Any]) -> Spec:
    """Return the spec that a record carries, with all its metrics.

    Raises:
        ConfigError: as `restore_spec`, and if a metric is not installed here: a part of the values is no repetition.
    """
    for name in record["metrics"]:
        metrics.require(name)
    return restore_spec(record)


def bind_metrics(names: Iterable[str], settings: Settings, event: Event) -> dict[str, dict[str, Any]]:
    """Return the metrics' part of a spec. Settings may name a metric of a user's file without its hash."""
    names, stated = sorted(set(names)), {}
    for name, table in settings.items():
        full = full_name(name, names)
        if full is None:
            raise unknown("there are settings for a metric that is not measured:", name, names)
        if not isinstance(table, Mapping):
            raise ConfigError(f"{name}: {table!r} is wrong: write settings of {name} as name=value")
        stated[full] = merge(stated.get(full, {}), table)
    return {name: component(metrics, name, stated.get(name, {}), context=event) for name in names}


def full_name(name: str, names: Iterable[str]) -> str | None:
    """Return the one of these names that a user means: the name itself, or the only one with this name before its hash.

    >>> full_name("w2", ["w2", "w2@1f2e3d4c"]), full_name("mine", ["mine@1f2e3d4c"]), full_name("mine", ["w2"])
    ('w2', 'mine@1f2e3d4c', None)
    """
    found = [known for known in names if name in (known, known.partition("@")[0])]
    return name if name in found else found[0] if len(found) == 1 else None
