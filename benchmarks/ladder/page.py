"""The page that says whether short trainings predict long ones, from published records."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np

from benchmarks.ladder.early import NUMBERS, ahead, cheap, numbers, of_numbers
from benchmarks.ladder.images import network_table, on_a_gpu, sample_table
from benchmarks.ladder.orders import (
    Contest,
    Ladder,
    Margin,
    array,
    complete,
    interval,
    margins,
    means_drawn,
    order,
    rungs,
    spread,
    tau,
)
from benchmarks.ladder.predictors import read_predictions
from benchmarks.ladder.scores import NOTICED, REGISTERED, scores
from benchmarks.tables import fill, markdown
from genbench.analysis.labels import counted, listed
from genbench.results.reader import RECORDS
from genbench.runs.record import read_published
from genbench.runs.record_types import Record

MAIN, TRANSPORT, _, LATENTS = TRACKS = ("plane-v1", "transport-v1", "digits-v1", "latents-v1")
LARGE = 2.0
"""Ratio of means from which a difference is large."""
SIZES = (1.0, 1.25, 1.5, LARGE, 4.0, math.inf)
SURE, CLOSE = 0.9, 0.75
"""Least share of large differences that last if these predict; largest share of small ones if those do not.

These and LARGE were chosen on tasks of `NOTICED`, before values of other tasks at the longer budget were read.
"""
ORDERS = """\
- *methods*: methods with all seeds at both budgets. A method that fails or is not trained at a budget is left out.
- *tau*: Kendall's tau between the means at the two budgets, with a nominal 95 % interval over seeds. In simulations,
  the interval covers the true tau in at least 92 % of cases if the spread between methods is four times the spread
  between seeds. If the spreads are equal, the interval is too low: it covers a tau near 1 in as few as 29 % of cases.
- *separated*: pairs that are separated at the shorter budget (paired t tests, Holm over all pairs of these methods).
- *lasted*: separated pairs whose means have the same order at the longer budget.
- *reversed*: separated pairs that are also separated at the longer budget, in the opposite order.
- On tracks that are not in the table, fewer than five methods have two seeds at two budgets.
"""
LIMITS = """\
## Limits

- Points in up to 50 dimensions and images of 8x8 pixels say nothing about what happens at scale.
- On points and digits, each method has one small network. Other networks may order the methods differently.
- Each training takes at most a few hours. Nothing here says whether such trainings predict trainings of days.
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
5,000 samples as its headline metric. FD is also measured with 1, 2, 4 and 8 NFE.

- Each of its three budgets needs a separate training, because the learning rate decays to zero at the last step.
- `held` and `ratio` are fitted to the first two budgets and predict FD at the third: with each model's own sampler,
  and at each NFE. `elsewhere` needs a second data set. The files `predictions_*.toml` must be committed before the
  third training starts.
- Short trainings predict nothing there if no predictor has a Brier score below 0.25 for FD with the own sampler. The
  scores at an NFE do not decide: with more scores, one is more often below 0.25 by chance.
- Methods that are not trained at the third budget are predicted, but not scored.
- SD-CFM is left out. Its potentials for 1,531 latents take 4 million draws, and their cost grows with the square of the
  number of latents: for all 98,000, mirrored ones included, more than 80 core hours.
"""
UNTRAINED = "Its models are not trained yet.\n"
UNCOMPARED = "Fewer than five of its methods have two seeds at two budgets: nothing is compared yet.\n"
CAPTION = (
    "*Mean of the headline metric at the two budgets of a task, on a logarithmic axis; lower is better. Red or orange: "
    "methods of pairs that are separated at both budgets, with the order reversed.*"
)


def read_ladders(results: Path) -> dict[str, Ladder]:
    """Return {track: ladder} of the published records."""
    return {track: rungs(read_published(results / track / RECORDS)) for track in TRACKS}


def orders(ladder: Ladder) -> list[Contest]:
    """Return each data set at each two budgets where enough methods have all seeds."""
    return [
        Contest(data, short, long, own[short], own[long], found)
        for data, own in ladder.items()
        for short, long in combinations(sorted(own), 2)
        if (found := order(own[short].main, own[long].main))
    ]


def contests(ladder: Ladder) -> list[Contest]:
    """Return the data sets at their shortest budget and at the ladder's longest budget that has an order."""
    found = [one for one in orders(ladder) if one.short == min(ladder[one.data])]
    longest = max((one.long for one in found), default=0)
    return [one for one in found if one.long == longest]


def page(results: Path) -> str:
    """Return the page in Markdown."""
    every = read_ladders(results)
    ladders = {name: own for name, ladder in every.items() if (own := contests(ladder))}
    latents = read_published(results / LATENTS / RECORDS)
    parts = [
        "# Does a short training predict a long one?\n",
        "Does the order of methods after a short training predict their order after a training several times as long?",
        "`make ladder` makes this page from the published records.\n",
        *(fill(paragraph) + "\n" for paragraph in answer(ladders[MAIN])),
        fill(f"These answers are about {MAIN}. {' '.join(on_others(ladders))}") + "\n",
        "![Each method at both budgets](../docs/images/slopes.svg)\n",
        fill(CAPTION) + "\n",
        "## Does the order last?\n",
        holds([orders(ladder) for ladder in every.values()]),
        ORDERS,
        "## How large must a difference be?\n",
        "Pairs whose order lasts, by the ratio of their means after the shorter training:\n",
        sizes(ladders.values()),
        "## Which early metric predicts the headline metric?\n",
        *(line for name, own in ladders.items() for line in early(name, own)),
        NUMBERS,
        "## Registered predictions\n",
        *registered(results, ladders),
        LIMITS,
        IMAGES,
        *images(results / LATENTS, latents),
        "## On a GPU\n",
        fill(on_a_gpu()) + "\n",
    ]
    return "\n".join(parts)


