"""The leaderboard: methods on data sets by the headline metric of each, with ranks, mean ranks and costs.

On each data set, methods are compared under one protocol and one budget (training steps and batch size): those with the
most methods. A method that was measured with another budget or other seeds is listed with a mark, and not ranked.
"""

import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from genbench.analysis.labels import words
from genbench.analysis.ranking import ranks
from genbench.analysis.statistics import LEVEL, holm, mean_and_error, mean_and_half, sign_flip_p
from genbench.analysis.suite_results import Run, SuiteResults, digest
from genbench.analysis.values import Value, group_by, headline_metric, stated_protocol
from genbench.errors import unknown

NEAR = 0.05
"""A curve has reached its best quality where it is within this share of it."""
OTHER_BUDGET, OTHER_SEEDS = "other budget", "other seeds"


class Budget(NamedTuple):
    """Training steps, and samples in the batch of each."""

    steps: int
    batch: int

    def __str__(self) -> str:
        return f"{self.steps:,} steps of {self.batch}"


class Entry(NamedTuple):
    """A method on a data set.

    Args:
        label: of its model, with the settings that are not defaults.
        values: {seed: value of the headline metric}.
        rank: with ties by paired tests; None if it is not ranked.
        mark: why it is not ranked, if its budget or its seeds are not those of the others; otherwise empty.
        nfe: function evaluations at which its curve comes near its best; None without a curve.
        train_seconds: mean time of training, of all that had to be trained.
        points: values along its curve and of the main solver, of the metric of the curves.
    """

    method: str
    label: str
    budget: Budget
    values: Mapping[int, float]
    rank: int | None = None
    mark: str = ""
    nfe: float | None = None
    train_seconds: float | None = None
    points: tuple[Value, ...] = ()

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return mean_and_error(self.values.values())[0]

    @property
    def half(self) -> float | None:
        """Half the 95 % t interval of the mean; None for one seed."""
        return mean_and_half(self.values.values())[1]


