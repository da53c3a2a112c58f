"""Comparisons of two models, two runs or two sweeps: what differs in specs and in values, and whether it is noise."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from genbench.errors import ConfigError, unknown
from genbench.report.statistics import LEVEL, POWER, Paired, detectable, holm, mean_and_error, paired
from genbench.report.suites import RECORDS, published_file, published_suites
from genbench.results.frames import names_of
from genbench.runs.record import Record, read_published, read_record
from genbench.runs.store import Store
from genbench.runs.versions import without_stale


class Change(NamedTuple):
    """A part of a spec, or of its provenance, that differs: its dotted name and both values."""

    name: str
    one: Any
    other: Any


class Difference(NamedTuple):
    """A metric that both sides measured.

    Args:
        metric: its name, with what tells its point on a curve.
        one: mean of the first over common seeds.
        other: mean of the second.
        paired: second minus first over common seeds.
        chance: its p after Holm's correction over all values of the comparison; None where it cannot be had.
        better: direction of the metric.
        family: how many values were tested together.
    """

    metric: str
    one: float
    other: float
    paired: Paired
    chance: float | None
    better: str
    family: int = 1

    @property
    def detectable(self) -> float | None:
        """The difference that would be seen in this family with 80 % power; None where none would."""
        error = self.paired.error
        return None if error is None else detectable(error, self.paired.pairs, self.family)

    @property
    def verdict(self) -> str:
        """What the difference means for the second side."""
        if self.paired.mean == 0 and not self.paired.error:
            return "equal"
        if self.chance is None:
            return "one pair only: may be noise"
        if self.chance > LEVEL:
            return "within noise"
        if self.better not in ("lower", "higher"):
            return "differs"
        return "better" if (self.paired.mean < 0) == (self.better == "lower") else "worse"

    def sentence(self, one: str, other: str) -> str:
        """Say in plain words what was found; the sides are called as given."""
        size, verdict = f"{abs(self.paired.mean):.3g}", self.verdict
        if verdict == "equal":
            return f"{self.metric}: {one} and {other} are equal."
        low, high = (one, other) if self.paired.mean > 0 else (other, one)
        if self.chance is None or self.paired.low is None or self.paired.high is None:
            return f"{self.metric}: {low} is lower than {high} by {size} with one common seed, which may be noise."
        sign = math.copysign(1, self.paired.mean)
        ends = sorted((sign * self.paired.low, sign * self.paired.high))
        proof = f"95 % interval {ends[0]:.3g} to {ends[1]:.3g}, p = {self.chance:.2g}"
        proof += f" among {self.family} values" if self.family > 1 else ""
        if verdict == "within noise":
            found = self.detectable
            seen = f"a difference above {found or 0:.2g} would have been seen, with {100 * POWER:g} % power"
            seen = seen if found is not None else f"{self.paired.pairs} seeds cannot show any among so many"
            return f"{self.metric}: not told apart (by {size}, {proof}); {seen}."
        if self.better == "higher":
            return f"{self.metric}: {high} is better than {low}, higher by {size} ({proof})."
        how = f"better than {high}, lower by" if self.better == "lower" else f"lower than {high} by"
        return f"{self.metric}: {low} is {how} {size} ({proof})."

    def json(self) -> dict[str, Any]:
        """Return plain JSON."""
        found = {"metric": self.metric, "one": self.one, "other": self.other, "better": self.better}
        found |= {**self.paired._asdict(), "test": self.paired.test, "detectable": self.detectable}
        return found | {"p_corrected": self.chance, "verdict": self.verdict}


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

    def json(self) -> dict[str, Any]:
        """Return plain JSON."""
        names = [label.rpartition(" on ")[0] for label in (self.one, self.other)]
        return {
            **self._asdict(),
            "spec": [change._asdict() for change in self.spec],
            "code": [change._asdict() for change in self.code],
            "values": [value.json() | {"sentence": value.sentence(*names)} for value in self.values],
        }


def load(path: Path, results: Path = Path("results")) -> list[Record]:
    """Return the records of a results folder, a run, a record, a published suite or its records.jsonl.gz.

    A results folder without runs, such as a committed one, is read from its published suites.

    Args:
        path: what to read; the name of a run is looked for in the results folder.
        results: that folder.

    Raises:
        ConfigError: if there are none.
    """
    run = results / "runs" / path
    if not path.exists() and not run.exists():
        hint = "" if path == results else "; to compare two models, add --dataset NAME"
        raise ConfigError(f"{path} is no folder or run with records{hint}")
    path = path if path.exists() else run
    try:
        if path.name.endswith(".jsonl.gz"):
            return read_published(path)
        if path.is_file():
            return [read_record(path)]
    except OSError as error:
        raise ConfigError(f"{path} holds no records: {error}") from error
    found = list(Store(path).records()) or [read_record(p) for p in sorted(path.glob("**/record.json"))]
    published = [published_file(path, suite, RECORDS) for suite in published_suites(path)]
    found = found or [record for p in [*path.glob(RECORDS), *published] for record in load(p)]
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
    return [_corrected(_compared(a, b, ones[a], others[b])) for a, b in pairs], alone


def of_models(records: Sequence[Record], one: str, other: str, dataset: str, metrics: Sequence[str] = ()) -> Comparison:
    """Compare two models on one data set over their common seeds, at the main solver.

    Args:
        records: where both are looked for; stale ones are left out.
        one: a model as tables call it, or as many words of that as tell it apart ("wcfm kappa=0.5").
        other: the one that it is compared with.
        dataset: likewise.
        metrics: names; all that both have by default. They are the family of Holm's correction.

    Raises:
        ConfigError: if one of them is not there, is not told apart from others, or measured nothing in common.
    """
    records = without_stale(records)
    data = _chosen(dataset, list(dict.fromkeys(record["labels"]["data"] for record in records)), "no results on")
    records, budgets = _of_one_budget([r for r in records if r["labels"]["data"] == data], one, other)
    groups = _groups(records)
    names = [name for name, _ in groups]
    for name in (one, other):
        if not any(_words(name) <= _words(label) for label in names):
            raise unknown(f"no results on {data} of", name, names)
    keys = [(_chosen(name, names, f"no results on {data} of"), data) for name in (one, other)]
    if keys[0] == keys[1]:
        raise ConfigError(f"{one} and {other} are both {keys[0][0]}: nothing to compare")
    found = _compared(keys[0], keys[1], groups[keys[0]], groups[keys[1]], main=True)
    seeds = [sorted({record["spec"]["seed"] for record in groups[key]}) for key in keys]
    if not set(seeds[0]) & set(seeds[1]):
        raise ConfigError(f"no common seeds: {keys[0][0]} has {seeds[0]}, {keys[1][0]} has {seeds[1]}")
    known = [value.metric for value in found.values]
    for name in metrics:
        if not any(_belongs(metric, name) for metric in known):
            raise unknown(f"{keys[0][0]} and {keys[1][0]} have not both measured", name, known)
    kept = [value for value in found.values if not metrics or any(_belongs(value.metric, name) for name in metrics)]
    return _corrected(found._replace(values=kept, only=[*found.only, *budgets]))


def _of_one_budget(records: Sequence[Record], one: str, other: str) -> tuple[Sequence[Record], list[str]]:
    """Return the records of the budget at which both models have most seeds in common, or most steps among such.

    All records, where no single budget has both: then the names have to tell budgets apart.

    Returns:
        The records, and, where there was a choice, what was chosen and what else there is.
    """
    budgets: dict[str, list[Record]] = {}
    for record in records:
        budget = (record["spec"]["plan"], record["spec"]["evaluation"])
        budgets.setdefault(json.dumps(budget, sort_keys=True), []).append(record)
    found = []
    for own in budgets.values():
        groups = {label: rows for (label, _), rows in _groups(own).items()}
        try:
            first, second = (groups[_chosen(name, list(groups), "no results of")] for name in (one, other))
        except ConfigError:
            continue
        common = {record["spec"]["seed"] for record in first} & {record["spec"]["seed"] for record in second}
        plan = own[0]["spec"]["plan"]
        said = f"{plan['steps']:,} steps of batch {plan['batch_size']} ({len(common)} common seeds)"
        found.append((len(common), plan["steps"], said, own))
    if not found:
        return records, []
    found.sort(key=lambda each: each[:2], reverse=True)
    rest = "; ".join(dict.fromkeys(said for *_, said, _ in found[1:]))
    chosen = [f"compared at {found[0][2]}; both are also there at {rest}: name one, as in '{one} steps=...'"]
    return found[0][3], chosen if rest else []


def _belongs(metric: str, name: str) -> bool:
    return metric == name or metric.startswith(f"{name}.")


def _chosen(name: str, labels: Sequence[str], what: str) -> str:
    """Return the label that has exactly these words, or the only one that has them among others.

    >>> _chosen("wcfm kappa=.5", ["cfm", "wcfm", "wcfm kappa=0.5 sigma=0.1"], "no results of")
    'wcfm kappa=0.5 sigma=0.1'
    """
    words = _words(name)
    having = [label for label in labels if words <= _words(label)]
    exact = [label for label in having if words == _words(label)]
    if len(exact or having) == 1:
        return (exact or having)[0]
    if having:
        raise ConfigError(f"'{name}' may be any of these: {'; '.join(having)}. Name one of them")
    raise unknown(what, name, labels)


def _words(label: str) -> frozenset[str | tuple[str, float]]:
    """Return the words of a label; numbers by their value."""
    found: list[str | tuple[str, float]] = []
    for word in label.split():
        name, _, value = word.partition("=")
        try:
            found.append((name, float(value)))
        except ValueError:
            found.append(word)
    return frozenset(found)


def _groups(records: Sequence[Record]) -> dict[tuple[str, str], list[Record]]:
    """Group records by model (of one label there may be several budgets) and data."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record, name in zip(records, names_of(records), strict=True):
        groups.setdefault((name, record["labels"]["data"]), []).append(record)
    return groups


