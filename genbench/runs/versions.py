"""Versions: which records and values today's components would not make again.

A record is outdated if a component that made it has another version now; status and `clean --stale` call it stale. A
source that changed under the same version is only a hint that the version should have been raised.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from genbench.errors import ConfigError
from genbench.registry import Registry, datasets, encoders, metrics
from genbench.runs import source_code
from genbench.runs.component import differences
from genbench.runs.record import Record, Row, metric_of
from genbench.runs.spec import REGISTRIES, SPEC
from genbench.runs.store import run_name
from genbench.storage import trust
from genbench.storage.trust import Untrusted
from genbench.validation import explain

log = logging.getLogger("genbench")

_keys: dict[str, str | None] = {}
"""{spec without its seed, as JSON: why its run has another key now}, for a key takes a millisecond or two."""


def why_outdated(record: Record) -> str | None:
    """Return why today's code would train another model than the one of a record; None if it would not."""
    spec = record["spec"]
    for _, registry, component in _trained(spec):
        for why in differences(registry, component):
            return why
        if component["name"] not in registry:  # the file that registers it is elsewhere
            return None
    text = json.dumps({**spec, "metrics": {}, "sample": {}, "evaluation": {}, "seed": 0})
    if text not in _keys:
        _keys[text] = _other_key(spec, record["labels"]["run"])
    return _keys[text]


def unknown_components(record: Record) -> list[str]:
    """Return the components of a record that are not installed here, or cannot be imported."""
    spec = record["spec"]
    components = [(registry, part["name"]) for _, registry, part in _trained(spec)]
    missing = []
    for registry, name in [*components, *((metrics, name) for name in spec["metrics"])]:
        try:
            registry[name]
        except ConfigError:
            missing.append(f"{registry.kind} '{name}'")
    return missing


def outdated_metrics(record: Record) -> dict[str, str]:
    """Return {metric: why its values are outdated}."""
    outdated = {name: next(differences(metrics, part), None) for name, part in record["spec"]["metrics"].items()}
    return {name: why for name, why in outdated.items() if why is not None}


def without_metrics(record: Record, names: Iterable[str]) -> Record | None:
    """Return a record without the values of these metrics; None if no value is left."""
    names = set(names)
    rows = [row for row in record["results"] if metric_of(row) not in names]
    return {**record, "results": rows} if rows else None


def with_metric_versions(record: Record) -> Record:
    """Return a published record in whose protocols the values of outdated metrics state their version."""
    versions = {name: record["spec"]["metrics"][name]["version"] for name in outdated_metrics(record)}

    def stated(row: Row) -> Row:
        name = metric_of(row)
        if name not in versions or row.get("protocol") is None:
            return row
        return {**row, "protocol": f"{row['protocol']}, version {versions[name]} of {name}"}

    return {**record, "results": [stated(row) for row in record["results"]]} if versions else record


def without_outdated(records: Iterable[Record], published: Callable[[Record], bool] | None = None) -> list[Record]:
    """Return the records that have results, without what is outdated, and log what is left out.

    Args:
        published: tells the published records, which keep the values of outdated metrics with their version.
    """
    kept, left_out = [], Counter()
    for record in records:
        if not record["results"]:  # a prerequisite is only trained
            continue
        name = f"{record['labels']['model']} on {record['labels']['data']}"
        if (why := why_outdated(record)) is not None:
            left_out[f"{name}: {why}"] += 1
            continue
        if published is not None and published(record):
            kept.append(with_metric_versions(record))
            continue
        outdated = outdated_metrics(record)
        current = without_metrics(record, outdated)
        if current is not None:
            kept.append(current)
        left_out.update(f"{name}: {metric}, {text}" for metric, text in outdated.items())
    for text, count in left_out.items():
        log.warning("left out as outdated: %s (%s)", text, "1 record" if count == 1 else f"{count} records")
    return kept


def changed_sources(record: Record) -> list[str]:
    """Return the components whose source differs from the one that made the record."""
    then = record["provenance"]["code"].get("sources", {})
    now = sources_of(record["spec"])
    return sorted(name for name, digest in then.items() if now.get(name, digest) != digest)


def sources_of(spec: Mapping[str, Any]) -> dict[str, str]:
    """Return {component of a spec: hash of its source}."""
    components = [(kind, registry, part["name"]) for kind, registry, part in _trained(spec)]
    components += [("metric", metrics, name) for name in spec["metrics"]]
    sources = {}
    for kind, registry, name in components:
        with suppress(ConfigError):  # a component that is not installed here, or broken
            sources[f"{kind} {name}"] = source_code.digest(registry[name].build.__module__)
    return {name: digest for name, digest in sources.items() if digest is not None}


def _trained(spec: Mapping[str, Any]) -> Iterator[tuple[str, Registry, Mapping[str, Any]]]:
    """Yield the components that training depends on: what each is, its registry, its part of the spec."""
    kind = spec.get("kind", "model")
    yield "data", datasets, spec["data"]
    yield kind, REGISTRIES[kind], spec["model"]
    if spec.get("encoder"):
        yield "encoder", encoders, spec["encoder"]


def _other_key(spec: Mapping[str, Any], run: str) -> str | None:
    try:
        known = SPEC.validate_python(spec)
        trust.check(known.parts())
        if not Path(spec["data"].get("path") or "").exists() or run_name(known) == run:
            return None  # where the data is elsewhere, the key is not known, because it needs the data's content
    except Untrusted:  # the record is shown all the same: only its files stay closed
        return None
    except (ValidationError, TypeError, KeyError, AttributeError, ConfigError) as error:
        return f"made by an earlier version of genbench: {explain(error)}"
    return "made by an earlier version of genbench"
