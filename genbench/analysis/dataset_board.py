"""The methods on one task, by its headline metric.

A task is a data set under one protocol, number of samples and budget (training steps and batch size): those with the
most methods and seeds. A method that was measured otherwise has an entry that says so, and is compared with no other.
"""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from genbench.analysis.effects import Task, is_scored
from genbench.analysis.labels import counted
from genbench.analysis.means import mean_and_error, mean_and_half
from genbench.analysis.pairwise import Pairwise, compare_all
from genbench.analysis.values import Failure, Value, digest, group_by, headline_metric, stated_protocol
from genbench.errors import ConfigError
from genbench.registry import models
from genbench.results.reader import Run
from genbench.runs.component import sampler
from genbench.runs.spec import build_data, latent_event
from genbench.settings import bind

BASELINE = "cfm"
"""The method to which others are compared across tasks, and whose quality sets the target of NFE."""
NEAR = 1.1
"""A curve reaches the target where its excess over the floor is at most this multiple of the baseline's."""


class Budget(NamedTuple):
    """Training steps and batch size."""

    steps: int
    batch: int

    def __str__(self) -> str:
        return f"{self.steps:,} steps of {self.batch}"


class Entry(NamedTuple):
    """A method on a task.

    Args:
        label: label of its model, with the settings that are not defaults.
        values: {seed: headline metric}; empty without a value.
        compared: whether it was measured as the others were, with no failed run.
        note: what is missing or different, in words; empty if nothing is.
        stated: the setting that decides most about it, if its label does not name it.
        points: values along its curve and of the main solver, of the metric of the curves.
    """

    method: str
    label: str
    budget: Budget | None
    values: Mapping[int, float]
    compared: bool
    note: str = ""
    stated: str = ""
    points: tuple[Value, ...] = ()

    @property
    def mean(self) -> float | None:
        """Mean over seeds; None without a value."""
        return mean_and_error(self.values.values())[0] if self.values else None

    @property
    def half(self) -> float | None:
        """Half the 95 % t interval of the mean; None for fewer than two seeds."""
        return mean_and_half(self.values.values())[1] if self.values else None


class Reached(NamedTuple):
    """The NFE at which a curve reaches a target; at most that, if no measured point with fewer could tell."""

    nfe: float
    at_most: bool = False


class Board(NamedTuple):
    """The methods on one task: compared ones by their mean, then the others.

    Args:
        seeds: all seeds of the methods that are compared.
        floor: {seed: value of real data}.
        curve: metric of the curves that NFE is read from; empty without curves.
        original: whether all data is the checksummed original.
        pairs: the comparison of all pairs of methods.
    """

    data: str
    metric: str
    better: str
    protocol: str
    budget: Budget
    seeds: tuple[int, ...]
    floor: Mapping[int, float]
    curve: str
    entries: tuple[Entry, ...]
    original: bool
    pairs: Pairwise

    @property
    def compared(self) -> dict[str, Mapping[int, float]]:
        """{method: values} of the methods that are compared."""
        return {entry.method: entry.values for entry in self.entries if entry.compared}

    @property
    def task(self) -> Task:
        """The values that are compared across tasks."""
        return Task(self.data, self.better, self.compared, self.floor, self.pairs)

    def entry(self, method: str) -> Entry | None:
        """Return the entry of a method."""
        return next((entry for entry in self.entries if entry.method == method), None)

    def nfe(self, method: str) -> Reached | None:
        """Return the NFE at which a method reaches the target: infinite if it never does, None without a curve.

        The target is the quality of the baseline's main solver, with 10 % more excess over the floor. There is none if
        the baseline is compared with no other, or not clearly above the floor: a multiple of that would say nothing.
        """
        own, base = self.entry(method), self.entry(BASELINE)
        if own is None or base is None or not (own.compared and base.compared):
            return None
        known = [v for v in base.points if v.point == "main" and v.value is not None]
        values = {v.seed: v.value for v in known if v.value is not None}
        floors = {v.seed: v.floor for v in known if v.floor is not None}
        if not known or not is_scored(self.task._replace(models={BASELINE: values}, floor=floors), BASELINE):
            return None
        floor = mean_and_error(floors.values())[0]
        return nfe_to_target(own.points, floor + NEAR * (_mean(known) - floor))


