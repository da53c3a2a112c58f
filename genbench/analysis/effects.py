"""Across tasks: how much of the excess over real data a method leaves, relative to a baseline.

Effect on a task:  log((mean - floor) / (baseline - floor)), from means over seeds. Intervals and tests are t over
tasks, because a bootstrap over four to eight tasks covers only 84 to 91 % at a nominal 95 %. A task is scored if the
baseline's excess, paired by seed, exceeds three of its standard errors. An excess below one standard error of the
floor (of the excess itself, if the floor does not vary), or below 0, is set to this error, since it would have a huge
logarithm, or none.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from genbench.analysis.means import LEVEL, ROUNDING, mean_and_error, mean_and_half
from genbench.analysis.significance import Pairwise, Values, holm, letters, paired

SCORED = 3.0
"""Standard errors by which the baseline's excess has to exceed 0 for a task to be scored."""


class Task(NamedTuple):
    """The values of all methods on a task.

    Args:
        models: {method: {seed: value}}.
        floor: {seed: value of real data}.
        compared: all pairs of methods, for the win rate.
    """

    name: str
    better: str
    models: Mapping[str, Values]
    floor: Values
    compared: Pairwise


class Excess(NamedTuple):
    """Excess of a mean over the floor, in the units of the metric.

    Args:
        value: `above`, raised to one standard error of the floor, or of `above` if the floor does not vary.
        error: standard error of `above`, paired by seed.
        above: how much worse than real data the mean is; negative if it is better.
    """

    value: float
    error: float
    above: float


class Summary(NamedTuple):
    """A method over the scored tasks.

    Args:
        ratio: geometric mean over tasks of its excess divided by the baseline's; None if it lacks a scored task.
        low: lower end of the 95 % interval of the ratio; None for fewer than two tasks.
        letters: methods that share a letter are not separated over tasks.
        wins: share of (task, opponent) pairs in which the method is better and separated; a pair that is not separated
            counts half. None without an opponent.
        lacks: scored tasks on which it has no value.
        clipped: scored tasks on which its excess was raised to one standard error.
        at_floor: whether it is at the floor on all scored tasks. No test tells two such methods apart.
    """

    method: str
    ratio: float | None
    low: float | None
    high: float | None
    letters: str
    wins: float | None
    lacks: tuple[str, ...]
    clipped: tuple[str, ...] = ()
    at_floor: bool = False

    def apart(self, other: "Summary") -> bool:
        """Return whether two methods with a ratio are separated over tasks."""
        return not {*self.letters} & {*other.letters}


class Effects(NamedTuple):
    """The summaries of all methods, best ratio first, and the scored and unscored tasks."""

    summaries: tuple[Summary, ...]
    scored: tuple[str, ...]
    unscored: tuple[str, ...]

    def json(self) -> dict[str, Any]:
        summaries = [summary._asdict() for summary in self.summaries]
        return {"summaries": summaries, "scored": list(self.scored), "unscored": list(self.unscored)}


def excess(task: Task, method: str) -> Excess | None:
    """Return the excess of a method over the floor; None if they have fewer than two seeds in common."""
    values = task.models.get(method, {})
    if values.keys().isdisjoint(task.floor):
        return None
    found, (mean, least) = paired(values, task.floor), mean_and_error(task.floor.values())
    if found.error is None or least is None:
        return None
    if least <= ROUNDING * abs(mean):  # all seeds have the same real data
        least = found.error
    above = -found.mean if task.better == "higher" else found.mean
    return Excess(max(above, least), found.error, above)


def is_scored(task: Task, baseline: str) -> bool:
    """Return whether the baseline is clearly above the floor; an equal excess at all seeds is, if it is above 0."""
    base = excess(task, baseline)
    return base is not None and base.above > SCORED * base.error


def effects(tasks: Sequence[Task], baseline: str) -> Effects:
    """Compare methods across tasks, relative to a baseline."""
    scored = [task for task in tasks if is_scored(task, baseline)]
    methods = list(dict.fromkeys(method for task in tasks for method in task.models))
    logs: dict[str, dict[int, float]] = {method: {} for method in methods}
    clipped: dict[str, list[str]] = {method: [] for method in methods}
    for index, task in enumerate(scored):
        base = excess(task, baseline)
        for method in methods:
            own = excess(task, method)
            if base is not None and own is not None and own.value > 0:
                logs[method][index] = math.log(own.value / base.value)
                clipped[method] += [task.name] if own.above < own.value else []
    complete = [method for method in methods if scored and len(logs[method]) == len(scored)]
    order = sorted(complete, key=lambda method: sum(logs[method].values()))
    pairs = list(combinations(order, 2)) if len(scored) > 1 else []
    tested = {pair: paired(logs[pair[0]], logs[pair[1]]).p for pair in pairs}
    corrected = holm([p for p in tested.values() if p is not None])
    floored = {method for method in complete if all(method in task.compared.at_floor for task in scored)}
    rejected = (pair for pair, p in zip(tested, corrected, strict=True) if p <= LEVEL)
    named = letters(order, [pair for pair in rejected if not {*pair} <= floored])
    wins = {method: _wins(tasks, method) for method in methods}
    summaries = [
        _summary(m, logs[m], named[m], wins[m])._replace(clipped=tuple(clipped[m]), at_floor=m in floored)
        for m in order
    ]
    for method in methods:
        if method not in complete:
            lacks = tuple(task.name for index, task in enumerate(scored) if index not in logs[method])
            summaries.append(Summary(method, None, None, None, "", wins[method], lacks))
    names = tuple(task.name for task in scored)
    return Effects(tuple(summaries), names, tuple(task.name for task in tasks if task.name not in names))


def _summary(method: str, logs: Mapping[int, float], named: str, wins: float | None) -> Summary:
    mean, half = mean_and_half(logs.values())
    ends = (None, None) if half is None else (math.exp(mean - half), math.exp(mean + half))
    return Summary(method, math.exp(mean), *ends, named, wins, ())


def _wins(tasks: Sequence[Task], method: str) -> float | None:
    """Return the share of pairs of task and opponent that a method wins; a pair that is not separated counts half."""
    points, pairs = 0.0, 0
    for task in tasks:
        order = task.compared.order
        for other in order:
            if method in order and other != method:
                pairs += 1
                points += task.compared.beats(method, other) if task.compared.apart(method, other) else 0.5
    return points / pairs if pairs else None
