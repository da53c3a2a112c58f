"""Versions: which records and values the installed components would no longer make.

A record is outdated if a component that made it now has another version; `results status` counts it. If a
component is not installed here or cannot be imported, its records do not count as outdated.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from genbench.errors import ConfigError
from genbench.metrics.bounds import impossible
from genbench.metrics.sampling import Sampling
from genbench.registry import Registry, couplings, datasets, encoders, extractors, metrics, models, nets, texts
from genbench.runs.component import sampler
from genbench.runs.record import without_metrics
from genbench.runs.record_types import Record, SpecJson
from genbench.settings import settings_of
from genbench.training.plan import VERSIONS, Plan, training_version

log = logging.getLogger("genbench")


class LeftOut(NamedTuple):
    """What tables leave out: a model or run, and the data set with the reason."""

    name: str
    why: str


NESTED = (couplings, nets, encoders, texts, extractors)


def installed_version(registry: Registry, name: str) -> int | None:
    """Return the version of a component; None if it is not installed here, or cannot be imported.

    FAMILY:NAME has version 1: its protocol states the version of its library, which is not imported.
    """
    try:
        return 1 if ":" in name and name in registry else registry[name].version
    except ConfigError:
        return None


def differences(registry: Registry, component: Mapping[str, Any]) -> Iterator[str]:
    """Yield how the versions of a component and of the components in its settings differ from those installed."""
    name, version = component["name"], component["version"]
    installed = installed_version(registry, name)
    if installed not in (None, version):
        yield f"made with version {version} of {registry.kind} '{name}', which is now {installed}"
    for value in component.values():
        if isinstance(value, Mapping) and "name" in value and "version" in value:
            known = next((other for other in NESTED if value["name"] in other), None)
            if known is not None:
                yield from differences(known, value)


def why_outdated(record: Record) -> str | None:
    """Return why the installed code would not train the model of a record again; None if it would."""
    for registry, component in _trained(record["spec"]):
        for why in differences(registry, component):
            return why
    plan = record["spec"]["plan"]
    if str(plan.get("precision", "fp32")) not in VERSIONS:  # JSON may hold a list, which no dictionary finds
        return "trained with a precision that this genbench does not know"
    now = training_version(plan)
    code = record["provenance"]["training"]["code"]  # empty where nothing was trained
    version = code.get("training", 1) if code else now
    return f"trained by version {version} of the training code, now {now}" if version != now else None


def unknown_components(record: Record) -> list[str]:
    """Return the components of a record that are not installed here, or cannot be imported."""
    spec = record["spec"]
    components = [(registry, part["name"]) for registry, part in _trained(spec)]
    components += [(metrics, name) for name in spec["metrics"]]
    return [f"{registry.kind} '{name}'" for registry, name in components if installed_version(registry, name) is None]


def outdated_metrics(record: Record) -> dict[str, str]:
    """Return {metric: how its version differs from the installed one}."""
    outdated = {name: next(differences(metrics, part), None) for name, part in record["spec"]["metrics"].items()}
    return {name: why for name, why in outdated.items() if why is not None}


def current(record: Record, *, published: bool = False) -> tuple[Record | None, list[LeftOut]]:
    """Return a record without outdated values, and what was left out; None without any results.

    If a record has an impossible value, the whole record is left out.

    Args:
        published: whether values of outdated metrics stay; tables then state the version of the metric.
    """
    if not record["results"]:  # a prerequisite is only trained
        return None, []
    model, data = record["labels"]["model"], record["labels"]["data"]
    if why := why_outdated(record) or impossible(record["results"]):
        return None, [LeftOut(model, f"on {data}: {why}")]
    outdated = {} if published else outdated_metrics(record)
    metrics: dict[str, list[str]] = {}
    for metric, why in outdated.items():
        metrics.setdefault(why, []).append(metric)
    left_out = [LeftOut(model, f"on {data}: {', '.join(names)}, {why}") for why, names in metrics.items()]
    return without_metrics(record, outdated) if outdated else record, left_out


def without_outdated(records: Iterable[Record]) -> list[Record]:
    """Return the records that have results, without what is outdated, and log what is left out."""
    found = [current(record) for record in records]
    log_left_out(part for _, parts in found for part in parts)
    return [record for record, _ in found if record is not None]


def log_left_out(parts: Iterable[LeftOut]) -> None:
    """Log what is left out as outdated or impossible: each reason once, with the numbers of models and records."""
    names: dict[str, list[str]] = {}
    for part in parts:
        names.setdefault(part.why, []).append(part.name)
    for why, found in names.items():
        who = found[0] if len({*found}) == 1 else f"{len({*found})} models"
        log.warning("left out: %s %s (%s)", who, why, "1 record" if len(found) == 1 else f"{len(found)} records")


def with_defaults(spec: SpecJson) -> dict[str, Any]:
    """Return a spec with all settings of its plan and evaluation.

    A record may be older than a setting, which had the effect of its default. Only models with labels or captions that
    lack `labels` (in the suites `captions` and `images`) had the effect of labels=equal.
    """
    sections = {"plan": Plan, "evaluation": Sampling}
    usual = {
        section: {name: each.plain_default for name, each in settings_of(kind).items()}
        for section, kind in sections.items()
    }
    return {**spec, **{section: usual[section] | spec[section] for section in sections}}


def with_all_defaults(spec: SpecJson) -> dict[str, Any]:
    """Return a spec with all settings of its plan and evaluation, and with those of its model and sampling.

    Unlike `with_defaults`, it imports the model.
    """
    whole, name = with_defaults(spec), spec["model"]["name"]
    if spec.get("kind") == "encoder" or installed_version(models, name) != spec["model"]["version"]:
        return whole
    for section, build in (("model", models[name].build), ("sample", sampler(models[name]))):
        usual = {key: each.plain_default for key, each in settings_of(build).items() if not each.required}
        whole[section] = usual | whole[section]
    return whole


def _trained(spec: Mapping[str, Any]) -> Iterator[tuple[Registry, Mapping[str, Any]]]:
    """Yield the components that training depends on, each with its registry."""
    yield datasets, spec["data"]
    yield encoders if spec.get("kind") == "encoder" else models, spec["model"]
    if spec.get("encoder"):
        yield encoders, spec["encoder"]
