"""The page that says whether cheap numbers predict dear ones, from published records."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.ladder.orders import Ladder, Order, Rung, array, complete, interval, margins, order, rungs, tau
from benchmarks.ladder.predictors import TIED, Stated, brier, read_predictions
from benchmarks.tables import markdown
from genbench.analysis.means import format_mean, mean_and_half
from genbench.results.reader import RECORDS
from genbench.runs.record import read_published

MAIN = "plane-v1"
LADDERS: Mapping[str, tuple[tuple[str, ...], str]] = {
    MAIN: ((MAIN,), ""),
    "digits": (("digits", "digits-v1", "digits-long"), "fd-digits_cnn"),
    "latents-v1": (("latents-v1",), ""),
}
"""{name: suites, and the headline of records outside of tracks}."""
LARGE = (2.0,)
"""Ratio of means from which a difference is large: chosen on checkerboard and moons, before other tasks were known."""
SIZES = (1.25, 1.5, 2.0, 4.0)
SURE, CLOSE = 0.9, 0.75
"""Least share of held large differences if these predict; largest share of held small ones if those do not."""
COLUMNS = 120
"""Width of a line of prose."""
ORDERS = """\
- *tau*: Kendall's tau between the means at the shorter and at the longer budget, with a 95 % interval over seeds. *tau,
  other tasks*: its mean between this task and each other one, both at the longer budget.
- *separated*: pairs of methods that are separated at the shorter budget (paired t tests, Holm over all pairs).
- *held*: pairs out of these whose means have the same order at the longer budget.
- *turned over*: pairs out of these that are separated at the longer budget, in the opposite order.
- *large*: held pairs out of those whose means differ by a factor of two or more at the shorter budget.
- *small*: held pairs out of the others.
- Digits come from three suites: [digits](digits/table.md) and [digits-v1](digits-v1/table.md) have the shorter budget,
  [digits-long](digits-long/table.md) the longer one. Runs that stop early are left out. Other tracks have one budget.
"""
NUMBERS = """\
Each tau is a mean over tasks, with a 95 % interval over seeds for these tasks; other tasks would vary more.

- *with itself*: the number against the same number at the longer budget.
- *with the headline*: the number against the headline metric at the longer budget.
- *headline alone*: the headline metric against itself on the same methods. A number that is cheaper to measure has to
  come close to it.
"""
REGISTERED = """\
The predictions for these tasks were committed before a value at 20,000 steps was read
([files](../genbench/suites/plane-v1)). The Brier score is the mean squared error of the probabilities over all pairs of
methods: lower is better, and a coin has 0.25.

- `seeds`: no order turns over. All methods have one variance, which the seeds contradict.
- `held`: the order at 2,000 steps. Separated pairs turn over as often as on checkerboard and moons.
- `ratio`: a large ratio of the means at 2,000 steps keeps its order more often than a small one. The rate fits
  checkerboard and moons best.
- `elsewhere`: the order on checkerboard and moons at 20,000 steps. Nothing is trained on the task itself.
"""
LIMITS = """\
## Limits

- Points in up to 50 dimensions and images of 8x8 pixels say nothing about what happens at scale.
- Each method has one small network. Other networks may order the methods in another way.
- The longest training takes minutes. Nothing here compares minutes with days.
- All methods have default settings.
- Pairs are not independent: one method that improves late turns many pairs over.
- Means near the floor are almost equal. Their order at the longer budget is partly chance.
- Tasks share networks and recipes, which favors `elsewhere`.
"""
IMAGES = """\
## Images

The track [latents-v1](../genbench/suites/latents-v1.toml) asks the same question about CIFAR-10 latents. Its models are
not trained yet.

| steps | methods | seeds |
|---|---|---|
| 3,000 | nine and a Gaussian | 3 |
| 9,000 | the same | 3 |
| 27,000 | six: CFM, OT-CFM, W-CFM, W-CFM with weights of images only, balanced W-CFM, STARFlow | 3 |

- Each rung is a training of its own, because its learning rate decays to zero at its last step.
- The headline is the FD of 5,000 samples. KID, Monge distance, precision, recall, validation loss and bits per
  dimension are candidates for a cheap number.
- `held`, `ratio` and `elsewhere` are fitted to the first two rungs and predict the third. `predictions_*.toml` are
  committed before the third rung starts.
- Cheap training predicts nothing there if no predictor has a Brier score below 0.25.
"""
CAPTION = (
    "*Mean of the headline metric at the shortest and the longest budget on a logarithmic axis; lower is better. Red: "
    "methods of pairs that are separated at both budgets, in opposite orders.*"
)


class Contest(NamedTuple):
    """A data set at its shortest and its longest budget."""

    data: str
    short: int
    long: int
    first: Rung
    last: Rung

    @property
    def order(self) -> Order | None:
        """The order of the headline at both budgets."""
        return order(self.first.main, self.last.main)


class Number(NamedTuple):
    """A number at the shorter budget, with one order for each task.

    Args:
        itself: against the same number at the longer budget.
        headline: against the headline at the longer budget.
        alone: the headline against itself, for the methods with this number.
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
    found = [(data, min(own), longest, own) for data, own in ladder.items() if len(own) > 1 and longest in own]
    made = [Contest(data, short, long, own[short], own[long]) for data, short, long, own in found]
    return [contest for contest in made if contest.order]


