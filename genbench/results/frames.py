"""Frames: records as pandas tables, one row a measured value or one row a run."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from genbench.runs.record import Record

COLUMNS = ["model", "data", "seed", "metric", "value", "floor", "n", "protocol", "better", "point", "solver", "nfe"]
COLUMNS += ["step", "reason", "original", "run"]
NUMBERS = {"value": float, "floor": float, "nfe": float, "step": float}


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return one row a measured value: the row of the record, with its run, model, data, seed."""
    records = list(records)
    names = names_of(records)
    rows = [
        _whose(record) | {"model": name} | row | {"protocol": protocol(row)}
        for record, name in zip(records, names, strict=True)
        for row in record["results"]
    ]
    table = pd.DataFrame(rows, columns=[*COLUMNS, *sorted({k for row in rows for k in row} - set(COLUMNS))])
    return table.astype(NUMBERS)


def protocol(row: Mapping[str, Any]) -> str | None:
    """Return all that must agree before a value may be compared, and what is known of the bias that it implies."""
    known = row.get("details") or {}
    if row.get("protocol") is None or "bias" not in known:
        return row.get("protocol")
    if known["bias"] is None:
        return f"{row['protocol']}; its bias is not known, of no more real images than features"
    return f"{row['protocol']}; its bias would be {known['bias']:.3g} if features were Gaussian"


def costs(records: Iterable[Record]) -> pd.DataFrame:
    """Return one row a run: what training, with all that had to be trained before it, and evaluation took."""
    records, rows = list(records), []
    for record, name in zip(records, names_of(records), strict=True):
        cost = record["provenance"]["cost"]
        if cost:
            peak = max(cost["train_peak_mib"], cost["evaluate_peak_mib"])
            device = record["provenance"]["machine"]["device"]
            whole = {"train_seconds": cost.get("total_train_seconds", cost["train_seconds"])}
            rows.append(_whose(record) | {"model": name} | cost | whole | {"peak_mib": peak, "device": device})
    return pd.DataFrame(rows)


def names_of(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what each record's model is called: its label, and the budget where that tells two of one label apart.

    Of a record only labels and spec are asked for.
    """
    alike: dict[tuple[str, str], list[dict[tuple[str, str], str]]] = {}
    budgets = [_budget(record) for record in records]
    labels = [(record["labels"]["model"], record["labels"]["data"]) for record in records]
    for label, budget in zip(labels, budgets, strict=True):
        alike.setdefault(label, []).append(budget)
    telling = {label: _telling(same) for label, same in alike.items()}
    return [
        label[0] + "".join(f" {key[1]}={budget[key]}" for key in telling[label] if key in budget)
        for label, budget in zip(labels, budgets, strict=True)
    ]


def _telling(budgets: Sequence[Mapping[tuple[str, str], str]]) -> list[tuple[str, str]]:
    """Return the settings in which budgets differ; those of curves only where nothing else tells two apart."""
    keys = dict.fromkeys(key for budget in budgets for key in budget)
    differing = [key for key in keys if len({budget.get(key) for budget in budgets if key in budget}) > 1]
    plain = [key for key in differing if key[1] not in ("curve", "curve_metrics")]

    def told(by: Sequence[tuple[str, str]]) -> int:
        return len({tuple(budget.get(key) for key in by) for budget in budgets})

    return plain if told(plain) == told(differing) else differing


def _budget(record: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    return {
        (part, key): json.dumps(value, separators=(",", ":"))
        for part in ("plan", "evaluation")
        for key, value in record["spec"][part].items()
    }


def _whose(record: Record) -> dict[str, Any]:
    labels = record["labels"]
    return {
        "run": labels["run"],
        "model": labels["model"],
        "data": labels["data"],
        "seed": record["spec"]["seed"],
        "original": record["provenance"]["data"].get("original", True),
    }
