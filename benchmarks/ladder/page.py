"""The page that says whether short trainings predict long ones, from published records."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, pairwise, product
from pathlib import Path

from benchmarks.ladder.answers import LARGE, MAIN, answer, count, on_others, pairs, within
from benchmarks.ladder.early import NUMBERS, cheap, numbers
from benchmarks.ladder.images import NETWORKS, SAMPLES, network_table, on_a_gpu, sample_table
from benchmarks.ladder.orders import (
    Contest,
    Ladder,
    Planned,
    array,
    complete,
    named,
    order,
    rungs,
    spread,
)
from benchmarks.ladder.predictors import read_predictions
from benchmarks.ladder.scores import REGISTERED, scores
from benchmarks.tables import fill, markdown
from genbench.analysis.track_runs import read_track
from genbench.errors import ConfigError
from genbench.results.reader import RECORDS
from genbench.runs.record import read_published
from genbench.suites import find
from genbench.sweeps.suite import track_rows

LATENTS = "latents-v1"
TRACKS = (MAIN, "transport-v1", "digits-v1", LATENTS)
SIZES = (1.0, 1.25, 1.5, LARGE, 4.0, math.inf)
ORDERS = """\
- *seeds*: the seeds that all compared methods have at the budget. A seed on which a method fails may be left out for
  all; a method that fails on many seeds may be left out instead.
- *methods*: methods that are compared, of those with values at the shorter budget.
- *tau*: Kendall's tau between the means at the two budgets, with a nominal 95 % interval over seeds. In
  simulations, at least about 90 % of the intervals contain the true tau if the spread between methods is twice the
  spread between seeds, and at least about 70 % if the two are equal.
