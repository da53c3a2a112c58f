"""Frames: records as pandas tables, with one row per measured value or one row per run.

pandas is imported where it is used: `genbench run` needs no table, and the import takes a quarter of a second.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from genbench.runs.record_types import Record, Row, SpecJson, metric_of
from genbench.runs.versions import outdated_metrics, with_defaults

if TYPE_CHECKING:
    import pandas as pd

OF_RUN = ["model", "data", "seed", "original", "run"]
COLUMNS = ["model", "data", "seed", "metric", "value", "floor", "n", "protocol", "better", "point", "solver", "nfe"]
COLUMNS += ["step", "reason", "original", "run"]
ERRORS = 4
"""Number of standard errors by which a likelihood may be below the entropy of the data."""

TUNED_END = " tuned"
"""End of the name of a run that is only in the table of tuned settings of its track."""

DEFAULT_END = " (default)"
"""End of the name of a row with default settings in a table of tuned settings."""

FREE = ("steps", "compile", "threads")
"""Settings of a plan that are not part of a row's name: the budget has the steps, the others change no result."""

NUMBERS = {"value": float, "floor": float, "nfe": float, "step": float}


def frame(records: Iterable[Record]) -> "pd.DataFrame":
    """Return one row per measured value: the row of the record, with its run, model, data set and seed."""
    import pandas as pd

    records = list(records)
    rows = [row for record in records for row in record["results"]]
    names = [*COLUMNS, *sorted({name for row in rows for name in row}.difference(COLUMNS))]
    # Column by column: pandas takes several times as long for a list of rows.
    columns: dict[str, list[Any]] = {name: [row.get(name, nan) for row in rows] for name in names if name not in OF_RUN}
    columns["protocol"] = [stated for record in records for stated in protocols(record)]
    of_runs: dict[str, list[Any]] = {
        "model": names_of(records),
        "data": [record["labels"]["data"] for record in records],
        "seed": [record["spec"]["seed"] for record in records],
        "original": [record["provenance"]["data"].get("original", True) for record in records],
        "run": [record["labels"]["run"] for record in records],
    }
    runs = pd.DataFrame(of_runs)
    runs = runs.loc[np.repeat(runs.index, [len(record["results"]) for record in records])].reset_index(drop=True)
    return pd.concat([runs, pd.DataFrame(columns)], axis=1).reindex(columns=names).astype(NUMBERS)


def protocols(record: Record) -> list[str | None]:
    """Return the protocol of each row, which states the version of an outdated metric (in published records only)."""
    outdated = {name: record["spec"]["metrics"][name]["version"] for name in outdated_metrics(record)}
    stated = []
    for row in record["results"]:
        text, name = protocol(row), metric_of(row)
        stated.append(f"{text}, version {outdated[name]} of {name}" if text and name in outdated else text)
    return stated


def protocol(row: Row | Mapping[str, Any]) -> str | None:
    """Return all that must agree before a value may be compared, and what is known about its bias."""
    known, text = row.get("details") or {}, row.get("protocol")
    if text is not None and (doubt := doubtful_density(row)):
        text += f"; {doubt}"
    if text is None or "bias" not in known:
        return text
    if known["bias"] is None:
        return f"{text}; its bias is not known: there are no more real images than features"
    return f"{text}; its bias would be {known['bias']:.3g} if features were Gaussian"


def doubtful_density(row: Row | Mapping[str, Any]) -> str:
    """Return why a likelihood is in doubt: it beats the true density at the same points by more than its error.

    The floor of a likelihood estimates the entropy of the data; only sampling and solver errors can put a value below
    it. Returns an empty text if there is no doubt.
    """
    value, floor, known = row["value"], row.get("floor"), row.get("details") or {}
    if metric_of(row) not in ("nll", "bits_per_dim") or value is None or floor is None:
        return ""
    error = ERRORS * (known.get("standard_error") or 0.0) + (known.get("tolerance_difference") or 0.0)
    if value >= floor - error:
        return ""
    return "lower than the entropy of the data, which is impossible: the density is wrong, or the value is forged"


def is_unsupported(row: Row | Mapping[str, Any]) -> bool:
    """Return whether a result has no value because none is possible; samples that are not finite are a failure."""
    return row.get("value") is None and "not finite" not in (row.get("reason") or "")


