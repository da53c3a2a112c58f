"""The page that says whether short trainings predict long ones, from published records."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.ladder.orders import (
    Contest,
    Ladder,
    Margin,
    Order,
    array,
    complete,
    interval,
    margins,
    means_drawn,
    order,
    rungs,
    tau,
)
from benchmarks.ladder.predictors import read_predictions
from benchmarks.ladder.scores import REGISTERED, scores
from benchmarks.tables import fill, markdown
from genbench.analysis.labels import counted
from genbench.results.reader import RECORDS
from genbench.runs.record import read_published

MAIN = "plane-v1"
LADDERS: Mapping[str, tuple[tuple[str, ...], str]] = {
    MAIN: ((MAIN,), ""),
    "digits": (("digits", "digits-v1", "digits-long"), "fd-digits_cnn"),
    "latents-v1": (("latents-v1",), ""),
}
"""{name: suites, and the headline of records outside of tracks}."""
LARGE = 2.0
"""Ratio of means from which a difference is large."""
SIZES = (1.0, 1.25, 1.5, LARGE, 4.0, math.inf)
SURE, CLOSE = 0.9, 0.75
"""Least share of large differences that last if these predict; largest share of small ones if those do not.

These and LARGE were chosen on checkerboard and moons, before values of other tasks at the longer budget were read.
"""
ORDERS = """\
- *methods*: methods with all seeds at both budgets. A method that fails or is not trained at a budget is left out.
- *tau*: Kendall's tau between the means at the two budgets, with a nominal 95 % interval over seeds. In simulations,
  the interval covers the true tau in at least 92 % of cases if the spread between methods is four times the spread
  between seeds. If the spreads are equal, the interval is too low: it covers a tau near 1 in as few as 29 % of cases.
- *separated*: pairs that are separated at the shorter budget (paired t tests, Holm over all pairs of these methods).
- *lasted*: separated pairs whose means have the same order at the longer budget.
- *reversed*: separated pairs that are also separated at the longer budget, in the opposite order.
- The values of digits come from three suites. [digits](digits/table.md) and [digits-v1](digits-v1/table.md) have the
  shorter budget; [digits-long](digits-long/table.md) has the longer budget, for few methods. Runs that stop early are
  left out. Other tracks have one budget.
"""
NUMBERS = """\
Each tau is a mean over tasks of plane-v1, with a nominal 95 % interval over seeds. The interval does not
include the variation between tasks.

- *with itself*: tau between the metric at the shorter budget and the same metric at the longer budget.
- *with headline*: tau between the metric at the shorter budget and the headline metric at the longer budget.
- *headline, same methods*: tau between the headline metric at both budgets, for the methods that have the metric of the
  row. A metric that is cheaper to measure is useful if *with headline* comes close to this value.
"""
LIMITS = """\
## Limits

- Points in up to 50 dimensions and images of 8x8 pixels say nothing about what happens at scale.
- Each method has one small network. Other networks may order the methods differently.
- The longest training takes minutes. Nothing here says whether minutes predict days.
- All methods have default settings.
- Pairs are not independent: one method that improves late reverses many pairs. So their shares have no interval.
- The factor depends on the metric: a factor of two in sliced W2 is a factor of four in its square. FD is a squared
  distance.
- Means near the floor are almost equal. Their order at the longer budget is partly chance.
- Tasks share networks and recipes, which favors `elsewhere`.
"""
IMAGES = """\
## Images

The track [latents-v1](../genbench/suites/latents-v1.toml) asks the same question about CIFAR-10 latents, with the FD of
5,000 samples as its headline metric. Its models are not trained yet.

- Each of its three budgets needs a separate training, because the learning rate decays to zero at the last step.
- `held` and `ratio` are fitted to the first two budgets and predict the third. `elsewhere` needs a second data set.
  The files `predictions_*.toml` are committed before the third training starts.
- Short trainings predict nothing there if no predictor has a Brier score below 0.25.
"""
CAPTION = (
    "*Mean of the headline metric at the two budgets of a task, on a logarithmic axis; lower is better. Red or orange: "
    "methods of pairs that are separated at both budgets, with the order reversed.*"
)


class Number(NamedTuple):
    """A metric at the shorter budget, with one order for each task.

    Args:
        itself: against the same metric at the longer budget.
        headline: against the headline metric at the longer budget.
        alone: the headline metric against itself, for the methods with this metric.
    """

    name: str
    itself: list[Order]
    headline: list[Order]
    alone: list[Order]


def read_ladders(results: Path) -> dict[str, Ladder]:
    """Return {name: ladder} of the published records."""
    paths = {name: [results / suite / RECORDS for suite in suites] for name, (suites, _) in LADDERS.items()}
    records = {name: [one for path in own for one in read_published(path)] for name, own in paths.items()}
    return {name: rungs(own, LADDERS[name][1]) for name, own in records.items()}


def contests(ladder: Ladder) -> list[Contest]:
    """Return the data sets whose longest budget is the ladder's, where enough methods have all seeds at two budgets."""
    longest = max((steps for own in ladder.values() for steps in own), default=0)
    made = []
    for data, own in ladder.items():
        if len(own) > 1 and longest in own:
            short, long = own[min(own)], own[longest]
            if found := order(short.main, long.main):
                made.append(Contest(data, min(own), longest, short, long, found))
    return made