def _called(key: Sequence[str]) -> str:
    return f"{key[0]} on {key[1]}"


def _compared(
    one: Sequence[str], other: Sequence[str], ones: list[Record], others: list[Record], *, main: bool = False
) -> Comparison:
    first, second = ones[0], others[0]
    single = len(ones) == len(others) == 1  # two runs are compared as they are, and their seeds are a difference
    spec = _changes(*(side["spec"] | ({} if single else {"seed": 0}) for side in (first, second)))
    code = [change for change in _changes(_surroundings(first), _surroundings(second)) if not _one_sided(change)]
    left, right = _values(ones, main, single), _values(others, main, single)
    values = []
    for key in left:
        seeds = [seed for seed in left[key] if seed in right.get(key, {})]
        if not seeds:
            continue
        before, after = (mean_and_error(side[key][seed] for seed in seeds)[0] for side in (left, right))
        difference = paired(right[key], left[key])
        chance = difference.p if difference.mean or difference.error else None
        values.append(Difference(key[0], before, after, difference, chance, key[-1]))
    compared = {key for key in left if set(left[key]) & set(right.get(key, {}))}
    only = [f"no common seed of {key[0]}" for key in left if key in right and key not in compared]
    only += [f"only the first measured {key[0]} ({key[1]}, n={key[2]})" for key in left if key not in right]
    only += [f"only the second measured {key[0]} ({key[1]}, n={key[2]})" for key in right if key not in left]
    return Comparison(_called(one), _called(other), spec, code, values, only)


