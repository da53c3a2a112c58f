"""The page that says whether short trainings predict long ones, from published records."""

import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from statistics import fmean

import numpy as np

from benchmarks.ladder.early import NUMBERS, cheap, numbers, of_numbers
from benchmarks.ladder.images import network_table, on_a_gpu, sample_table
from benchmarks.ladder.orders import (
    Contest,
    Ladder,
    Margin,
    array,
    complete,
    margins,
    mean_of,
    named,
    order,
    rungs,
    spread,
    tau,
)
from benchmarks.ladder.predictors import read_predictions
from benchmarks.ladder.scores import NOTICED, REGISTERED, scores
from benchmarks.tables import fill, markdown
from genbench.analysis.labels import counted, listed
from genbench.analysis.means import format_mean, mean_and_half
from genbench.analysis.significance import paired
from genbench.analysis.track_runs import read_track
from genbench.results.reader import RECORDS
from genbench.runs.record import read_published
from genbench.runs.record_types import Record
from genbench.suites import find

MAIN, TRANSPORT, _, LATENTS = TRACKS = ("plane-v1", "transport-v1", "digits-v1", "latents-v1")
LARGE = 2.0
"""Ratio of means from which a difference is large."""
SIZES = (1.0, 1.25, 1.5, LARGE, 4.0, math.inf)
SURE, CLOSE = 0.9, 0.75
"""Least share of large differences and largest share of small ones that were expected to last.

These and LARGE were chosen on tasks of `NOTICED`, before values of other tasks at the longer budget were read.
"""
ORDERS = """\
- *seeds*: the seeds that all compared methods have at the budget. A seed on which TARFlow fails is left out for all.
- *methods*: methods that are compared, of those with values at the shorter budget.
- *tau*: Kendall's tau between the means at the two budgets, with a 95 % interval over seeds. In simulations, about 90 %
  of the intervals or more hold the true tau if methods differ twice as much as seeds. If methods differ as much as
  seeds, about 70 % or more do.
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
- Methods have default settings on all tracks but latents-v1.
- Pairs are not independent: one method that improves late reverses many pairs. So intervals are over tasks. With few
  tasks that share methods, they are rough.
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
- Learning rates were tried with 3,000 steps, for three methods: 4e-3, the largest that was tried, was best for CFM and
  STARFlow. This favors what learns fast.
- `held` and `ratio` are fitted to the first two budgets and predict FD at the third: with each model's own sampler,
  and at each NFE. `elsewhere` needs a second data set. The files `predictions_*.toml` are to be committed before the
  third training starts. As for digits-v1, only FD with each model's own sampler decides.
- Samples have a higher density and precision than real images, which indicates blur. For these two metrics, higher is
  not better.
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
    """Return the data sets at the shortest budget and at the ladder's longest budget that has an order."""
    found = [one for one in orders(ladder) if one.short == min(ladder[one.data])]
    longest = max((one.long for one in found), default=0)
    return [one for one in found if one.long == longest]