def compare_methods(
    values: Sequence[Value], runs: Mapping[str, Run], failures: Sequence[Failure], *, variants: bool
) -> tuple[Board | None, int]:
    """Compare the methods on a data set.

    Args:
        values: measured on this data set, under the labels of their models.
        runs: {name: run} of these values; of a run that was sampled with several settings, any of its evaluations.
        failures: failed runs on this data set.
        variants: whether every setting of a method has an entry.

    Returns:
        The board, or None without values of a headline metric; and the number of variants that it leaves out.
    """
    metric = headline_metric(runs[values[0].run].record["spec"]["data"]["name"], values)
    measured = [v for v in values if v.point == "main" and v.metric == metric]
    main = [v for v in measured if v.value is not None and v.better in ("lower", "higher")]
    if not main:
        return None, 0
    plans = {run: runs[run].record["spec"]["plan"] for run in {v.run for v in main}}
    budgets = {run: Budget(plan["steps"], plan["batch_size"]) for run, plan in plans.items()}

    def conditions(value: Value) -> tuple[Any, ...]:
        return value.protocol, value.n, budgets[value.run]

    def method(label: str) -> str:
        return label if variants else label.partition(" ")[0]

    def size(rows: Sequence[Value]) -> tuple[int, int, int]:
        return len({(v.model.partition(" ")[0], v.seed) for v in rows}), len(rows), budgets[rows[0].run].steps

    same = max(group_by(main, conditions).values(), key=size)
    usual = conditions(same[0])
    settings = group_by(main, lambda v: (v.model, conditions(v)))

    def place(setting: tuple[str, tuple[Any, ...]]) -> tuple[Any, ...]:
        label, (protocol, n, budget) = setting
        otherwise = (protocol, n, budget) != usual, (protocol, n) != usual[:2]
        words = label.split()
        distance = _distance(label, runs[settings[setting][0].run]) if len(words) > 1 else 0.0
        return *otherwise, len(words), distance, -budget.steps, label

    # Each method by the setting that was measured as the others were, or else most alike, nearest to the defaults.
    chosen: dict[str, list[Value]] = {}
    for setting in sorted(settings, key=place):
        chosen.setdefault(method(setting[0]), _one_per_seed(settings[setting], runs))
    seeds = {v.seed for rows in chosen.values() if conditions(rows[0]) == usual for v in rows}
    compared_runs = {v.run for v in same}
    curve = _curve_metric(metric, [v for v in values if v.run in compared_runs])
    failed = group_by(failures, lambda f: f.model)
    entries = []
    for name, rows in chosen.items():
        label, budgeted = rows[0].model, (None, budgets[rows[0].run])
        lost = {f.seed for f in failed.get(label, []) if f.budget in budgeted} - {v.seed for v in rows}
        note = _difference(conditions(rows[0]), usual)
        if not note and lost:
            note = _failed(lost, lost | {v.seed for v in rows})
        compared = not note
        if compared and len(rows) < len(seeds):
            note = f"{len(rows)} of {counted(len(seeds), 'seed')}{': too few' if len(rows) == 1 else ''}"
        own = {v.run for v in rows}
        entries.append(
            Entry(
                method=name,
                label=label,
                budget=budgets[rows[0].run],
                values={v.seed: v.value for v in sorted(rows, key=lambda v: v.seed) if v.value is not None},
                compared=compared,
                note=note,
                stated=runs[rows[0].run].stated,
                points=tuple(v for v in values if v.run in own and (v.model, v.metric) == (label, curve)),
            )
        )
    without = {method(v.model): (v.model, f"unsupported: {v.reason}") for v in measured if v.value is None}
    without |= {
        method(label): (label, _failed({f.seed for f in own}, {f.seed for f in own})) for label, own in failed.items()
    }
    for name, (label, note) in without.items():
        if name not in chosen:
            entries.append(Entry(name, label, None, {}, compared=False, note=note))
    floors = group_by([v for v in same if v.floor is not None], lambda v: v.seed)
    floor = {seed: mean_and_error(v.floor for v in rows if v.floor is not None)[0] for seed, rows in floors.items()}
    pairs = compare_all({e.method: e.values for e in entries if e.compared}, same[0].better, floor)
    sign = -1 if same[0].better == "higher" else 1
    board = Board(
        data=same[0].data,
        metric=metric,
        better=same[0].better,
        protocol=stated_protocol(same[0]),
        budget=budgets[same[0].run],
        seeds=tuple(sorted(seeds)),
        floor=floor,
        curve=curve,
        entries=tuple(sorted(entries, key=lambda e: (not e.compared, not e.values, sign * (e.mean or 0)))),
        original=all(v.original is not False for v in same),
        pairs=pairs,
    )
    return board, len({v.model for v in same}) - sum(entry.compared for entry in entries)