def page(results: Path) -> str:
    """Return the page in Markdown."""
    ladders = {name: own for name, ladder in read_ladders(results).items() if (own := contests(ladder))}
    registered = read_predictions(results / MAIN)
    in_advance = {data for own in registered.values() for data in own.pairs}
    parts = [
        "# Does cheap predict dear?\n",
        "Does the order of methods after a short training predict their order after a training several times as long?",
        "`make ladder` makes this page from the published records.\n",
        *(fill(paragraph) + "\n" for paragraph in answer(ladders[MAIN], in_advance)),
        "![Each method at both budgets](../docs/images/slopes.svg)\n",
        fill(CAPTION) + "\n",
        "## Does the order hold?\n",
        holds(ladders.values()),
        ORDERS,
        "## How large must a difference be?\n",
        "Pairs whose order holds, by the ratio of their means after the shorter training:\n",
        sizes(ladders, in_advance),
        "## Which cheap number predicts which dear one?\n",
        *(part for name, own in ladders.items() for part in (f"On {name}:\n", numbers(cheap(own)))),
        NUMBERS,
        "## Registered predictions\n",
        REGISTERED,
        *scores(registered, ladders[MAIN]),
        LIMITS,
        *([] if "latents-v1" in ladders else [IMAGES]),
    ]
    return "\n".join(parts)


def fill(text: str) -> str:
    """Return a paragraph in lines."""
    return textwrap.fill(text, width=COLUMNS, break_on_hyphens=False, break_long_words=False)


def answer(main: Sequence[Contest], in_advance: set[str]) -> Iterator[str]:
    """Yield the answer, what would refute it, and what the tasks that were predicted in advance say."""
    (near, near_held), (pairs, held) = total(main, LARGE)
    bold = "Large differences predict" if held >= SURE * pairs else "Not even large differences predict"
    bold += ", small ones hardly do" if near_held <= CLOSE * near else ", small ones do as well"
    yield (
        f"**{bold}.** Where the means of two methods of {MAIN} differ by at least a factor of two after the shorter "
        f"training, {held} of {pairs} pairs keep their order. Where they differ by less, {near_held} of {near} do, and "
        "half of them would by chance."
    )
    itself = mean_tau([contest.order for contest in main if contest.order])
    if others := [own for contest in main if (own := agreement(contest, main)) is not None]:
        more = "more" if np.mean(others) > itself else "no more"
        yield (
            f"**Another task predicts {more} than a short training.** Kendall's tau is {itself:.2f} between the "
            f"shorter and the longer training on one task. Between tasks, after the longer one, it is "
            f"{np.mean(others):.2f} (pairs of tasks: {len(others) * (len(others) - 1) // 2})."
        )
    known = cheap(main)
    ahead = [f"`{own.name}`" for own in known if interval(np.subtract(drawn(own.headline), drawn(own.alone)))[0] > 0]
    bold = f"{' and '.join(ahead)} predict{'s' * (len(ahead) == 1)}" if ahead else "No other cheap number predicts"
    least = max(known, key=lambda own: mean_tau(own.itself) - mean_tau(own.headline))
    yield (
        f"**{bold} the headline metric better than itself.** Most extreme is {least.name}, whose tau is "
        f"{mean_tau(least.itself):.2f} with itself and {mean_tau(least.headline):.2f} with the headline."
    )
    (near, near_held), (pairs, held) = total([contest for contest in main if contest.data in in_advance], LARGE)
    told = "No task that was predicted in advance is measured yet."
    if pairs:
        told = f"On the tasks that were predicted in advance, {held} of {pairs} large differences hold. There, "
        told += f"{near_held} of {near} small ones do."
    yield (
        f"The first answer is refuted if fewer than {SURE:.0%} of the large differences hold, or more than {CLOSE:.0%} "
        "of the small ones. The second is refuted if its first tau is the larger one. The factor was chosen on "
        f"checkerboard and moons. {told}"
    ).replace("%", " %")


def agreement(contest: Contest, found: Sequence[Contest]) -> float | None:
    """Return the mean of tau between the headlines of a task and of each other task, both at their longest budgets."""
    others = [complete(contest.last.main, other.last.main) for other in found if other.data != contest.data]
    return float(np.mean([tau(array(one).mean(1), array(two).mean(1)) for one, two in others])) if others else None


