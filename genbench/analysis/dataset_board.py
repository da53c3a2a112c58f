"""The leaderboard of one data set: its methods by its headline metric, with ranks and costs.

Methods are compared under one protocol and one budget (training steps and batch size): those with the most methods and
seeds. A method that was measured with another budget or other seeds is listed with a mark, and not ranked.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from genbench.analysis.means import mean_and_error, mean_and_half
from genbench.analysis.ranking import ranks
from genbench.analysis.suite_results import digest
from genbench.analysis.values import Value, group_by, headline_metric, stated_protocol
from genbench.results.reader import Run

NEAR = 0.05
"""A curve has reached its best quality where it is within this share of it."""
OTHER_BUDGET, OTHER_SEEDS = "other budget", "other seeds"


class Budget(NamedTuple):
    """Training steps and batch size."""

    steps: int
    batch: int

    def __str__(self) -> str:
        return f"{self.steps:,} steps of {self.batch}"


class Entry(NamedTuple):
    """A method on a data set.

    Args:
        label: label of its model, with the settings that are not defaults.
        values: {seed: headline metric}.
        rank: with ties by paired tests; None if it is not ranked.
        mark: why it is not ranked, if its budget or its seeds are not those of the others; otherwise empty.
        nfe: function evaluations at which its curve comes near its best; None without a curve.
        train_seconds: mean time of training, of all that had to be trained.
        points: values along its curve and of the main solver, of the metric of the curves.
        stated: the setting that decides most about it, if its label does not name it.
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
    stated: str = ""

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
        budget: budget of the methods that are ranked.
        seeds: seeds of the methods that are ranked.
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


def compare_methods(
    values: Sequence[Value], runs: Mapping[str, Run], seconds: Mapping[str, float], *, variants: bool = False
) -> tuple[Board | None, int]:
    """Compare the methods on a data set.

    Args:
        values: measured on this data set, under the labels of their models.
        runs: {name: run} of these values; of a run that was sampled with several settings, any of its evaluations.
        seconds: {name of a run: time of training}.
        variants: whether every setting of a method has an entry.

    Returns:
        The board, or None without values of a headline metric; and the number of variants that it leaves out.
    """
    metric = headline_metric(runs[values[0].run].record["spec"]["data"]["name"], values)
    main = [v for v in values if v.point == "main" and v.metric == metric and v.value is not None]
    main = [v for v in main if v.better in ("lower", "higher")]
    if not main:
        return None, 0
    plans = {run: runs[run].record["spec"]["plan"] for run in {v.run for v in main}}
    budgets = {run: Budget(plan["steps"], plan["batch_size"]) for run, plan in plans.items()}
    same = _largest_comparison(main, budgets)
    first, budget = same[0], budgets[same[0].run]
    comparable = [v for v in main if (v.protocol, v.n) == (first.protocol, first.n)]
    methods = _one_setting_each(comparable, budget, budgets, runs, variants)
    seeds = _usual(frozenset(v.seed for v in rows) for rows in methods.values() if budgets[rows[0].run] == budget)
    ranked = {(v.run, v.model) for rows in methods.values() for v in rows if budgets[v.run] == budget}
    curve = _curve_metric(metric, [v for v in values if (v.run, v.model) in ranked])
    entries = []
    for method, rows in methods.items():
        mark = OTHER_BUDGET if budgets[rows[0].run] != budget else ""
        mark = mark or ("" if seeds <= {v.seed for v in rows} else OTHER_SEEDS)
        counted = {v.seed: v.value for v in rows if v.value is not None and (mark or v.seed in seeds)}
        # Not a set: the sum of seconds would depend on its order, which varies between processes.
        names = dict.fromkeys(v.run for v in rows)
        train_seconds = [seconds[name] for name in names if name in seconds]
        own = [v for v in values if v.run in names and v.model == rows[0].model]
        points = tuple(v for v in own if v.metric == curve and v.point != "training")
        entries.append(
            Entry(
                method=method,
                label=rows[0].model,
                budget=budgets[rows[0].run],
                values=dict(sorted(counted.items())),
                mark=mark,
                nfe=near_best(points),
                train_seconds=mean_and_error(train_seconds)[0] if train_seconds else None,
                points=points,
                stated=runs[rows[0].run].stated,
            )
        )
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
        entries=_ranked(entries, first.better, len(seeds)),
        original=all(v.original is not False for v in same),
    )
    return board, len({v.model for v in comparable}) - len({entry.label for entry in entries})