def _distance(label: str, run: Run) -> float:
    """Return how far the positive numbers in a model's label lie from their defaults: the sum of |log ratio|.

    Where a rule is the default, as of kappa, 1 stands for it. Defaults may depend on the data; where that, or the
    model, is not here, the distance is 0.
    """
    numbers = re.findall(r" (\w+)=(\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?= |$)", label)
    spec, defaults = run.record["spec"], {}
    with suppress(ConfigError):
        entry = models[spec["model"]["name"]]
        event = latent_event(spec.get("encoder"), build_data(spec["data"]).event)
        defaults = bind(sampler(entry), {}, "") | bind(entry.build, {}, "", context=event)
    defaults = {name: 1.0 if isinstance(value, str) else value for name, value in defaults.items()}
    pairs = [(float(text), defaults[name]) for name, text in numbers if isinstance(defaults.get(name), int | float)]
    return sum(abs(math.log(value / default)) for value, default in pairs if min(value, default) > 0)


def _mean(rows: Sequence[Value]) -> float:
    return mean_and_error(v.value for v in rows if v.value is not None)[0]


def _failed(lost: Collection[int], seeds: Collection[int]) -> str:
    return f"failed {len(lost)} of {counted(len(seeds), 'seed')}"


def _difference(conditions: tuple[Any, ...], usual: tuple[Any, ...]) -> str:
    """Return how the conditions of a measurement differ from the usual ones, in words."""
    (protocol, n, budget), (usual_protocol, usual_n, usual_budget) = conditions, usual
    words = [str(budget)] if budget != usual_budget else []
    if n != usual_n and n is not None:
        words.append(f"n = {n:,}")
    elif (protocol, n) != (usual_protocol, usual_n):
        words.append("another protocol")
    return ", ".join(words)


def _one_per_seed(rows: Sequence[Value], runs: Mapping[str, Run]) -> list[Value]:
    """Return one value per seed: of runs that differ in settings outside of their label, of those with most seeds."""
    if len({v.seed for v in rows}) == len(rows):
        return list(rows)
    labeled = dict.fromkeys(("seed", "sample", "metrics", "evaluation"))
    alike = group_by(rows, lambda v: digest({**runs[v.run].record["spec"], **labeled}))
    best = max(alike.values(), key=lambda rows: len({v.seed for v in rows}))
    return [same[0] for same in group_by(best, lambda v: v.seed).values()]


def nfe_to_target(points: Sequence[Value], target: float) -> Reached | None:
    """Return the NFE at which the means of a curve and of its main solver reach a value.

    Between two points by a line in logarithms, unless a value is not positive. Infinite if they never reach it; None
    with fewer than two points.
    """
    known = [v for v in points if v.value is not None and v.nfe and v.point != "training"]
    places = group_by(known, lambda v: v.nfe if v.point == "curve" else None)  # the main solver's varies between seeds
    means = {nfe or mean_and_error(v.nfe for v in rows if v.nfe)[0]: _mean(rows) for nfe, rows in places.items()}
    if len(means) < 2:
        return None
    sign, before = -1 if known[0].better == "higher" else 1, None
    for nfe, mean in sorted(means.items()):
        if sign * mean <= sign * target:
            if before is None or min(target, mean, before[1]) <= 0:
                return Reached(nfe, at_most=nfe > 1)
            share = math.log(target / before[1]) / math.log(mean / before[1])
            return Reached(before[0] * (nfe / before[0]) ** share)
        before = nfe, mean
    return Reached(math.inf)


def _curve_metric(headline: str, values: Sequence[Value]) -> str:
    """Return the metric of the curves: the headline metric, one like it, or any; empty without curves."""
    curve = [v for v in values if v.point == "curve" and v.value is not None]
    metrics = [v.metric for v in curve if v.better in ("lower", "higher")]
    close = [metric for metric in metrics if metric.endswith(f"_{headline}")]  # sliced_w2 for w2
    return headline if headline in metrics else next(iter([*close, *metrics]), "")