def _one_sided(change: Change) -> bool:
    """Return whether it is the source of a component that only one side has."""
    return change.name.startswith("code.sources.") and None in (change.one, change.other)


def _values(records: Sequence[Record], main: bool, single: bool) -> dict[tuple, dict[int, float]]:
    """Return values by seed (0 for a single run), of each metric at each point (or the main one only)."""
    found: dict[tuple, dict[int, float]] = {}
    for record in records:
        for row in record["results"]:
            if row["value"] is None or (main and row["point"] != "main"):
                continue
            at = {"curve": f" at {row['nfe']:g} evaluations" if row["nfe"] is not None else ""}.get(row["point"], "")
            at = f" after {row['step']} steps" if row["point"] == "training" else at
            key = (row["metric"] + at, row["protocol"], row["n"], row["better"])
            found.setdefault(key, {})[0 if single else record["spec"]["seed"]] = row["value"]
    return found


def _corrected(part: Comparison) -> Comparison:
    """Correct the chances by Holm's method, over the values of a comparison."""
    corrected = holm([value.chance for value in part.values if value.chance is not None])
    chances, family = iter(corrected), len(corrected)
    return part._replace(
        values=[v if v.chance is None else v._replace(chance=next(chances), family=family) for v in part.values]
    )


def _surroundings(record: Record) -> dict[str, Any]:
    provenance = record["provenance"]
    return {name: part for name, part in provenance.items() if name in ("code", "machine", "data") and part}


def _changes(one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = "") -> list[Change]:
    found: list[Change] = []
    for name in dict.fromkeys([*one, *other]):
        a, b = one.get(name), other.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += _changes(a, b, f"{prefix}{name}.")
        elif a != b:
            found.append(Change(prefix + name, a, b))
    return found
