"""Which metric after a short training predicts the headline metric after a long one."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.ladder.orders import Contest, Order, order, spread
from benchmarks.tables import markdown

NUMBERS = """\
Each tau is a mean over tasks, with a nominal 95 % interval over seeds. The interval does not include the variation
between tasks.

- *with itself*: tau between the metric at the shorter budget and the same metric at the longer budget.
- *with headline*: tau between the metric at the shorter budget and the headline metric at the longer budget.
- *lasted*: pairs that the metric separates at the shorter budget (paired t tests, Holm), and how many of them have the
  same order by the headline metric at the longer budget.
- *headline, same methods*: tau between the headline metric at both budgets, for the methods that have the metric of the
  row. A metric that is cheaper to measure is useful if *with headline* comes close to this value.
"""


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


def of_numbers(found: Sequence[Number]) -> str:
    """Return which metrics predict the headline metric better than itself, and where it predicts itself worst."""
    least = min(found, key=lambda own: mean_tau(own.alone))
    return (
        f"**{ahead(found)} the headline metric better than the headline metric itself does** (with Bonferroni's "
        "correction). "
        "How well the headline metric predicts itself depends on which methods are compared. Among the methods that "
        f"have a value of {least.name}, tau is lowest: {spread(mean_tau(least.alone), drawn(least.alone))}. "
        "Chance is 0."
    )


def ahead(found: Sequence[Number]) -> str:
    """Return the beginning of a sentence: which metrics, if any, predict the headline metric better than itself."""
    gains = {own.name: np.subtract(drawn(own.headline), drawn(own.alone)) for own in found}
    names = [f"`{name}`" for name, gain in gains.items() if np.quantile(gain, 0.025 / len(gains)) > 0]
    return f"{' and '.join(names)} predict{'s' * (len(names) == 1)}" if names else "No other metric is shown to predict"


def numbers(found: Sequence[Number]) -> str:
    """Return the table of the metrics at the shorter budget, as means over tasks."""
    columns = ("metric", "tasks", "methods", "with itself", "with headline", "lasted", "headline, same methods")
    rows = []
    for name, *orders in found:
        methods = "-".join(str(n) for n in sorted({f(o.methods for o in orders[0]) for f in (min, max)}))
        itself, headline, alone = (spread(mean_tau(each), drawn(each)) for each in orders)
        lasted = f"{sum(one.held for one in orders[1])} of {sum(one.decided for one in orders[1])}"
        rows.append((name, len(orders[0]), methods, itself, headline, lasted, alone))
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