def page(results: Path) -> str:
    """Return the page in Markdown."""
    every = read_ladders(results)
    ladders = {name: own for name, ladder in every.items() if (own := contests(ladder))}
    predicted = {data for own in read_predictions(results / MAIN).values() for data, _ in own.pairs}
    latents = read_published(results / LATENTS / RECORDS)
    parts = [
        "# Does a short training predict a long one?\n",
        "`make ladder` makes this page from the published records.\n",
        *(fill(paragraph) + "\n" for paragraph in answer(ladders[MAIN], predicted)),
        fill(f"These answers are about {MAIN}. {' '.join(on_others(ladders))}") + "\n",
        "![Each method at both budgets](../docs/images/slopes.svg)\n",
        fill(CAPTION) + "\n",
        "## Does the order last?\n",
        holds([orders(ladder) for ladder in every.values()]),
        ORDERS,
        "## How large must a difference be?\n",
        "Pairs whose order lasts, by the ratio of their means at the shortest budget:\n",
        sizes(ladders.values()),
        "## Which early metric predicts the headline metric?\n",
        *(line for name, ladder in every.items() for line in early(name, ladder)),
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
            yield from scores(read_predictions(results / name), ladders[name], planned(name))


def early(name: str, ladder: Ladder) -> Iterator[str]:
    """Yield a table of the metrics of a track for each two budgets."""
    every = orders(ladder)
    for short, long in dict.fromkeys((one.short, one.long) for one in every):
        yield f"On {name}, {short:,} to {long:,} steps:\n"
        yield numbers(cheap([one for one in every if (one.short, one.long) == (short, long)]))


def planned(track: str) -> dict[int, int]:
    """Return the number of seeds of each budget of a track."""
    suite, _ = read_track(find(track))
    return {budget.steps: len(budget.seeds) for budget in suite.budgets}


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
        yield "Scores of the registered predictions, as for digits-v1:\n"
        yield from scores(registered, found, planned(LATENTS))


def answer(main: Sequence[Contest], predicted: Container[str]) -> Iterator[str]:
    """Yield the answers and what would refute them.

    Args:
        predicted: tasks whose order was predicted; tasks that were known before do not test what was noticed on them.
    """
    told = [contest for contest in main if contest.data in predicted]
    yield of_differences(told, main)
    if len(main) > 1:
        yield of_other_tasks(main)
    budgets = f"{main[0].short:,} to {main[0].long:,} steps"
    yield of_numbers(cheap(main), main[0].first.headline, budgets)
    yield expected(told)


def of_differences(told: Sequence[Contest], main: Sequence[Contest]) -> str:
    """Return how many differences last, and how many of them the other tasks of the track order rightly."""
    if not told:
        return "**No task that was predicted is measured yet.**"
    short, long = f"{told[0].short:,} steps", f"{told[0].long:,} steps"
    large, small = sized(told)
    apart, close = ([margin for margin in small if margin.separated is told_apart] for told_apart in (True, False))
    of_large, of_small = (sum(foretold(own, main, *size) for own in told) for size in ((LARGE,), (1.0, LARGE)))
    return (
        f"**{count(large)} large and {count(small)} small differences last.** A difference between two methods of "
        f"{MAIN} is large if their means differ by at least a factor of two after {short}. It lasts if the means have "
        f"the same order after {long}. The counts cover the tasks whose order was predicted in advance: "
        f"{listed(contest.data for contest in told)}. Of the small differences that are separated after {short}, "
        f"{count(apart)} last. Of the other small ones, {count(close)} last. The order on most of the other tasks "
        f"after {long} is right for {of_large:g} of the {len(large)} large and {of_small:g} of the {len(small)} small "
        "differences."
    )


def foretold(contest: Contest, main: Sequence[Contest], low: float, high: float = math.inf) -> float:
    """Return how many differences of a task the majority of the other tasks orders rightly; a tie counts as half."""
    right = 0.0
    for (ahead, behind), _, held, _ in pairs([contest], low, high):
        others = [other.last.main for other in main if other.data != contest.data]
        votes = [mean_of(own[ahead]) < mean_of(own[behind]) for own in others if own.keys() >= {ahead, behind}]
        right += 0.5 if 2 * sum(votes) == len(votes) else (2 * sum(votes) > len(votes)) == held
    return right


def of_other_tasks(main: Sequence[Contest]) -> str:
    """Return whether long trainings on other tasks predict an order better than a short training on the task."""
    found = [elsewhere(contest, main) for contest in main]
    own, there = (dict(enumerate(taus)) for taus in zip(*found, strict=True))
    gain = paired(there, own)
    bold = "It is undecided which predicts better: a short training on the task, or long trainings on other tasks"
    if gain.low is not None and gain.high is not None and gain.low * gain.high > 0:
        names = ["long trainings on other tasks", "a short training on the task itself"][:: 1 if gain.low > 0 else -1]
        bold = f"{names[0].capitalize()} predict{'s' * (gain.high < 0)} better than {names[1]}"
    half = None if gain.high is None else gain.high - gain.mean
    return (
        f"**{bold}.** Kendall's tau with the order after the long training is {fmean(own.values()):.2f} for the short "
        f"training. For the mean rank on the other tasks it is {fmean(there.values()):.2f}, which is more by "
        f"{format_mean(gain.mean, half)} (nominal 95 % CI half-width over {gain.pairs} tasks). This comparison was "
        "chosen after the values were known. A reader of published results already has the other tasks."
    )


def elsewhere(contest: Contest, main: Sequence[Contest]) -> tuple[float, float]:
    """Return tau with the order at the longer budget, of the shorter one and of the mean rank on the other tasks."""
    others = [other.last.main for other in main if other.data != contest.data]
    one, last = complete(contest.first.main, contest.last.main)
    names = [name for name in one if all(name in own for own in others)]
    short, long, *rest = (np.array([mean_of(own[name]) for name in names]) for own in (one, last, *others))
    ranks = np.mean([np.argsort(np.argsort(means)) for means in rest], axis=0)
    return float(tau(short, long)), float(tau(ranks, long))


def expected(told: Sequence[Contest]) -> str:
    """Return what was expected of large and small differences, and whether the tasks that were predicted agree."""
    names = " and ".join(NOTICED)
    stated = (
        f"After the values on {names} were known, an answer was registered: on tasks that are predicted in advance, at "
        f"least {100 * SURE:g} % of the large differences last and at most {100 * CLOSE:g} % of the small ones. The "
        "answer is refuted if either share fails. "
    )
    if not told:
        return f"{stated}It is not tested yet."
    shares, refuted = [share(own) for own in sized(told)], is_refuted(told)
    methods = dict.fromkeys(name for margin in pairs(told, 1.0) for name in margin.pair)
    deciding = [f"`{name}`" for name in methods if is_refuted(told, name) != refuted]
    fragile = f"Without {listed(deciding, 'or')} alone, it would {'not ' if refuted else ''}be. " if deciding else ""
    halves = [mean_and_half([100 * share(own) for one in told if (own := sized([one])[size])]) for size in (0, 1)]
    over = " and ".join(f"{format_mean(*each)} %" for each in halves)
    return (
        f"{stated}It is {'' if refuted else 'not '}refuted: {100 * shares[0]:.1f} % of the large and "
        f"{100 * shares[1]:.1f} % of the small differences last. {fragile}Means over {counted(len(told), 'task')} are "
        f"{over} (± 95 % CI half-width)."
    )


def sized(told: Sequence[Contest], without: str = "") -> tuple[list[Margin], list[Margin]]:
    """Return the large and the small differences of tasks. Differences of the method `without` do not count."""
    large, small = (
        [margin for margin in pairs(told, *size) if without not in margin.pair] for size in ((LARGE,), (1.0, LARGE))
    )
    return large, small


def is_refuted(told: Sequence[Contest], without: str = "") -> bool:
    """Return whether the pairs of all tasks refute the registered answer; those of `without` do not count."""
    large, small = sized(told, without)
    return share(large) < SURE or share(small) > CLOSE


def on_others(ladders: Mapping[str, Sequence[Contest]]) -> Iterator[str]:
    """Yield how many large and small differences last on each track that the answers do not use."""
    for track, found in ladders.items():
        if track != MAIN:
            large, small = map(count, sized(found))
            budgets = f"{found[0].short:,} to {found[0].long:,} steps"
            yield f"On {track} ({budgets}), {large} large and {small} small differences last."
            if len(found) > 1:
                right = [sum(foretold(own, found, *size) for own in found) for size in ((LARGE,), (1.0, LARGE))]
                yield f"The order on most of its other tasks is right for {right[0]:g} and {right[1]:g}."


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


def sizes(ladders: Iterable[Sequence[Contest]]) -> str:
    """Return the table of the pairs whose order lasts, by the ratio of their means."""
    ends = [*pairwise(SIZES)]
    columns = ("ratio of means", "steps", *(f"{low:g} to {high:g}" for low, high in ends[:-1]), f"above {SIZES[-2]:g}")
    rows = []
    for own in (contest for ladder in ladders for contest in ladder):
        budgets = f"{own.short:,} to {own.long:,}"
        rows.append((named(own.data), budgets, *(count(pairs([own], *end)) for end in ends)))
    return markdown(columns, rows)


def holds(ladders: Iterable[Sequence[Contest]]) -> str:
    """Return the table of the orders of the headline metrics."""
    columns = ("task", "steps", "seeds", "methods", "tau", "separated", "lasted", "reversed")
    rows = []
    for data, short, long, first, last, same in (contest for ladder in ladders for contest in ladder):
        seeds = " and ".join(str(array(values).shape[1]) for values in complete(first.main, last.main))
        steps, methods = f"{short:,} to {long:,}", f"{same.methods} of {len(first.main)}"
        rows.append((named(data), steps, seeds, methods, spread(same), same.decided, same.held, len(same.turned)))
    return markdown(columns, rows)