def page(results: Path) -> str:
    """Return the page in Markdown."""
    ladders = {name: own for name, ladder in read_ladders(results).items() if (own := contests(ladder))}
    registered = read_predictions(results / MAIN)
    in_advance = {data for own in registered.values() for data in own.pairs}
    parts = [
        "# Does a short training predict a long one?\n",
        "Does the order of methods after a short training predict their order after a training several times as long?",
        "`make ladder` makes this page from the published records.\n",
        *(fill(paragraph) + "\n" for paragraph in answer(ladders[MAIN], in_advance)),
        "![Each method at both budgets](../docs/images/slopes.svg)\n",
        fill(CAPTION) + "\n",
        "## Does the order last?\n",
        holds(ladders.values()),
        ORDERS,
        "## How large must a difference be?\n",
        "Pairs whose order lasts, by the ratio of their means after the shorter training:\n",
        sizes(ladders.values()),
        "## Which early metric predicts the headline metric?\n",
        numbers(cheap(ladders[MAIN])),
        NUMBERS,
        "## Registered predictions\n",
        REGISTERED,
        *scores(registered, ladders[MAIN]),
        LIMITS,
        *([] if "latents-v1" in ladders else [IMAGES]),
    ]
    return "\n".join(parts)


def answer(main: Sequence[Contest], in_advance: set[str]) -> Iterator[str]:
    """Yield the answers and what would refute them."""
    yield of_differences(main, in_advance)
    if others := [elsewhere(contest, other) for contest in main for other in main if contest.data != other.data]:
        own, there = np.mean([taus for taus, _ in others], axis=0)
        low, high = interval(np.mean([draws for _, draws in others], axis=0))
        more = "predicts more" if low > 0 else "is not shown to predict more"
        refuted = "includes 0 or lies below it" if low > 0 else "lies above 0"
        yield (
            f"**A long training on another task {more} than a short training on the task itself.** Kendall's tau with "
            f"the order after the long training is {own:.2f} for the short training and {there:.2f} for the other "
            f"task, averaged over {counted(len(others) // 2, 'pair')} of tasks. Over seeds, the 95 % interval of the "
            f"difference is {low:.3f} to {high:.3f}. More tasks or seeds refute this answer if the interval then "
            f"{refuted}. Training on the other task saves no time: it takes as many steps."
        )
    yield of_numbers(cheap(main))
    yield expected([contest for contest in main if contest.data in in_advance])


def expected(told: Sequence[Contest]) -> str:
    """Return what was expected of large and small differences, and whether tasks with registered predictions agree."""
    large, small = pairs(told, LARGE), pairs(told, 1.0, LARGE)
    stated = (
        "After the values on checkerboard and moons were known, two things were expected of other tasks: at least "
        f"{100 * SURE:g} % of the large differences last, and at most {100 * CLOSE:g} % of the small ones. "
    )
    if not told:
        return f"{stated}Neither is tested yet."
    first, second = share(large) >= SURE, share(small) <= CLOSE
    names = {True: "holds", False: "is refuted"}
    return (
        f"{stated}So far the first {names[first]} ({count(large)} last) and the second {names[second]} "
        f"({count(small)} last)."
    )


def of_differences(main: Sequence[Contest], in_advance: set[str]) -> str:
    """Return whether large and small differences last; measured tasks with registered predictions decide alone."""
    told = [contest for contest in main if contest.data in in_advance]
    known = [contest for contest in main if contest.data not in in_advance]
    large, small = pairs(told or known, LARGE), pairs(told or known, 1.0, LARGE)
    bold = "Not even large differences last"
    if share(large) >= SURE:
        rest = "and so do most small ones" if share(small) > CLOSE else "small ones often do not"
        bold = f"Large differences last, {rest}"
    large = pairs(main, LARGE)
    often = [name for name, _ in Counter(name for margin in large for name in margin.pair).most_common(2)]
    involved = sum(not {*often}.isdisjoint(margin.pair) for margin in large)
    noticed = f"This was noticed on {lasting(known)} differences last. " if known else ""
    untested = "No task with registered predictions is measured yet"
    tested = f"The test is on {lasting(told)} differences last" if told else untested
    return (
        f"**{bold}.** A difference between two methods of {MAIN} is large if their means differ by at least a factor "
        "of two after the shorter training. A difference lasts if the means have the same order after the longer "
        "training. "
        f"{noticed}{tested}. By chance, half of all differences last. "
        f"{involved} of all {len(large)} large differences involve {' or '.join(often)}."
    )