def registered(results: Path, ladders: Mapping[str, Sequence[Contest]]) -> Iterator[str]:
    """Yield what was predicted on each track with two budgets, and the scores."""
    for name, text in REGISTERED.items():
        if name in ladders:
            yield text
            yield from scores(read_predictions(results / name), ladders[name])


def early(name: str, own: Sequence[Contest]) -> Iterator[str]:
    """Yield the table of the metrics of a track, and what it says where the answers do not say it."""
    if name != TRANSPORT:
        found = cheap(own)
        yield f"On {name}:\n"
        yield numbers(found)
        if name != MAIN:
            yield fill(f"{ahead(found)} the headline metric better than the headline metric itself does.") + "\n"


def images(folder: Path, records: Sequence[Record]) -> Iterator[str]:
    """Yield what is known about images: samples, and the same methods with two networks."""
    ladder = rungs(records)
    found = contests(ladder)
    if not found:
        yield UNCOMPARED if ladder else UNTRAINED
    yield from sample_table(folder, records)
    for own in ladder.values():
        for rung in own.values():
            yield from network_table(rung)
    if registered := read_predictions(folder):
        yield "Brier scores of the predictions that were committed before the third training started:\n"
        yield from scores(registered, found)


def answer(main: Sequence[Contest]) -> Iterator[str]:
    """Yield the answers and what would refute them."""
    yield of_differences(main)
    if others := [elsewhere(contest, other) for contest in main for other in main if contest.data != other.data]:
        own, there = np.mean([taus for taus, _ in others], axis=0)
        low, high = interval(np.mean([draws for _, draws in others], axis=0))
        more = "predicts more" if low > 0 else "is not shown to predict more"
        refuted = "includes 0 or lies below it" if low > 0 else "lies above 0"
        yield (
            f"**A long training on another task {more} than a short training on the task itself.** Kendall's tau with "
            f"the order after the long training is {own:.2f} for the short training and {there:.2f} for the other "
            f"task, averaged over {counted(len(others) // 2, 'pair')} of tasks. Over seeds, the 95 % interval of the "
            f"difference (other task minus short training) is {low:.3f} to {high:.3f}. More tasks or seeds refute this "
            f"answer if the interval then {refuted}. Training on the other task saves no time: it takes as many steps."
        )
    yield of_numbers(cheap(main))
    yield expected([contest for contest in main if contest.data not in NOTICED])


def expected(told: Sequence[Contest]) -> str:
    """Return what was expected of large and small differences, and whether the tasks measured later agree."""
    large, small = pairs(told, LARGE), pairs(told, 1.0, LARGE)
    stated = (
        f"After the values on {' and '.join(NOTICED)} were known, two things were expected of other tasks: at least "
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


def on_others(ladders: Mapping[str, Sequence[Contest]]) -> Iterator[str]:
    """Yield how many large and small differences last on each track that the answers do not use."""
    for track, found in ladders.items():
        if track != MAIN:
            large, small = (count(pairs(found, *size)) for size in ((LARGE,), (1.0, LARGE)))
            yield f"On {track}, {large} large and {small} small differences last."
            fewest = min(found, key=lambda contest: share(pairs([contest], LARGE)))
            if len(found) > 1:
                yield f"Large differences last least often on {fewest.data}: {count(pairs([fewest], LARGE))}."


def of_differences(main: Sequence[Contest]) -> str:
    """Return whether large and small differences last; tasks measured later than `NOTICED` decide alone."""
    told = [contest for contest in main if contest.data not in NOTICED]
    known = [contest for contest in main if contest.data in NOTICED]
    large, small = pairs(told or known, LARGE), pairs(told or known, 1.0, LARGE)
    bold = "Not even large differences last"
    if share(large) >= SURE:
        rest = "and so do most small ones" if share(small) > CLOSE else "small ones often do not"
        bold = f"Large differences last, {rest}"
    large = pairs(main, LARGE)
    often = [name for name, _ in Counter(name for margin in large for name in margin.pair).most_common(2)]
    involved = sum(not {*often}.isdisjoint(margin.pair) for margin in large)
    noticed = f"This was noticed on {lasting(known)} differences last. " if known else ""
    untested = "No other task is measured yet"
    tested = f"The test is on {lasting(told)} differences last" if told else untested
    return (
        f"**{bold}.** A difference between two methods of {MAIN} is large if their means differ by at least a factor "
        "of two after the shorter training. A difference lasts if the means have the same order after the longer "
        "training. "
        f"{noticed}{tested}. By chance, half of all differences last. "
        f"Among the {len(large)} large differences, {involved} involve {' or '.join(often)}."
    )


def lasting(found: Sequence[Contest]) -> str:
    """Return how many large and small differences last on tasks."""
    names = listed(contest.data for contest in found)
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