- *separated*: pairs that are separated at the shorter budget (paired t tests, Holm over all pairs of these methods).
- *lasted*: separated pairs whose means have the same order at the longer budget.
- *at the floor*: separated pairs of two methods that are at the [floor](../docs/concepts.md#floor) at the longer
  budget. They are not ordered there; *lasted* counts them by their means.
- *reversed*: separated pairs that are also separated at the longer budget, in the opposite order.
- A budget of a task counts once all its runs have ended. Tracks that are not in the table have fewer than two such
  budgets, or fewer than five methods with two seeds at both.
"""
TERMS = (
    "A track is a list of methods, tasks (data sets) and budgets (numbers of training steps): plane-v1 has points in "
    "2, 8 and 50 dimensions, transport-v1 maps one distribution to another, digits-v1 has images of 8x8 pixels, and "
    "latents-v1 has latents of CIFAR-10. The headline metric of a track ranks its methods; lower is better. NFE is the "
    "number of network evaluations for a sample. Where no NFE is stated, each method uses its own sampler: an ODE "
    "solver, the steps of a few-step model, or the inverse of a normalizing flow. FD is the Fréchet distance between "
    "the features of samples and of real images. Two methods are separated if a paired t test over seeds, with Holm's "
    "correction, tells them apart. `genbench show NAME` explains a method or a metric."
)
LIMITS = """\
## Limits

- Points in up to 50 dimensions, images of 8x8 pixels and small models of CIFAR-10 latents say nothing about what
  happens at scale.
- On points and digits, each method has one small network. Other networks may order the methods differently.
- Each training run takes at most a few hours. Nothing here says whether such runs predict runs of days.
- Methods have default settings on all tracks but latents-v1.
- Pairs are not independent: one method that improves late reverses many pairs. So intervals are over tasks. With few
  tasks that share methods, they are rough.
- What counts as large depends on the metric: a factor of two in sliced W2 is a factor of four in its square. FD is a
  squared distance.
- Means near the floor are almost equal. Their order at the longer budget is partly chance.
- Tasks share networks and recipes, which favors `elsewhere`.
"""
ABOUT_LATENTS = """\
## Latents of images

The track [latents-v1](../genbench/suites/latents-v1.toml) asks the same question about CIFAR-10 latents, with the FD of
5,000 samples as its headline metric. FD is also measured with 1, 2, 4 and 8 NFE, except for normalizing flows.

- Each of its three budgets needs separate training runs, because the learning rate decays to zero at the last step.
- Learning rates were tried with 3,000 steps, for CFM, STARFlow and MeanFlow. 4e-3, the largest that was tried, was
  best for CFM with both networks and for STARFlow. Tuning at the shortest budget favors methods that learn fast.
- CFM, OT-CFM and the three versions of W-CFM form 20 pairs with the four other methods. From 3,000 to 9,000 steps, the
  order of all 20 lasts, but only 11 of the 16 other orders do. 14 of the 15 separated pairs are among the 20.
- Samples have a higher density and precision than real images, which indicates blur. For these two metrics, higher is
  not better, so their orders are not compared.
- SD-CFM is left out. Its potentials for 1,531 latents take 4 million draws, and their cost grows with the square of the
  number of latents: for all 98,000, mirrored ones included, more than 80 core hours.
"""
CAPTION = (
    "*Mean of the headline metric at the shortest and the longest budget of a task, on a logarithmic axis; lower is "
    "better. Red or orange: methods whose order is reversed, in pairs that are separated at both budgets.*"
)


def read_ladders(results: Path) -> dict[str, Ladder]:
    """Return {track: ladder} of the published records."""
    return {track: read_ladder(results, track) for track in TRACKS}


def read_ladder(results: Path, track: str) -> Ladder:
    """Return the ladder of the published records of a track.

    Raises:
        ConfigError: if the track has no records, or no suite file.
    """
    return rungs(read_published(results / track / RECORDS), planned(track))


def planned(track: str) -> Planned:
    """Return the trainings of a track."""
    suite, _ = read_track(find(track))
    found: dict[tuple[str, int], dict[str, Collection[int]]] = {}
    for row, budget in product(track_rows(suite), suite.budgets):
        length = row.model.at(budget)
        if length is not None and (steps := length["plan"]["steps"]):
            found.setdefault((named(row.dataset), steps), {})[row.label] = budget.seeds
    return found


def orders(ladder: Ladder) -> list[Contest]:
    """Return each data set at each two finished budgets where enough methods have the same seeds."""
    return [
        Contest(data, short, long, own[short], own[long], found)
        for data, own in ladder.items()
        for short, long in combinations(sorted(steps for steps, rung in own.items() if not rung.unfinished), 2)
        if (found := order(own[short].main, own[long].main, own[long].floor))
    ]


def contests(ladder: Ladder) -> list[Contest]:
    """Return the data sets at the shortest finished budget and at the ladder's longest budget that has an order."""
    every = orders(ladder)
    shortest = {data: min(one.short for one in every if one.data == data) for data in {one.data for one in every}}
    found = [one for one in every if one.short == shortest[one.data]]
    longest = max((one.long for one in found), default=0)
    return [one for one in found if one.long == longest]


def wider(ladder: Ladder) -> list[Contest]:
    """Return the contests, each after the orders of its data set from the same budget that compare more methods.

    Methods that train at short budgets only would leave the tables once the longest budget is finished.
    """
    every = orders(ladder)
    return [
        one
        for last in contests(ladder)
        for one in every
        if (one.data, one.short) == (last.data, last.short)
        if one.long == last.long or one.order.methods > last.order.methods
    ]


def page(results: Path) -> str:
    """Return the page in Markdown.

    Raises:
        ConfigError: if trainings of the track that the answers are about have not ended.
    """
    every = read_ladders(results)
    by_track = {name: orders(ladder) for name, ladder in every.items()}
    ladders = {name: own for name, ladder in every.items() if (own := contests(ladder))}
    shown = {name: wider(every[name]) for name in ladders}
    if MAIN not in ladders:
        lacking = [name for own in every[MAIN].values() for rung in own.values() for name in rung.unfinished]
        raise ConfigError(f"{MAIN}: no two budgets can be compared; trainings have not ended: {', '.join(lacking)}")
    predicted: dict[str, set[str]] = {}
    for own in read_predictions(results / MAIN).values():
        for (data, _), pairs_of_task in own.pairs.items():
            predicted.setdefault(data, set()).update(*pairs_of_task)
    parts = [
        "# Does a short training predict a long one?\n",
        "`make ladder` makes this page from the published records.\n",
        fill(TERMS) + "\n",
        *answer(ladders[MAIN], predicted),
        fill(f"The answers above are about {MAIN}. {' '.join(on_others(by_track))}") + "\n",
        *samples(results),
        "## Does the order last?\n",
        "![Each method at its shortest and longest budget](../docs/images/slopes.svg)\n",
        fill(CAPTION) + "\n",
        holds(by_track.values()),
        ORDERS,
        "## How large must a difference be?\n",
        "All pairs, predicted or not: how many keep their order, by the ratio of their means at the shortest budget.\n",
        sizes(shown.values()),
        "## Which early metric predicts the headline metric?\n",
        *(line for name, own in shown.items() for line in early(name, own)),
        NUMBERS,
        "## Registered predictions\n",
        *registered(results, ladders),
        LIMITS,
        ABOUT_LATENTS,
        *latents(every[LATENTS]),
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


def early(name: str, found: Sequence[Contest]) -> Iterator[str]:
    """Yield a table of the metrics of a track for its contests."""
    for short, long in dict.fromkeys((one.short, one.long) for one in found):
        yield f"On {name}, {short:,} to {long:,} steps:\n"
        yield numbers(cheap([one for one in found if (one.short, one.long) == (short, long)]))


def samples(results: Path) -> Iterator[str]:
    """Yield the samples of the tracks of images."""
    found = [sample_table(results / track, read_published(results / track / RECORDS)) for track in TRACKS]
    if any(found):
        yield "## Samples\n"
        yield SAMPLES
    yield from filter(None, found)


def latents(ladder: Ladder) -> Iterator[str]:
    """Yield the same methods with two networks, after each finished budget."""
    for own in ladder.values():
        for steps, rung in own.items():
            if not rung.unfinished and (table := network_table(rung)):
                yield f"Two networks, after {steps:,} steps:\n"
                yield table
                yield NETWORKS


def sizes(ladders: Iterable[Sequence[Contest]]) -> str:
    """Return the table of the pairs whose order lasts, by the ratio of their means."""
    ends = [*pairwise(SIZES)]
    columns = ("ratio of means", "steps", *(f"{low:g} to {high:g}" for low, high in ends[:-1]), f"above {SIZES[-2]:g}")
    rows = []
    for own in (contest for ladder in ladders for contest in ladder):
        every = pairs([own])
        rows.append((named(own.data), f"{own.short:,} to {own.long:,}", *(count(within(every, *end)) for end in ends)))
    return markdown(columns, rows)


def holds(ladders: Iterable[Sequence[Contest]]) -> str:
    """Return the table of the orders of the headline metrics."""
    columns = ("task", "steps", "seeds", "methods", "tau", "separated", "lasted", "at the floor", "reversed")
    rows = []
    for data, short, long, first, last, same in (contest for ladder in ladders for contest in ladder):
        seeds = " and ".join(str(array(values).shape[1]) for values in complete(first.main, last.main))
        steps, methods = f"{short:,} to {long:,}", f"{same.methods} of {len(first.main)}"
        pairs_of = same.decided, same.held, same.level, len(same.turned)
        rows.append((named(data), steps, seeds, methods, spread(same), *pairs_of))
    return markdown(columns, rows)
