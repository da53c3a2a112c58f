"""Published values read as a referee reads them: from the records, without genbench."""

import gzip
import json
from collections import defaultdict
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import numpy as np
from scipy import stats

RESULTS = Path(__file__).parents[2] / "results"


@cache
def rows(suite):
    """Return (labels, spec, result) of each value of a suite."""
    found = []
    for record in map(json.loads, gzip.decompress((RESULTS / suite / "records.jsonl.gz").read_bytes()).splitlines()):
        named = [place["row"] for place in record.get("track", ()) if "default" in place["tables"]]
        labels = record["labels"] | {"row": named[0] if named else None}
        found += [(labels, record["spec"], own) for own in record.get("results", ()) if own.get("value") is not None]
    return found


@cache
def by_metric(suite):
    found = defaultdict(list)
    for row in rows(suite):
        found[row[2]["metric"], row[2].get("point")].append(row)
    return found


def values(suite, data, model, metric, nfe=None, **plan):
    """Return {seed: value} of a model; in plane-v1, of the first budget.

    Args:
        model: its label, or its row of a track with default settings.
        nfe: of a curve; None for the main point.
        plan: settings of the plan.
    """
    found, first = {}, {"steps": 2000} if suite == "plane-v1" else {}
    for labels, spec, result in by_metric(suite)[metric, "main" if nfe is None else "curve"]:
        if (
            (nfe is None or result["nfe"] == nfe)
            and fnmatch(labels["data"], data)
            and (labels["row"] == model or fnmatch(labels["model"], model))
            and (first | plan).items() <= spec["plan"].items()
        ):
            assert spec["seed"] not in found, (suite, labels)
            found[spec["seed"]] = result["value"]
    assert found, (suite, data, model, metric)
    return found


def halved(numbers):
    """Return mean and half of the 95 % interval."""
    return np.mean(numbers), stats.t.ppf(0.975, len(numbers) - 1) * stats.sem(numbers)