def _largest_comparison(main: Sequence[Value], budgets: Mapping[str, Budget]) -> list[Value]:
    """Return the values of one protocol and one budget: those with most methods times seeds, then most steps."""

    def size(rows: Sequence[Value]) -> tuple[int, int, int]:
        return len({(_method(v.model, False), v.seed) for v in rows}), len(rows), budgets[rows[0].run].steps

    return max(group_by(main, lambda v: (v.protocol, v.n, budgets[v.run])).values(), key=size)


def _one_setting_each(
    values: Sequence[Value], budget: Budget, budgets: Mapping[str, Budget], runs: Mapping[str, Run], variants: bool
) -> dict[str, list[Value]]:
    """Return {method: values} of the setting that represents it: with this budget, and the fewest changed settings."""
    settings = group_by(values, lambda v: (v.model, budgets[v.run]))
    methods: dict[str, list[Value]] = {}
    for setting in sorted(settings, key=lambda key: (key[1] != budget, len(key[0].split()), -key[1].steps)):
        methods.setdefault(_method(setting[0], variants), _one_per_seed(settings[setting], runs))
    return methods


def _one_per_seed(rows: Sequence[Value], runs: Mapping[str, Run]) -> list[Value]:
    """Return one value per seed: of runs that differ in settings outside of their label, of those with most seeds."""
    if len({v.seed for v in rows}) == len(rows):
        return list(rows)
    labeled = dict.fromkeys(("seed", "sample", "metrics", "evaluation"))
    alike = group_by(rows, lambda v: digest({**runs[v.run].record["spec"], **labeled}))
    best = max(alike.values(), key=lambda rows: len({v.seed for v in rows}))
    return [same[0] for same in group_by(best, lambda v: v.seed).values()]


def _ranked(entries: Sequence[Entry], better: str, seeds: int) -> tuple[Entry, ...]:
    """Return the entries with their ranks, unless there is one seed only: best mean first, those without ranks last."""
    places = ranks({e.method: e.values for e in entries if not e.mark}, better) if seeds > 1 else {}
    entries = [entry._replace(rank=places.get(entry.method)) for entry in entries]
    sign = -1 if better == "higher" else 1
    return tuple(sorted(entries, key=lambda entry: (entry.rank is None, sign * entry.mean)))


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
    """Return the NFE of a point of the curve; None for the main solver, whose NFE varies between seeds."""
    return value.nfe if value.point == "curve" else None


def _curve_metric(headline: str, values: Sequence[Value]) -> str:
    """Return the metric of the curves: the headline metric, one like it, or any; empty without curves."""
    curve = [v for v in values if v.point == "curve" and v.value is not None]
    metrics = [v.metric for v in curve if v.better in ("lower", "higher")]
    close = [metric for metric in metrics if metric.endswith(f"_{headline}")]  # sliced_w2 for w2
    return headline if headline in metrics else next(iter([*close, *metrics]), "")


def _method(label: str, variants: bool) -> str:
    """Return the name of a method in a label; the whole label if every setting has an entry."""
    return label if variants else label.partition(" ")[0]


def _usual(seeds: Iterable[frozenset[int]]) -> frozenset[int]:
    """Return the seeds that most methods have; among equals, the most seeds."""
    counts = Counter(seeds)
    return max(counts, key=lambda each: (counts[each], len(each), sorted(each)))