def of_numbers(found: Sequence[Number]) -> str:
    """Return which metrics predict the headline metric better than itself, and where it predicts itself worst."""
    gains = {own.name: np.subtract(drawn(own.headline), drawn(own.alone)) for own in found}
    ahead = [f"`{name}`" for name, gain in gains.items() if np.quantile(gain, 0.025 / len(gains)) > 0]
    bold = f"{' and '.join(ahead)} predict{'s' * (len(ahead) == 1)}" if ahead else "No other metric is shown to predict"
    least = min(found, key=lambda own: mean_tau(own.alone))
    return (
        f"**{bold} the headline metric better than the headline metric itself does** (with Bonferroni's correction). "
        "How well the headline metric predicts itself depends on which methods are compared. Among the methods that "
        f"have a value of {least.name}, tau is lowest: {spread(mean_tau(least.alone), drawn(least.alone))}. "
        "Chance is 0."
    )


def lasting(found: Sequence[Contest]) -> str:
    """Return how many large and small differences last on tasks."""
    names = " and ".join(", ".join(contest.data for contest in found).rsplit(", ", 1))
    return f"{names}, where {count(pairs(found, LARGE))} large and {count(pairs(found, 1.0, LARGE))} small"


def pairs(found: Sequence[Contest], low: float, high: float = math.inf) -> list[Margin]:
    """Return the pairs of methods whose ratio of means is at least `low` and below `high`."""
    each = (margin for contest in found for margin in margins(contest.first.main, contest.last.main))
    return [margin for margin in each if low <= margin.ratio < high]


def share(found: Sequence[Margin]) -> float:
    """Return the share of pairs whose order lasts; 0 without pairs, which support no claim."""
    return sum(margin.held for margin in found) / max(1, len(found))


def count(found: Sequence[Margin]) -> str:
    """Return the number of pairs whose order lasts, and the number of pairs."""
    return f"{sum(margin.held for margin in found)} of {len(found)}"


def elsewhere(contest: Contest, other: Contest) -> tuple[tuple[float, float], np.ndarray]:
    """Return tau of the shorter budget and of another task with the longer budget, and draws of second minus first."""
    values = complete(contest.first.main, contest.last.main, other.last.main)
    (own, there), (own_drawn, there_drawn) = (
        (tau(short, long), tau(task, long))
        for short, long, task in ([array(one).mean(1) for one in values], means_drawn(*values))
    )
    return (float(own), float(there)), there_drawn - own_drawn


def sizes(ladders: Iterable[Sequence[Contest]]) -> str:
    """Return the table of the pairs whose order lasts, by the ratio of their means."""
    ends = [*pairwise(SIZES)]
    columns = ("ratio of means", *(f"{low:g} to {high:g}" for low, high in ends[:-1]), f"above {SIZES[-2]:g}")
    found = [contest for ladder in ladders for contest in ladder]
    return markdown(columns, [(one.data, *(count(pairs([one], *end)) for end in ends)) for one in found])


def holds(ladders: Iterable[Sequence[Contest]]) -> str:
    """Return the table of the orders of the headline metrics."""
    columns = ("task", "steps", "seeds", "methods", "tau", "separated", "lasted", "reversed")
    rows = []
    for data, short, long, first, last, same in (contest for ladder in ladders for contest in ladder):
        seeds = " and ".join(str(array(values).shape[1]) for values in complete(first.main, last.main))
        steps, methods = f"{short:,} to {long:,}", f"{same.methods} of {len(first.main)}"
        counts = same.decided, same.held, len(same.turned)
        rows.append((data, steps, seeds, methods, spread(same.tau, same.drawn), *counts))
    return markdown(columns, rows)


def numbers(found: Sequence[Number]) -> str:
    """Return the table of the metrics at the shorter budget, as means over tasks."""
    columns = ("metric", "tasks", "methods", "with itself", "with headline", "headline, same methods")
    rows = []
    for name, *orders in found:
        methods = "-".join(str(n) for n in sorted({f(o.methods for o in orders[0]) for f in (min, max)}))
        rows.append((name, len(orders[0]), methods, *(spread(mean_tau(each), drawn(each)) for each in orders)))
    return markdown(columns, rows)


def cheap(found: Sequence[Contest]) -> list[Number]:
    """Return the metrics at the shorter budget that enough methods have."""
    made = []
    for name in dict.fromkeys(name for contest in found for name in contest.first.numbers):
        orders: list[tuple[Order, Order, Order]] = []
        for contest in found:
            values, last = contest.first.numbers.get(name, {}), contest.last
            alone = {method: own for method, own in contest.first.main.items() if method in values}
            itself = order(values, last.numbers.get(name, {}))
            headline, of_headline = order(values, last.main), order(alone, last.main)
            if itself and headline and of_headline:
                orders.append((itself, headline, of_headline))
        if orders:
            made.append(Number(name, *map(list, zip(*orders, strict=True))))
    return made


def mean_tau(orders: Sequence[Order]) -> float:
    """Return the mean of tau over tasks."""
    return float(np.mean([one.tau for one in orders]))


def drawn(orders: Sequence[Order]) -> np.ndarray:
    """Return draws of the mean of tau over tasks."""
    return np.mean([one.drawn for one in orders], axis=0)


def spread(middle: float, draws: np.ndarray) -> str:
    """Return a value with the interval of its draws."""
    low, high = interval(draws)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"
