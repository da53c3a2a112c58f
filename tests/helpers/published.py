"""Published values read as a referee reads them: from the records, without genbench."""

import gzip
import json
import re
from collections import defaultdict
from fnmatch import fnmatch
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy import stats

RESULTS = Path(__file__).parents[2] / "results"
CARDS = dict(
    re.findall(r"^### (\d+)\. (.*?)(?=^##)", (RESULTS / "findings.md").read_text("utf-8") + "\n##", re.M | re.S)
)
"""{number: title, table and quote} of the findings."""
PAPERS = dict(
    re.findall(
        r"^### ([A-Z]\d+)\. (.*?)(?=^##|^Not measured here)",
        (RESULTS / "papers.md").read_text("utf-8") + "\n##",
        re.M | re.S,
    )
)
"""{number: title and table} of the claims of papers."""
SIGNED = re.compile(r"[-+]\d+(?:\.\d+)? ± \d+(?:\.\d+)?")
"""A difference with half its 95 % interval, as pages state it."""


def text_of(place):
    """Return the text of a card by its number, or of a page of the results by its name."""
    return (CARDS | PAPERS).get(str(place)) or (RESULTS / place).read_text("utf-8")


def says(place, sentence):
    """Return whether a card or page has these words, in which # stands for a difference, whatever its number."""
    words = re.escape(" ".join(sentence.split())).replace(r"\#", SIGNED.pattern)
    return re.search(words, " ".join(text_of(place).split())) is not None


TUNED_AT = {"plane-v1": 2000, "transport-v1": 2000, "digits-v1": 800}
"""{track: steps of the budget where its methods are tuned}."""


@cache
def records(suite):
    """Return the records of a suite, as published."""
    return [*map(json.loads, gzip.decompress((RESULTS / suite / "records.jsonl.gz").read_bytes()).splitlines())]


def rows_of(record, table="default"):
    """Return the rows of a record in a track with default or tuned settings."""
    return [place["row"] for place in record.get("track", ()) if table in place["tables"]]


@cache
def defaults(suite, table="default"):
    """Return the records of a suite; of a track, only those with default settings, or of another table.

    Tuned settings may have the labels of default settings: labels do not state the plan.
    """
    return [record for record in records(suite) if "track" not in record or rows_of(record, table)]


@cache
def tasks(suite):
    """Return the data sets of a suite."""
    return tuple(dict.fromkeys(record["labels"]["data"] for record in defaults(suite)))


@cache
def rows(suite, table="default"):
    """Return (labels, spec, result) of each value of the `defaults` of a suite."""
    found = []
    for record in defaults(suite, table):
        named = rows_of(record, table)
        labels = record["labels"] | {"row": named[0] if named else None}
        found += [(labels, record["spec"], own) for own in record.get("results", ()) if own.get("value") is not None]
    return found


@cache
def by_metric(suite, table="default"):
    found = defaultdict(list)
    for row in rows(suite, table):
        found[row[2]["metric"], row[2].get("point")].append(row)
    return found


def results(suite, data, model, metric, nfe=None, table="default", **plan):
    """Return {seed: result} of a model; in a track, at the budget where methods are tuned.

    Args:
        model: its label, or its row of a track.
        nfe: of a curve; None for the main point.
        table: of a track: default or tuned settings.
        plan: settings of the plan.
    """
    found, first = {}, {"steps": TUNED_AT[suite]} if suite in TUNED_AT else {}
    for labels, spec, result in by_metric(suite, table)[metric, "main" if nfe is None else "curve"]:
        if (
            (nfe is None or result["nfe"] == nfe)
            and fnmatch(labels["data"], data)
            and (labels["row"] == model or fnmatch(labels["model"], model))
            and (first | plan).items() <= spec["plan"].items()
        ):
            assert spec["seed"] not in found, (suite, labels)
            found[spec["seed"]] = result
    assert found, (suite, data, model, metric)
    return found


def values(*words, **settings):
    """Return {seed: value} of `results`."""
    return {seed: result["value"] for seed, result in results(*words, **settings).items()}