def total(found: Sequence[Contest], factors: Sequence[float]) -> np.ndarray:
    """Return the pairs and those that hold, summed over tasks, (sizes, 2)."""
    each = [margins(contest.first.main, contest.last.main, factors) for contest in found]
    return np.sum([np.zeros((len(factors) + 1, 2), dtype=int), *each], axis=0)


def sizes(ladders: Mapping[str, Sequence[Contest]], in_advance: set[str]) -> str:
    """Return the table of the pairs that hold by the ratio of their means."""
    main = ladders[MAIN]
    groups = {f"{MAIN}, known when predicted": [contest for contest in main if contest.data not in in_advance]}
    groups[f"{MAIN}, predicted in advance"] = [contest for contest in main if contest.data in in_advance]
    groups |= {name: own for name, own in ladders.items() if name != MAIN}
    ends = ["1", *(f"{factor:g}" for factor in SIZES)]
    columns = ("ratio of means", *(f"{low} to {high}" for low, high in pairwise(ends)), f"above {ends[-1]}")
    rows = [(name, *(f"{held} of {pairs}" for pairs, held in total(own, SIZES))) for name, own in groups.items() if own]
    return markdown(columns, rows)


def holds(ladders: Iterable[Sequence[Contest]]) -> str:
    """Return the table of the orders of the headlines."""
    columns = (
        "task",
        "steps",
        "methods",
        "tau",
        "tau, other tasks",
        "separated",
        "held",
        "turned over",
        "large",
        "small",
    )
    rows = []
    for contest, all_tasks in ((contest, ladder) for ladder in ladders for contest in ladder):
        if same := contest.order:
            steps, others = f"{contest.short:,} to {contest.long:,}", agreement(contest, all_tasks)
            taus = spread(same.tau, same.drawn), "-" if others is None else f"{others:.2f}"
            small, large = (f"{held} of {pairs}" for pairs, held in total([contest], LARGE))
            rows.append(
                (contest.data, steps, same.methods, *taus, same.decided, same.held, len(same.turned), large, small)
            )
    return markdown(columns, rows)


def numbers(found: Sequence[Number]) -> str:
    """Return the table of the numbers at the shorter budget, as means over tasks."""
    columns = ("number", "tasks", "methods", "with itself", "separated", "held", "with the headline", "headline alone")
    rows = []
    for name, itself, headline, alone in found:
        methods = "-".join(str(n) for n in sorted({min(o.methods for o in itself), max(o.methods for o in itself)}))
        counts = sum(one.decided for one in itself), sum(one.held for one in itself)
        taus = [spread(mean_tau(each), drawn(each)) for each in (itself, headline, alone)]
        rows.append((name, len(itself), methods, taus[0], *counts, *taus[1:]))
    return markdown(columns, rows)


def cheap(found: Sequence[Contest]) -> list[Number]:
    """Return the numbers at the shorter budget that enough methods have."""
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


def scores(registered: Mapping[str, Stated], found: Sequence[Contest]) -> Iterator[str]:
    """Yield the table of the Brier scores of registered predictions, and what their means say."""
    last = {(contest.data, contest.long): contest.last.main for contest in found}
    tasks = list(dict.fromkeys(data for own in registered.values() for data in own.pairs))
    values: dict[str, list[float]] = {name: [] for name in registered}
    rows = []
    for data in tasks:
        parts = registered.items()
        own = {name: brier(one.pairs.get(data, {}), last.get((data, one.long), {})) for name, one in parts}
        rows.append((data, *("not measured" if one is None else f"{one:.3f}" for one in own.values()), f"{TIED:.3f}"))
        for name, one in own.items():
            values[name] += [] if one is None else [one]
    if measured := min(map(len, values.values())):
        rows.append(("mean", *(format_mean(*mean_and_half(each)) for each in values.values()), f"{TIED:.3f}"))
    yield markdown(("task", *registered, "all tied"), rows)
    if measured:
        yield fill(f"Means are over the measured tasks, ± 95 % CI half-width. {' '.join(verdicts(values))}") + "\n"


def verdicts(values: Mapping[str, Sequence[float]]) -> Iterator[str]:
    """Yield which predictors beat 'all tied', and for which of them training on the task beats training elsewhere."""
    rivals = {"'all tied'": [TIED] * len(values["elsewhere"]), "`elsewhere`": values["elsewhere"]}
    for rival, scored in rivals.items():
        apart = {name: compared(own, scored) for name, own in values.items() if f"`{name}`" != rival}
        for word, sign in (("Better", -1), ("Worse", 1)):
            names = [f"`{name}`" for name, found in apart.items() if found == sign]
            yield f"{word} than {rival}: {', '.join(names) or 'none'}."


def compared(one: Sequence[float], other: Sequence[float]) -> int:
    """Return the sign of the mean difference of scores, or 0 if its 95 % interval over tasks contains 0."""
    mean, half = mean_and_half([a - b for a, b in zip(one, other, strict=True)])
    return 0 if half is None or abs(mean) <= half else int(np.sign(mean))
