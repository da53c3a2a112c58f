"""Comparisons of two runs, or of two sweeps: what differs in the specs, what in the values, and whether it is noise."""

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from genbench.errors import ConfigError
from genbench.files import Damaged
from genbench.report.spread import LEVEL, mean_and_error, paired_p
from genbench.store import Record, Store, read_record


class Change(NamedTuple):
    """A part of a spec, or of its provenance, that differs: its dotted name and both values."""

    name: str
    one: Any
    other: Any


class Difference(NamedTuple):
    """A metric that both sides measured.

    Args:
        metric: its name, with what tells its point on a curve.
        one: mean over seeds of the first.
        other: mean over seeds of the second.
        difference: mean of second minus first over common seeds.
        error: its standard error; None with a single seed.
        seeds: how many seeds both have.
        chance: p of a paired t test after Holm's correction over all metrics compared; None where it cannot be had.
        better: direction of the metric.
    """

    metric: str
    one: float
    other: float
    difference: float
    error: float | None
    seeds: int
    chance: float | None
    better: str

    @property
    def verdict(self) -> str:
        """What the difference means."""
        if self.difference == 0 and not self.error:
            return "equal"
        if self.chance is None:
            return "one seed only: may be noise"
        if self.chance > LEVEL:
            return "within noise"
        if self.better not in ("lower", "higher"):
            return "differs"
        return "better" if (self.difference < 0) == (self.better == "lower") else "worse"


class Comparison(NamedTuple):
    """Two groups of runs that differ in nothing but their seeds within the group.

    Args:
        one: model and data of the first.
        other: model and data of the second.
        spec: what differs in the specs.
        code: what differs in code, libraries and machine.
        values: the metrics that both measured in the same way.
        only: metrics that one side alone measured, or measured otherwise.
    """

    one: str
    other: str
    spec: list[Change]
    code: list[Change]
    values: list[Difference]
    only: list[str]


def load(path: Path, results: Path = Path("results")) -> list[Record]:
    """Return the records of a results folder, a run, a record, or published records (SUITE-records.jsonl.gz).

    Args:
        path: what to read; the name of a run is looked for in the results folder.
        results: that folder.

    Raises:
        ConfigError: if there are none.
    """
    path = path if path.exists() else results / "runs" / path
    try:
        if path.name.endswith(".jsonl.gz"):
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                return [{"provenance": {}, **json.loads(line)} for line in lines]
        if path.is_file():
            return [read_record(path)]
    except Damaged:
        raise
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"{path} holds no records: {error}") from error
    found = list(Store(path).records()) or [read_record(p) for p in sorted(path.glob("**/record.json"))]
    if not found:
        raise ConfigError(f"{path} holds no records")
    return found


def compare(one: Sequence[Record], other: Sequence[Record]) -> tuple[list[Comparison], list[str]]:
    """Pair what both sides have of one model on one data set; a single model on each side is paired whatever it is.

    Returns:
        The comparisons, and what one side alone has.
    """
    ones, others = _groups(one), _groups(other)
    if len(ones) == len(others) == 1:
        pairs = [(next(iter(ones)), next(iter(others)))]
    else:
        pairs = [(key, key) for key in ones if key in others]
    alone = [f"only the first has {_called(key)}" for key in ones if key not in {a for a, _ in pairs}]
    alone += [f"only the second has {_called(key)}" for key in others if key not in {b for _, b in pairs}]
    found = [_compared(a, b, ones[a], others[b]) for a, b in pairs]
    return list(_corrected(found)), alone


def _groups(records: Sequence[Record]) -> dict[tuple[str, ...], list[Record]]:
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        groups.setdefault((record["labels"]["model"], record["labels"]["data"]), []).append(record)
    # Of one label there may be several budgets: they are groups of their own.
    split: dict[tuple[str, ...], list[Record]] = {}
    for key, group in groups.items():
        budgets = {json.dumps([r["spec"][part] for part in ("plan", "evaluation", "sample")]): [] for r in group}
        for record in group:
            budgets[json.dumps([record["spec"][part] for part in ("plan", "evaluation", "sample")])].append(record)
        for number, members in enumerate(budgets.values()):
            split[key if len(budgets) == 1 else (*key, f"budget {number + 1}")] = members
    return split


def _called(key: Sequence[str]) -> str:
    return " ".join([key[0], "on", key[1], *(f"({extra})" for extra in key[2:])])


def _compared(one: Sequence[str], other: Sequence[str], ones: list[Record], others: list[Record]) -> Comparison:
    first, second = ones[0], others[0]
    spec = _changes({**first["spec"], "seed": 0}, {**second["spec"], "seed": 0})
    code = _changes(_surroundings(first), _surroundings(second))
    left, right = _values(ones), _values(others)
    values = []
    for key in left:
        seeds = [seed for seed in left[key] if seed in right.get(key, {})]
        if not seeds:
            continue
        difference, error = mean_and_error(right[key][seed] - left[key][seed] for seed in seeds)
        name, better = key[0], key[-1]
        means = [mean_and_error(side[key].values())[0] for side in (left, right)]
        p = paired_p(right[key], left[key]) if difference or error else None
        values.append(Difference(name, means[0], means[1], difference, error, len(seeds), p, better))
    compared = {key for key in left if set(left[key]) & set(right.get(key, {}))}
    only = [f"only the first measured {key[0]} ({key[1]}, n={key[2]})" for key in left if key not in compared]
    only += [f"only the second measured {key[0]} ({key[1]}, n={key[2]})" for key in right if key not in compared]
    return Comparison(_called(one), _called(other), spec, code, values, only)


def _values(records: Sequence[Record]) -> dict[tuple, dict[int, float]]:
    """Return values by seed, of each metric at each point as it was measured."""
    found: dict[tuple, dict[int, float]] = {}
    for record in records:
        for row in record["results"]:
            if row["value"] is None:
                continue
            at = {"curve": f" at {row['nfe']:g} evaluations" if row["nfe"] is not None else ""}.get(row["point"], "")
            at = f" after {row['step']} steps" if row["point"] == "training" else at
            key = (row["metric"] + at, row["protocol"], row["n"], row["better"])
            found.setdefault(key, {})[record["spec"]["seed"]] = row["value"]
    return found


def _corrected(comparisons: Sequence[Comparison]) -> Iterator[Comparison]:
    """Correct the chances by Holm's method, over all of them."""
    every = sorted(value.chance for part in comparisons for value in part.values if value.chance is not None)
    raised: dict[float, float] = {}
    highest = 0.0
    for rank, p in enumerate(every):
        highest = max(highest, min(1.0, p * (len(every) - rank)))
        raised.setdefault(p, highest)
    for part in comparisons:
        values = [v._replace(chance=None if v.chance is None else raised[v.chance]) for v in part.values]
        yield part._replace(values=values)


def _surroundings(record: Record) -> dict[str, Any]:
    provenance = record["provenance"]
    return {name: part for name, part in provenance.items() if name in ("code", "machine", "data")}


def _changes(one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = "") -> list[Change]:
    found: list[Change] = []
    for name in dict.fromkeys([*one, *other]):
        a, b = one.get(name), other.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += _changes(a, b, f"{prefix}{name}.")
        elif a != b:
            found.append(Change(prefix + name, a, b))
    return found