def at_floor(*words, **settings):
    """Return whether tables mark the mean of `results` with °, if it has all seeds: real data are not better (95 %)."""
    own = [*results(*words, **settings).values()]
    sign = {"lower": 1, "higher": -1}.get(own[0]["better"])
    if sign is None or len(own) < 2 or None in [result["floor"] for result in own]:
        return False
    middle, half = halved([sign * (result["value"] - result["floor"]) for result in own])
    return middle <= half


def in_order(suite, data, model, metric, **settings):
    """Return `values` in the order of seeds."""
    return np.array([value for _, value in sorted(values(suite, data, model, metric, **settings).items())])


def mean(*words, **settings):
    """Return the mean over seeds of `values`."""
    return in_order(*words, **settings).mean()


def halved(numbers):
    """Return mean and half of the 95 % interval."""
    return np.mean(numbers), stats.t.ppf(0.975, len(numbers) - 1) * stats.sem(numbers)


def sides(one, other, nfe=None, others=None, **plan):
    """Return ((one model, its settings of `values`), (the other, its own)).

    Args:
        nfe, plan: as in `values`, for both models; `table` counts as a part of the plan.
        others: settings of the plan, and `nfe`, of the other model where they differ.
    """
    return (one, {"nfe": nfe} | plan), (other, {"nfe": nfe} | (plan if others is None else others))


def differences(suite, data, metric, *models, **settings):
    """Return {seed: one model minus another}, over their common seeds; models and settings as in `sides`."""
    own, other = (values(suite, data, model, metric, **its) for model, its in sides(*models, **settings))
    return {seed: value - other[seed] for seed, value in own.items() if seed in other}


def both_at_floor(suite, data, metric, *models, **settings):
    """Return whether two models of `differences` are at the floor, so that no page may order them."""
    return all(at_floor(suite, data, model, metric, **its) for model, its in sides(*models, **settings))


def difference(*models, **settings):
    """Return mean and half of the 95 % interval of the `differences`, which may not order values at the floor."""
    middle, half = halved([*differences(*models, **settings).values()])
    assert abs(middle) <= half or not both_at_floor(*models, **settings), ("both are at the floor", models, settings)
    return middle, half


def signed(mean, half, digits):
    """Write a difference as pages state it: "-0.12 ± 0.03"."""
    return f"{mean:+.{digits}f} ± {half:.{digits}f}"


def holm(tests):
    """Return {key: corrected p} of {key: p}."""
    corrected, highest = {}, 0.0
    for rank, key in enumerate(sorted(tests, key=tests.get)):
        corrected[key] = highest = max(highest, min(1.0, tests[key] * (len(tests) - rank)))
    return corrected


def all_pairs(models):
    """Return {pair in alphabetical order: p} of {model: {seed: value}}, with Holm's correction over all pairs."""
    tests = {}
    for pair in combinations(sorted(models), 2):
        tests[pair] = stats.ttest_rel(
            *([models[name][seed] for seed in sorted(models[pair[0]])] for name in pair)
        ).pvalue
    return holm(tests)


@cache
def step_costs(track):
    """Return {task: {row: CPU time of a training step as a multiple of CFM's}} on an idle machine.

    Only the first task of each shape was measured. Each row is compared with CFM on the row's own network.
    """
    measured = json.loads((RESULTS.parent / "genbench" / "suites" / f"{track}.seconds.json").read_text("utf-8"))
    assert measured["load"] <= measured["cores"] / 2
    found = {}
    for shape in measured["shapes"]:
        own = found[shape["tasks"][0]] = {}
        for row, seconds in shape["seconds"].items():
            net = next((word for word in row.split() if word.startswith("net=")), "")
            base = next(each for each in shape["seconds"] if each.startswith("cfm") and net in each)
            own[row] = seconds / shape["seconds"][base]
    return found


def below(*models, **settings):
    """Return whether the interval of the `differences` lies below 0 and the two may be ordered."""
    middle, half = halved([*differences(*models, **settings).values()])
    return middle + half < 0 and not both_at_floor(*models, **settings)
