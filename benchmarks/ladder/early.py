"""Which metric after a short training predicts the headline metric after a long one."""

from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.ladder.orders import Contest, Order, order, spread
from benchmarks.tables import markdown
from genbench.analysis.labels import counted, listed
from genbench.analysis.means import format_mean, mean_and_half
from genbench.analysis.significance import LEVEL, paired

NUMBERS = """\
Each tau is a mean over tasks, ± 95 % CI half-width over tasks. With one task, it has an interval over seeds, as above,
and metrics are not tested against each other. Intervals are not corrected for the number of metrics: the best of many
is best in part by chance.

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


def of_numbers(found: Sequence[Number], headline: str, budgets: str) -> str:
    """Return which metrics predict the headline metric better or worse than itself, by tests over tasks.

    Args:
        budgets: the shorter and the longer budget.
    """
    others = [own for own in found if own.name != headline]
    signs: dict[int, list[str]] = {1: [], -1: [], 0: []}
    for own in others:
        gain = paired(taus(own.headline), taus(own.alone))
        told = gain.p is not None and gain.p * len(others) <= LEVEL
        signs[(1 if gain.mean > 0 else -1) if told else 0].append(f"`{own.name}`")
    better, worse, neither = signs.values()
    bold = f"{listed(better)} predict{'s' * (len(better) == 1)}" if better else "No other metric is shown to predict"
    said = [
        f"**After a short run, {bold[0].lower() + bold[1:]} the order by the headline metric after a long run better "
        f"than the headline metric itself does** ({budgets})."
    ]
    said += [f"These metrics predict it worse: {listed(worse)}."] if worse else []
    said += [f"For these, no difference is shown: {listed(neither)}."] if neither else []
    tasks = counted(max(len(own.alone) for own in found), "task")
    said.append(f"Paired t tests over {tasks}, Bonferroni over {counted(len(others), 'metric')}.")
    return f"{' '.join(said)} These tests were chosen after the values were known."


def numbers(found: Sequence[Number]) -> str:
    """Return the table of the metrics at the shorter budget, as means over tasks."""
    columns = ("metric", "tasks", "methods", "with itself", "with headline", "lasted", "headline, same methods")
    rows = []
    for name, *orders in found:
        methods = "-".join(str(n) for n in sorted({f(o.methods for o in orders[0]) for f in (min, max)}))
        itself, headline, alone = map(mean_tau, orders)
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


def taus(orders: Sequence[Order]) -> dict[int, float]:
    """Return tau of each task."""
    return dict(enumerate(one.tau for one in orders))


def mean_tau(orders: Sequence[Order]) -> str:
    """Return the mean of tau with its interval over tasks, or over seeds for one task."""
    return spread(orders[0]) if len(orders) == 1 else format_mean(*mean_and_half([one.tau for one in orders]))
