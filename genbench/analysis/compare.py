"""Comparisons of two models, two runs or two sweeps: which settings and values differ, and whether significantly."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple, TypeVar

from genbench.analysis.means import LEVEL, mean_and_error
from genbench.analysis.significance import POWER, Paired, detectable, holm, paired
from genbench.errors import ConfigError, unknown
from genbench.results.frames import TUNED_END, budget_words, names_of, protocols, tables_of
from genbench.results.names import full_names, meant, metric_names, named
from genbench.runs.record import identity
from genbench.runs.record_types import Record
from genbench.runs.versions import with_all_defaults, with_defaults, without_outdated

K = TypeVar("K")
Key = tuple[str, str, str]
"""A model, with its budget if there are several, its data, and its label."""

FEW = "too few seeds"
"""Verdict on a difference that no test could tell from chance, whatever its size."""


class Change(NamedTuple):
    """A setting or part of the provenance that differs; its name is dotted."""

    name: str
    one: Any
    other: Any


class Difference(NamedTuple):
    """The difference of a metric that both sides measured.

    Args:
        metric: its name, with the NFE or step if it is a point of a curve.
        one, other: means over common seeds.
        paired: second minus first over common seeds.
        p: p value, corrected by Holm's method over all values of the comparison; None without a test.
        family: number of values tested together.
    """

    metric: str
    one: float
    other: float
    paired: Paired
    p: float | None
    better: str
    family: int = 1

    @property
    def detectable(self) -> float | None:
        """The smallest difference detected with 80 % power in this family; None without a spread over seeds."""
        error = self.paired.error
        return None if not error else detectable(error, self.paired.pairs, self.family)

    @property
    def verdict(self) -> str:
        """How the second side compares with the first."""
        if self.paired.mean == 0 and not self.paired.error:
            return "equal"
        if self.p is None or (self.p > LEVEL and self.paired.low is None):
            return FEW
        if self.p > LEVEL:
            return "not separated"
        if self.better not in ("lower", "higher"):
            return "differs"
        return "better" if (self.paired.mean < 0) == (self.better == "lower") else "worse"

    def sentence(self, one: str, other: str) -> str:
        """State the result in a sentence, given the names of both sides."""
        size, verdict = f"{abs(self.paired.mean):.3g}", self.verdict
        if verdict == "equal":
            return f"{self.metric}: {one} and {other} are equal."
        low, high = (one, other) if self.paired.mean > 0 else (other, one)
        if self.p is None or verdict == FEW:
            seeds = "one run of each" if self.p is None else f"each of {self.paired.pairs} common seeds"
            return f"{self.metric}: {low} is lower than {high} by {size} with {seeds}: {FEW}."
        if self.paired.low is None or self.paired.high is None:
            test = f"with each of {self.paired.pairs} common seeds, p <= {self.p:.2g}"
        else:
            sign = math.copysign(1, self.paired.mean)
            ends = sorted((sign * self.paired.low, sign * self.paired.high))
            test = f"95 % interval {ends[0]:.3g} to {ends[1]:.3g}, p = {self.p:.2g}"
        test += f" in a family of {self.family}" if self.family > 1 else ""
        if verdict == "not separated":
            power = f"{100 * POWER:g} % power to detect a difference of {self.detectable:.2g}"
            return f"{self.metric}: not separated ({size}, {test}); {power}."
        if self.better == "higher":
            return f"{self.metric}: {high} is better than {low}, higher by {size} ({test})."
        how = f"better than {high}, lower by" if self.better == "lower" else f"lower than {high} by"
        return f"{self.metric}: {low} is {how} {size} ({test})."

    def json(self) -> dict[str, Any]:
        fields = {"metric": self.metric, "one": self.one, "other": self.other, "better": self.better}
        fields |= {**self.paired._asdict(), "detectable": self.detectable}
        return fields | {"p_corrected": self.p, "verdict": self.verdict}


class Comparison(NamedTuple):
    """Two groups of runs; within a group they differ in their seeds only.

    Args:
        one, other: model and data.
        spec: settings that differ.
        code: code, libraries and machine that differ.
        values: the metrics that both measured in the same way.
        only: metrics that one side measured alone or differently, and seeds without a value.
    """

    one: str
    other: str
    spec: list[Change]
    code: list[Change]
    values: list[Difference]
    only: list[str]

    def json(self) -> dict[str, Any]:
        names = [label.rpartition(" on ")[0] for label in (self.one, self.other)]
        return {
            **self._asdict(),
            "spec": [change._asdict() for change in self.spec],
            "code": [change._asdict() for change in self.code],
            "values": [value.json() | {"sentence": value.sentence(*names)} for value in self.values],
        }


def compare_records(one: Sequence[Record], other: Sequence[Record]) -> tuple[list[Comparison], list[str]]:
    """Compare each model on each data set that both sides have; if each side has only one model, compare these two.

    A model that is on both sides, but never with the same budget or file, has the name that it has among the others of
    its side without an equal.

    Returns:
        The comparisons, and what only one side has.
    """
    keys = _keys(named([*one, *other]))
    ones, others = _groups(one, keys[: len(one)]), _groups(other, keys[len(one) :])
    left, right = (_renamed(side, without=beside) for side, beside in ((ones, others), (others, ones)))
    if len(ones) == len(others) == 1:
        pairs = [(*ones, *others)]
    else:
        pairs = [(key, key) for key in ones if key in others]
        pairs += [(left[name], right[name]) for name in left if name in right]
    unpaired = [f"only the first has {_label(key)}" for key in ones if key not in {a for a, _ in pairs}]
    unpaired += [f"only the second has {_label(key)}" for key in others if key not in {b for _, b in pairs}]
    return [_corrected(_compared(a, b, ones[a], others[b])) for a, b in pairs], unpaired


def compare_models(
    records: Sequence[Record], one: str, other: str, dataset: str, metrics: Sequence[str] = ()
) -> Comparison:
    """Compare two models on one data set over their common seeds, with their main solvers.

    Args:
        records: the records of both models, among others; outdated ones are ignored.
        one, other, dataset: names as in tables (without a setting in which only failed runs differ), or with the hash
            of a file; then as many words as identify them, also of the plan and the evaluation ("wcfm kappa=0.5
            steps=5000"). The word "tuned" marks a row that only tables of tuned settings have.
        metrics: names of metrics; by default all that both models measured. Holm's correction covers these metrics.

    Raises:
        ConfigError: if a model is missing or ambiguous, or they have no budget, seed or metric in common.
    """
    full = {identity(each): full_names(each) for each in records}
    sets = [(shown["labels"]["data"], full[identity(shown)][1], shown) for shown in named(records)]
    on_data = meant(dataset, sets, "no results on")
    data, current = on_data[0]["labels"]["data"], without_outdated(on_data)
    # With the label: a label may have words that are the budget of another.
    keys = [(*key, record["labels"]["model"]) for key, record in zip(_keys(current), current, strict=True)]
    groups = _groups(current, keys)
    runs = [(_model(own[0]), f"{full[identity(own[0])][0]} {budget_words(own[0])}", key) for key, own in groups.items()]
    first, second = _common_budget(groups, *(meant(name, runs, f"no results on {data} of") for name in (one, other)))
    if first == second:
        raise ConfigError(f"{one} and {other} are both {first[0]}: nothing to compare")
    difference = _compared(first, second, groups[first], groups[second], main=True, metrics=metrics)
    seeds = [sorted(_seeds(groups[key])) for key in (first, second)]
    if not set(seeds[0]) & set(seeds[1]):
        raise ConfigError(f"no common seeds: {first[0]} has {seeds[0]}, {second[0]} has {seeds[1]}")
    known = [value.metric for value in difference.values]
    for name in metrics:
        if not any(_asked(metric, [name]) for metric in known):
            raise unknown(f"{first[0]} and {second[0]} have no comparable values of", name, known)
    asked = [value for value in difference.values if not metrics or _asked(value.metric, metrics)]
    return _corrected(difference._replace(values=asked))


def _model(record: Record) -> str:
    return record["labels"]["model"] + (TUNED_END if tables_of(record) == {"tuned"} else "")


def _common_budget(
    groups: Mapping[Key, Sequence[Record]], ones: Sequence[Key], others: Sequence[Key]
) -> tuple[Key, Key]:
    """Choose the groups of two models with the same budget: those with the most common seeds, then with most steps.

    Raises:
        ConfigError: if no plan and evaluation are common, and there are several.
    """

    def common(pair: tuple[Key, Key]) -> tuple[int, int]:
        first, second = (groups[key] for key in pair)
        return len(_seeds(first) & _seeds(second)), first[0]["spec"]["plan"]["steps"]

    pairs = [*product(ones, others)]
    shared = [(a, b) for a, b in pairs if _budget(groups[a][0]) == _budget(groups[b][0])]
    if not shared and len(pairs) > 1:
        known = ", ".join(key[0] for key in (*ones, *others))
        raise ConfigError(f"no two of these have the same plan and evaluation: {known}. Name one of each")
    return max(shared or pairs, key=common)


def _budget(record: Record) -> str:
    spec = with_defaults(record["spec"])
    return json.dumps((spec["plan"], spec["evaluation"]), sort_keys=True)


def _seeds(records: Sequence[Record]) -> set[int]:
    return {record["spec"]["seed"] for record in records}


def _asked(metric: str, names: Sequence[str]) -> bool:
    return any(metric == name or metric.startswith(f"{name}.") for name in names)


def _keys(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Return the names of the models of records, which state the budget if there are several, and of their data."""
    return [(name, record["labels"]["data"]) for name, record in zip(names_of(records), records, strict=True)]


def _groups(records: Sequence[Record], keys: Sequence[K]) -> dict[K, list[Record]]:
    groups: dict[K, list[Record]] = {}
    for record, key in zip(records, keys, strict=True):
        groups.setdefault(key, []).append(record)
    return groups


def _renamed(groups: Mapping[tuple, Sequence[Record]], without: Collection[tuple]) -> dict[tuple, tuple[str, str]]:
    """Return {how a group is called among the models of which no group is in `without`: its key}."""
    alone = {key: _keys(named(records[:1]))[0] for key, records in groups.items()}
    equal = {alone[key] for key in groups if key in without}
    left = [key for key in groups if alone[key] not in equal]
    return dict(zip(_keys(named([groups[key][0] for key in left])), left, strict=True))


def _label(key: Sequence[str]) -> str:
    return f"{key[0]} on {key[1]}"


def _compared(
    one: Sequence[str],
    other: Sequence[str],
    ones: list[Record],
    others: list[Record],
    *,
    main: bool = False,
    metrics: Sequence[str] = (),
) -> Comparison:
    """Compare two groups; with metrics, only these are named as measured by one side alone."""
    first, second = ones[0], others[0]
    single = len(ones) == len(others) == 1  # single runs are paired whatever their seeds, which are then a difference
    ignored: dict[str, Any] = {} if single else {"seed": 0}
    spec = _changes(with_all_defaults(first["spec"]) | ignored, with_all_defaults(second["spec"]) | ignored)
    code = _changes(_made_by(first), _made_by(second))
    (left, lost), (right, missing) = _values(ones, main, single), _values(others, main, single)
    values, only = [], []
    for key in left:
        seeds = [seed for seed in left[key] if seed in right.get(key, {})]
        if not seeds:
            only += [f"no common seed of {key[0]}"] if key in right else []
            continue
        before, after = (mean_and_error(side[key][seed] for seed in seeds)[0] for side in (left, right))
        difference = paired(right[key], left[key])
        p = difference.p if difference.mean or difference.error else None
        values.append(Difference(key[0], before, after, difference, p, key[-1]))
    measured = dict.fromkeys(key[0] for key in (*left, *right) if not metrics or _asked(key[0], metrics))
    for which, side, beside, reasons in (("first", left, right, lost), ("second", right, left, missing)):
        alone = (key for key in side if key not in beside and key[0] in measured)
        only += [f"only the {which} measured {key[0]} ({key[1]}, n={key[2]})" for key in alone]
        for metric in filter(reasons.get, measured):
            own = reasons[metric]
            seeds = "" if single else f" for seed{'s' * (len(own) > 1)} {', '.join(map(str, sorted(own)))}"
            only.append(f"the {which} has no {metric}{seeds}: {'; '.join(dict.fromkeys(own.values()))}")
    return Comparison(_label(one), _label(other), spec, code, values, only)


def _values(
    records: Sequence[Record], main: bool, single: bool
) -> tuple[dict[tuple, dict[int, float]], dict[str, dict[int, str]]]:
    """Return {metric, point and protocol: {seed: value}} and {metric and point: {seed: why it has no value}}."""
    values: dict[tuple, dict[int, float]] = {}
    missing: dict[str, dict[int, str]] = {}
    shown = metric_names({row["metric"] for record in records for row in record["results"]})
    for record in records:
        for row, protocol in zip(record["results"], protocols(record), strict=True):
            if main and row["point"] != "main":
                continue
            point = f" at {row['nfe']:g} NFE" if row["point"] == "curve" and row["nfe"] is not None else ""
            point = f" after {row['step']} steps" if row["point"] == "training" else point
            metric, seed = shown[row["metric"]] + point, 0 if single else record["spec"]["seed"]
            if row["value"] is None:
                missing.setdefault(metric, {})[seed] = row["reason"] or "no reason was recorded"
                continue
            key = (metric, protocol, row["n"], row["better"])
            values.setdefault(key, {})[seed] = row["value"]
    return values, missing


def _corrected(part: Comparison) -> Comparison:
    """Correct the p values of a comparison by Holm's method."""
    corrected = holm([value.p for value in part.values if value.p is not None])
    p_values, family = iter(corrected), len(corrected)
    return part._replace(
        values=[v if v.p is None else v._replace(p=next(p_values), family=family) for v in part.values]
    )


def _made_by(record: Record) -> dict[str, Any]:
    """Return data, code and machine of the training, and in which of these each measurement differs."""
    provenance = record["provenance"]
    training, others = provenance["training"], provenance["measurements"]
    made = {"data": provenance["data"], "code": training["code"], "machine": training["machine"]}
    for place, other in enumerate(others, 1):
        # Only a training states the version of its training, so code is compared by the fields that both state.
        code = {name: part for name, part in training["code"].items() if name != "training"}
        usual = {"code": code, "machine": training["machine"]}
        own: dict[str, Any] = {name: other[name] for name in ("code", "machine") if other[name] != usual[name]}
        own |= {"training": other["training"]} if "training" in other else {}
        made |= {f"measurement {place}" if len(others) > 1 else "measurement": own}
    return {name: part for name, part in made.items() if part}


def _changes(one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = "") -> list[Change]:
    changes: list[Change] = []
    for name in dict.fromkeys([*one, *other]):
        a, b = one.get(name), other.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            changes += _changes(a, b, f"{prefix}{name}.")
        elif a != b:
            changes.append(Change(prefix + name, a, b))
    return changes