class Board(NamedTuple):
    """The methods on one data set, best mean first, those that are not ranked last.

    Args:
        budget: of the methods that are ranked.
        seeds: of the methods that are ranked.
        floor: {seed: value of real data}.
        curve: metric of the curves that `Entry.nfe` is read from; empty without curves.
        original: whether all data is the checksummed original.
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

    @property
    def ranked(self) -> dict[str, Entry]:
        """{method: entry} of the methods that are ranked."""
        return {entry.method: entry for entry in self.entries if entry.rank is not None}


class Standing(NamedTuple):
    """The mean rank of a method, its 95 % interval, and letters: methods that share one do not differ significantly."""

    method: str
    mean: float
    low: float
    high: float
    letters: str


class Leaderboard(NamedTuple):
    """Boards of all data sets, and the mean ranks over those that rank the same methods.

    Args:
        boards: of the data sets, those of the mean ranks first.
        standings: by mean rank; empty if fewer than two methods are ranked together.
        over: data sets of the mean ranks.
        variants: number of further settings of the methods that are not shown.
    """

    boards: tuple[Board, ...]
    standings: tuple[Standing, ...]
    over: tuple[str, ...]
    variants: int

    def rows(self) -> list[dict[str, Any]]:
        """Return one plain row for each method and data set."""
        standings = {standing.method: standing for standing in self.standings}
        rows = []
        for board in self.boards:
            for entry in board.entries:
                floor = mean_and_error(board.floor.values())[0] if board.floor else None
                standing = standings.get(entry.method) if board.data in self.over else None
                rows.append(
                    {
                        "data": board.data,
                        "method": entry.method,
                        "model": entry.label,
                        "metric": board.metric,
                        "better": board.better,
                        "mean": entry.mean,
                        "half_interval": entry.half,
                        "rank": entry.rank,
                        "mark": entry.mark,
                        "seeds": len(entry.values),
                        "floor": floor,
                        "steps": entry.budget.steps,
                        "batch_size": entry.budget.batch,
                        "nfe_to_quality": entry.nfe,
                        "train_seconds": entry.train_seconds,
                        "mean_rank": standing and standing.mean,
                        "protocol": board.protocol,
                    }
                )
        return rows

    def json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "standings": [standing._asdict() for standing in self.standings],
            "over": list(self.over),
            "test": f"sign-flip permutation test of ranks over seeds, Holm's correction, {LEVEL:g}",
            "rows": self.rows(),
        }


def leaderboard(suites: Iterable[SuiteResults], only: Sequence[str] = (), *, variants: bool = False) -> Leaderboard:
    """Compare the methods of all suites.

    Args:
        suites: the results; a run that is in several counts once.
        only: labels of data sets; all by default.
        variants: whether every setting of a method has a row; by default the one with the fewest settings that are
            not defaults represents it.

    Raises:
        ConfigError: if there is no such data set.
    """
    suites = list(suites)
    runs = {run.record["labels"]["run"]: run for suite in suites for run in suite.runs}
    values = (v._replace(model=runs[v.run].record["labels"]["model"]) for suite in suites for v in suite.values)
    of_data = group_by(dict.fromkeys(values), lambda v: v.data)
    seconds = {cost.run: cost.train_seconds for suite in suites for cost in suite.costs if cost.train_seconds}
    for name in only:
        if name not in of_data:
            raise unknown("no results on a data set called", name, of_data)
    found = [_board(of_data[data], runs, seconds, variants) for data in only or of_data]
    boards = sorted((board for board, _ in found if board), key=lambda board: (-len(board.ranked), -len(board.seeds)))
    methods, over = _common(boards)
    boards = [*over, *(board for board in boards if board not in over)]
    standings = tuple(_standings(methods, over))
    return Leaderboard(tuple(boards), standings, tuple(board.data for board in over), sum(more for _, more in found))


def _board(
    values: Sequence[Value], runs: Mapping[str, Run], seconds: Mapping[str, float], variants: bool
) -> tuple[Board | None, int]:
    """Return the board of a data set, and the number of variants that it leaves out."""
    metric = headline_metric(runs[values[0].run].record["spec"]["data"]["name"], values)
    main = [v for v in values if v.point == "main" and v.metric == metric and v.value is not None]
    main = [v for v in main if v.better in ("lower", "higher")]
    if not main:
        return None, 0
    budgets = {run: _budget(runs[run]) for run in {v.run for v in main}}

    def size(rows: Sequence[Value]) -> tuple[int, int, int]:
        return len({_method(v.model, False) for v in rows}), len(rows), budgets[rows[0].run].steps

    same = max(group_by(main, lambda v: (v.protocol, v.n, budgets[v.run])).values(), key=size)
    first, budget = same[0], budgets[same[0].run]
    comparable = [v for v in main if (v.protocol, v.n) == (first.protocol, first.n)]
    labels = group_by(comparable, lambda v: (v.model, budgets[v.run]))
    chosen: dict[str, list[Value]] = {}
    for label, own in sorted(labels, key=lambda key: (key[1] != budget, len(words(key[0])), -key[1].steps)):
        chosen.setdefault(_method(label, variants), _one_setting(labels[label, own], runs))
    seeds = _usual(frozenset(v.seed for v in rows) for rows in chosen.values() if budgets[rows[0].run] == budget)
    curve = _curve_metric(metric, values)
    entries = []
    for method, rows in chosen.items():
        found = {v.seed: v.value for v in rows if v.value is not None}
        mark = OTHER_BUDGET if budgets[rows[0].run] != budget else "" if seeds <= found.keys() else OTHER_SEEDS
        found = {seed: found[seed] for seed in sorted(found if mark else seeds)}
        own = {v.run for v in rows}
        points = tuple(v for v in values if v.run in own and v.metric == curve and v.point != "training")
        spent = [seconds[run] for run in own if run in seconds]
        cost = mean_and_error(spent)[0] if spent else None
        nfe = near_best(points)
        entries.append(Entry(method, rows[0].model, budgets[rows[0].run], found, None, mark, nfe, cost, points))
    ranked = ranks({e.method: e.values for e in entries if not e.mark}, first.better) if len(seeds) > 1 else {}
    sign = -1 if first.better == "higher" else 1
    entries = [entry._replace(rank=ranked.get(entry.method)) for entry in entries]
    entries.sort(key=lambda entry: (entry.rank is None, sign * entry.mean))
    floors = group_by([v for v in same if v.floor is not None and v.seed in seeds], lambda v: v.seed)
    board = Board(
        data=first.data,
        metric=metric,
        better=first.better,
        protocol=stated_protocol(first),
        budget=budget,
        seeds=tuple(sorted(seeds)),
        floor={seed: mean_and_error(v.floor for v in rows if v.floor is not None)[0] for seed, rows in floors.items()},
        curve=curve,
        entries=tuple(entries),
        original=all(v.original is not False for v in same),
    )
    return board, len({v.model for v in comparable}) - len({entry.label for entry in entries})


def _one_setting(rows: Sequence[Value], runs: Mapping[str, Run]) -> list[Value]:
    """Return one value per seed: of runs that differ in settings outside of their label, of those with most seeds."""
    alike = group_by(rows, lambda v: digest({**runs[v.run].record["spec"], "seed": 0, "metrics": 0, "evaluation": 0}))
    best = max(alike.values(), key=lambda own: len({v.seed for v in own}))
    return [same[0] for same in group_by(best, lambda v: v.seed).values()]


def near_best(points: Sequence[Value]) -> float | None:
    """Return the smallest NFE whose mean is within 5 % of the best mean along the curve and of the main solver."""
    means = {}
    for nfe, rows in group_by([v for v in points if v.value is not None and v.nfe], _place).items():
        nfe = nfe or mean_and_error(v.nfe for v in rows if v.nfe is not None)[0]
        means[nfe] = mean_and_error(v.value for v in rows if v.value is not None)[0]
    if len(means) < 2 or min(means.values()) <= 0:
        return None
    if points[0].better == "higher":
        return min(nfe for nfe, mean in means.items() if mean >= (1 - NEAR) * max(means.values()))
    return min(nfe for nfe, mean in means.items() if mean <= (1 + NEAR) * min(means.values()))


def _place(value: Value) -> float | None:
    return value.nfe if value.point == "curve" else None  # that of the main solver varies between seeds


def _curve_metric(headline: str, values: Sequence[Value]) -> str:
    curve = [v for v in values if v.point == "curve" and v.value is not None]
    found = [v.metric for v in curve if v.better in ("lower", "higher")]
    close = [metric for metric in found if metric.endswith(f"_{headline}")]  # sliced_w2 for w2
    return headline if headline in found else next(iter([*close, *found]), "")


def _budget(run: Run) -> Budget:
    plan = run.record["spec"]["plan"]
    return Budget(plan["steps"], plan["batch_size"])


def _method(label: str, variants: bool) -> str:
    return label if variants else label.partition(" ")[0]


def _usual(seeds: Iterable[frozenset[int]]) -> frozenset[int]:
    """Return the seeds that most methods have; among equals, the most seeds."""
    counts = Counter(seeds)
    return max(counts, key=lambda own: (counts[own], len(own), sorted(own)))


def _common(boards: Sequence[Board]) -> tuple[list[str], list[Board]]:
    """Return methods and the boards that rank all of them: those that give the most comparisons of two methods."""
    sets = {frozenset(board.ranked) for board in boards}
    while added := {a & b for a in sets for b in sets} - sets:  # close the sets under intersection
        sets |= added
    candidates = [(methods, [b for b in boards if methods <= b.ranked.keys()]) for methods in sets if len(methods) > 1]
    if not candidates:
        return [], []
    methods, over = max(candidates, key=lambda c: (len(c[0]) * (len(c[0]) - 1) * len(c[1]), sorted(c[0])))
    return sorted(methods), over


def _standings(methods: Sequence[str], boards: Sequence[Board]) -> list[Standing]:
    """Return mean ranks: of the ranks within each seed, averaged over the seeds of a data set, then over data sets."""
    if not methods:
        return []
    tables = []
    for board in boards:
        sign = -1 if board.better == "higher" else 1
        values = [[sign * board.ranked[method].values[seed] for method in methods] for seed in board.seeds]
        tables.append(pd.DataFrame(values).rank(axis=1).to_numpy())  # (seeds, methods)
    means = np.array([table.mean(0) for table in tables]).mean(0)
    errors = np.sqrt(sum(table.var(0, ddof=1) / len(table) for table in tables)) / len(tables)
    freedom = sum(len(table) - 1 for table in tables)
    half = errors * special.stdtrit(freedom, 1 - LEVEL / 2)
    total = sum(map(len, tables))
    every = np.concatenate([table * total / (len(tables) * len(table)) for table in tables])  # equal weight of data
    pairs = list(combinations(range(len(methods)), 2))
    corrected = holm([float(sign_flip_p(every[:, a] - every[:, b])) for a, b in pairs])
    order: list[int] = np.argsort(means, kind="stable").tolist()
    apart = [pair for pair, p in zip(pairs, corrected, strict=True) if p <= LEVEL]
    letters = _letters(order, apart)
    return [
        Standing(methods[i], float(means[i]), max(1.0, float(means[i] - half[i])),
                 min(float(len(methods)), float(means[i] + half[i])), letters[i])
        for i in order
    ]  # fmt: skip


def _letters(order: Sequence[int], apart: Iterable[tuple[int, int]]) -> dict[int, str]:
    """Give items letters; two share one exactly if they do not differ (insert and absorb; Piepho, 2004).

    >>> _letters([0, 1, 2], [(0, 2)])
    {0: 'a', 1: 'ab', 2: 'b'}
    """
    groups = [frozenset(order)]
    for a, b in apart:
        split = [part for group in groups for part in ((group - {a}, group - {b}) if {a, b} <= group else (group,))]
        groups = [group for group in dict.fromkeys(split) if not any(group < other for other in split)]
    groups.sort(key=lambda group: sorted(map(order.index, group)))
    return {item: "".join(c for c, group in zip(_names(len(groups)), groups, strict=True) if item in group)
            for item in order}  # fmt: skip


def _names(n: int) -> list[str]:
    return list(string.ascii_letters[:n]) if n <= len(string.ascii_letters) else [f"({i})" for i in range(n)]
