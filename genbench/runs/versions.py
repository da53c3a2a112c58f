"""Staleness: records that were made by versions of components, or of genbench, that are not there any more.

Stale is what a declared version says; another hash of the source only is a hint that somebody forgot to raise one.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from genbench.errors import ConfigError
from genbench.registry import Registry, datasets, encoders, extractors, metrics, models, nets, texts
from genbench.runs import sources
from genbench.runs.record import Record
from genbench.runs.spec import Spec
from genbench.runs.store import run_name

log = logging.getLogger("genbench")

NESTED = (nets, encoders, texts, extractors)

_keys: dict[str, str | None] = {}
"""Why runs of a spec are stale, whatever their seed; None where they are not."""


def reason(record: Record) -> str | None:
    """Return why a record is stale as a whole, if it is: what was trained would be another model today."""
    spec = record["spec"]
    old = _outdated(json.dumps([spec["data"], spec["model"], spec.get("encoder")]))
    if old is not None:
        return old
    # Runs that differ in their seed are stale together, and a key takes a millisecond or two.
    text = json.dumps({**spec, "metrics": {}, "sample": {}, "evaluation": {}, "seed": 0})
    if text not in _keys:
        _keys[text] = _stale_key(spec, record["labels"]["run"])
    return _keys[text]


def stale_metrics(record: Record) -> dict[str, str]:
    """Return why metrics of a record are stale, of those that are."""
    found = {name: _outdated_metric(name, json.dumps(part)) for name, part in record["spec"]["metrics"].items()}
    return {name: why for name, why in found.items() if why is not None}


def current(record: Record) -> Record | None:
    """Return a record without its stale metrics; nothing if it is stale as a whole."""
    if reason(record) is not None:
        return None
    old = stale_metrics(record)
    if not old:
        return record
    rows = [row for row in record["results"] if row["metric"].partition(".")[0] not in old]
    return {**record, "results": rows} if rows else None


def without_stale(records: Iterable[Record]) -> list[Record]:
    """Return the records, or parts of them, that today's code would make; what is left out is reported."""
    kept, left_out = [], Counter()
    for record in records:
        now = current(record)
        if now is not None:
            kept.append(now)
        name = f"{record['labels']['model']} on {record['labels']['data']}"
        whole = reason(record)
        why = [whole] if whole is not None else [f"{m}, {text}" for m, text in stale_metrics(record).items()]
        left_out.update(f"{name}: {text}" for text in why)
    for text, count in left_out.items():
        log.warning("left out as stale: %s (%s)", text, "1 record" if count == 1 else f"{count} records")
    return kept


def changed(record: Record) -> list[str]:
    """Return the components whose source is not the one that made the record, though their versions are."""
    then = record["provenance"]["code"].get("sources", {})
    now = sources_of(record["spec"])
    return sorted(name for name, digest in then.items() if now.get(name, digest) != digest)


def sources_of(spec: Mapping[str, Any]) -> dict[str, str]:
    """Return the hashes of the sources of a spec's components, by their names."""
    parts = [("data", datasets, spec["data"]["name"]), ("model", models, spec["model"]["name"])]
    parts += [("metric", metrics, name) for name in spec["metrics"]]
    found = {f"{kind} {name}": sources.digest(registry[name].build.__module__) for kind, registry, name in parts}
    return {name: digest for name, digest in found.items() if digest is not None}


@lru_cache(maxsize=4096)
def _outdated(text: str) -> str | None:
    data, model, encoder = json.loads(text)
    parts = [(datasets, data), (models, model), *([(encoders, encoder)] if encoder else [])]
    return next((why for registry, part in parts for why in _differing(registry, part)), None)


@lru_cache(maxsize=4096)
def _outdated_metric(name: str, text: str) -> str | None:
    return next(_differing(metrics, {**json.loads(text), "name": name}), None)


def _differing(registry: Registry, part: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the versions of a component and of those in its settings."""
    name, version = part["name"], part["version"]
    if name not in registry:
        yield f"there is no {registry.kind} '{name}' any more"
    elif registry[name].version != version:
        yield f"made with version {version} of {registry.kind} '{name}', which is now {registry[name].version}"
    for value in part.values():
        if isinstance(value, Mapping) and "name" in value and "version" in value:
            known = next((other for other in NESTED if value["name"] in other), None)
            if known is not None:
                yield from _differing(known, value)


def _stale_key(spec: Mapping[str, Any], run: str) -> str | None:
    if not Path(spec["data"].get("path") or "").exists():
        return None  # published records of data that is elsewhere: the key needs the data's content
    try:
        if run_name(Spec(**spec)) == run:
            return None
    except (TypeError, KeyError, AttributeError, ConfigError) as error:
        return f"made by an earlier version of genbench: {error}"
    return "made by an earlier version of genbench"