def cost_of(record: Record) -> dict[str, Any]:
    """Return the total cost of a run, and its device; empty for a run that was not trained.

    The cost covers training with its prerequisites, and the measurements that were made on the same device.
    """
    training, measurements = record["provenance"]["training"], record["provenance"]["measurements"]
    if not training["cost"]:
        return {}
    device = training["machine"].get("device")
    measured = [m["cost"] for m in measurements if m["cost"] and m["machine"].get("device") == device]
    cost: dict[str, Any] = {**training["cost"], "device": device}
    cost["train_seconds"] = cost.get("total_train_seconds", cost["train_seconds"])
    if measured:
        cost["sample_seconds"] = measured[0]["sample_seconds"]
        cost["evaluate_seconds"] = sum(each["evaluate_seconds"] for each in measured)
        cost["evaluate_peak_mib"] = max(each["evaluate_peak_mib"] for each in measured)
    cost["peak_mib"] = max(cost["train_peak_mib"], cost.get("evaluate_peak_mib", 0.0))
    return cost


def tables_of(record: Mapping[str, Any]) -> frozenset[str]:
    """Return the tables of a track, "default" and "tuned", in which a record has a row; empty outside of tracks."""
    return frozenset(table for place in record.get("track", ()) for table in place["tables"])


def names_of(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the name of each record's model: its label, plus its budget if records of this label have several.

    The name of a run in the table of tuned settings alone states the tuned settings of its plan and ends with "tuned".
    """
    budgets: dict[str, dict[tuple[str, str], str]] = {}
    found: list[tuple[tuple[str, str, str], str]] = []
    for record, chosen in zip(records, _tuned_plans(records), strict=True):
        spec, labels = record["spec"], record["labels"]
        budget = json.dumps([spec["plan"], spec["evaluation"]])  # few differ
        if budget not in budgets:
            budgets[budget] = _budget(spec)
        tuned = TUNED_END if tables_of(record) == {"tuned"} else ""
        found.append(((labels["model"] + chosen, labels["data"], tuned), budget))
    of_label: dict[tuple[str, str, str], list[dict[tuple[str, str], str]]] = {}
    for label, budget in dict.fromkeys(found):
        of_label.setdefault(label, []).append(budgets[budget])
    distinguishing = {label: _distinguishing(same) for label, same in of_label.items()}
    return [
        label[0]
        + "".join(f" {_setting(key, label[0])}={budgets[b][key]}" for key in distinguishing[label] if key in budgets[b])
        + label[2]
        for label, b in found
    ]


def budget_words(record: Mapping[str, Any]) -> str:
    """Return a run's plan and evaluation as words of `names_of`."""
    label = record["labels"]["model"]
    return " ".join(f"{_setting(key, label)}={value}" for key, value in _budget(record["spec"]).items())


def _setting(key: tuple[str, str], label: str) -> str:
    """Return the name of a setting, with its section if the label has another setting of this name."""
    return ".".join(key) if f" {key[1]}=" in label else key[1]


def _tuned_plans(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the tuned settings of each record's plan, as the end of its name; labels state all other settings.

    A setting is named if it differs from the default run of the same row and data set. If no such run is known, a
    default run of the row on another data set is taken.
    """
    usual: dict[tuple[str, str], Mapping[str, Any]] = {}
    for record in records:
        for place in record.get("track", ()):
            if "default" in place["tables"]:
                for data in (record["labels"]["data"], ""):
                    usual.setdefault((place["row"], data), with_defaults(record["spec"])["plan"])
    words = []
    for record in records:
        plan = with_defaults(record["spec"])["plan"]
        row = record["track"][0]["row"] if tables_of(record) == {"tuned"} else ""
        default = usual.get((row, record["labels"]["data"])) or usual.get((row, "")) or plan
        pairs = {key: (plan[key], default.get(key)) for key in plan if key not in FREE}
        written = {key: [*map(_written, pair)] for key, pair in pairs.items()}
        words.append("".join(f" {key}={own}" for key, (own, other) in written.items() if own != other))
    return words


def _distinguishing(budgets: Sequence[Mapping[tuple[str, str], str]]) -> list[tuple[str, str]]:
    """Return the settings in which budgets differ; settings of curves only if no others distinguish two budgets."""
    keys = dict.fromkeys(key for budget in budgets for key in budget)
    differing = [key for key in keys if len({budget.get(key) for budget in budgets if key in budget}) > 1]
    plain = [key for key in differing if key[1] not in ("curve", "curve_metrics")]

    def distinguished(by: Sequence[tuple[str, str]]) -> int:
        return len({tuple(budget.get(key) for key in by) for budget in budgets})

    return plain if distinguished(plain) == distinguished(differing) else differing


def _budget(spec: SpecJson) -> dict[tuple[str, str], str]:
    whole = with_defaults(spec)
    return {
        (section, key): _written(value) for section in ("plan", "evaluation") for key, value in whole[section].items()
    }


def _written(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
