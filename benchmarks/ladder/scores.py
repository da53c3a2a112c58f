"""Scores of the predictions that were registered before the longer training, as a part of the page."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from benchmarks.ladder.images import names_of
from benchmarks.ladder.orders import Contest, Values, array, by_length, complete, named
from benchmarks.ladder.predictors import COIN, Pairs, Stated, scored
from benchmarks.tables import fill, markdown
from genbench.analysis.labels import listed
from genbench.analysis.means import format_mean, mean_and_half
from genbench.analysis.significance import LEVEL, compare_all

NOTICED = ("checkerboard", "moons")
"""Tasks whose values at both budgets were known before anything was predicted or expected of other tasks."""
REGISTERED = {
    "plane-v1": f"""\
The predictions for four tasks were committed on 2026-11-29 (1a98cdc7 to b98e5591), those for spirals on 2026-11-30
(0ca05e5d), before any value on that task at 20,000 steps was read ([files](../genbench/suites/plane-v1)). By then,
some methods had finished training on the four tasks, and cfm had begun on spirals. *Known tasks* had values at both
budgets: {" and ".join(NOTICED)} for the first four predicted tasks, all others for spirals.

The Brier score is the mean squared error of the probabilities over the pairs of methods: lower is better, and
the probability 1/2 for each pair scores 0.25. *pairs*: how many of the predicted pairs are scored. *common
seeds*: those that all scored methods have at the longer budget. A seed on which one of them failed is left out.

- `seeds` starts from the order at 2,000 steps. It assumes that each true order lasts, and that all methods have the
  same variance. The records contradict the second assumption, so `seeds` was dropped before spirals were predicted.
- `held` starts from the order at 2,000 steps. It assumes that a true order lasts as often as the separated pairs of
  the known tasks did. For spirals, this share has Laplace's correction: one more pair lasts, and one more does not. A
  second version replaced the first one after three minutes.
- `ratio` starts from the order at 2,000 steps. It assumes that the order lasts more often for larger ratios of the
  means, at a rate that is fitted to the known tasks.
- `elsewhere` starts from the order on the known tasks at 20,000 steps, without any training on the task itself. Two
  known tasks allow only the probabilities 0.25, 0.5 and 0.75, so its score is at least 0.0625 there. It was registered
  as the bar that a short run has to pass.

The tasks behind the means have changed twice, both times when the scores were known. At first (2026-11-30, 3b1903c1),
each predictor's mean covered all tasks that it predicts, and `elsewhere` was first. From 49f7dd79, later that day, to
2026-12-02, means covered the four tasks that `seeds` predicts: `elsewhere` was last (0.142), and all four predictors
were better than the probability 1/2.
""",
    "transport-v1": """\
On transport-v1, the known tasks were 8gaussians-moons and tori. The predictions for the two other tasks were committed
on 2026-11-30 (99e3e919), before any of their values at 20,000 steps was read
([files](../genbench/suites/transport-v1)). By then, some methods had finished training on moons-8gaussians. Two
tasks are too few for a test.
""",
    "digits-v1": """\
On digits-v1, `held` and `ratio` are fitted to the orders at 200 and 800 steps, and predict the order at 4,000 steps.
The predictions were committed on 2026-11-30 (2d6dd7f3), before any model of this track had trained for 4,000 steps
([files](../genbench/suites/digits-v1)): the records of these runs name that commit or a later one. Runs of five
methods for 4,000 steps with the same or similar settings were known ([digits-long](digits-long/table.md)), but the
predictors do not read them.

*p* is estimated from 9,999 random orders of the methods and the real one: it is the share with the score of the real
order, or a lower one. The rule was registered with the predictions: a predictor is better than chance if p is below
0.025 for FD with the own sampler (5 %, Bonferroni over two predictors). Chance is a low bar: the test says that short
runs predict something, not how much. The test was made once, after all runs had ended.
""",
    "latents-v1": """\
On latents-v1, `held` and `ratio` are fitted to the orders at 3,000 and 9,000 steps, and predict the order at 27,000
steps. With the own samplers, they are fitted to nine methods and predict the six that are trained for 27,000 steps; at
an NFE, they are fitted to six and predict five. Both use Laplace's rule: unlike on the other tracks, `ratio` adds one
pair whose order lasts and one whose order does not. *not predicted*: no pair was separated at this NFE after 3,000
steps, so `held` cannot be fitted. `elsewhere` needs a second data set.

The predictions were committed on 2026-12-01 (b76f0595), before any model of this track had trained for 27,000 steps
([files](../genbench/suites/latents-v1)): the records of these runs name that commit or a later one. All values after
3,000 and 9,000 steps were known.

*p* is computed from all orders of the methods in a row, 720 with the own samplers and 120 at an NFE: it is the share
whose score is equal to the real order's, or lower. The rule was registered with the predictions: a predictor is better
than chance if p is below 0.025 for FD with the own sampler (5 %, Bonferroni over two predictors). Chance is a low bar,
as on digits-v1. Until 2026-11-30, this page had another one: a short run predicts nothing if no Brier score for FD
with the own sampler is below 0.25. The test was made once, after the runs of all three seeds had ended. None of them
failed.
""",
}
"""{track: what was registered}."""
FEWEST = 3
"""Minimum number of tasks for a mean with an interval and for a test."""
LISTED = 50_000
"""Up to this number of orders, a p value counts each of them; eight methods have 40,320."""
DRAWN = 9999
"""Number of random orders behind a p value if there are more."""
NOT_TESTED = "nothing is tested, because too few seeds have all predicted methods"


def scores(registered: Mapping[str, Stated], found: Sequence[Contest]) -> Iterator[str]:
    """Yield the table of the Brier scores of registered predictions, and what follows from them.

    Means and tests are over all tasks of one metric, because all metrics of a task are measured on the same models.
    They need predictors with a score on each task. One task has p values instead, and its first metric decides.
    """
    last = {(contest.data, contest.long): contest.last.numbers for contest in found}
    metrics = {metric for own in registered.values() for _, metric in own.pairs}
    rows: list[tuple[str, ...]] = []
    said: list[str] = []
    for metric in sorted(metrics, key=by_length):
        values: dict[str, dict[int, float]] = {name: {} for name in registered}
        at = f", {metric}" if len(metrics) > 1 else ""
        tasks = [*dict.fromkeys(task for own in registered.values() for task in own.pairs if task[1] == metric)]
        for number, task in enumerate(tasks):
            predicted = {name: own.pairs[task] for name, own in registered.items() if task in own.pairs}
            measured = {name: last.get((task[0], registered[name].long), {}).get(metric, {}) for name in predicted}
            score = score_of(predicted, measured)
            for name, own in score.items():
                values[name][number] = own.brier
            pairs = shared_by(predicted)
            tested = len(tasks) == 1 and all(own.pairs.keys() == pairs for own in score.values())
            missing = {name: "not scored" if name in predicted else "not predicted" for name in registered}
            cells = [told(score[name], tested) if name in score else missing[name] for name in registered]
            rows.append((f"{named(task[0])}{at}", *of_pairs(predicted, score), *cells))
            if len(tasks) == 1 and metric == min(metrics, key=by_length):
                said += [met_by(name, own, LEVEL / len(registered)) for name, own in predicted.items()]
                better = [f"`{name}`" for name, own in score.items() if own.p() < LEVEL / len(registered)]
                verdict = f"better than chance: {', '.join(better) or 'none'}" if tested else NOT_TESTED
                said += [f"By the registered rule, on {metric}: {verdict}."] if score else []
        whole = {name: own for name, own in values.items() if len(own) == len(tasks)}
        if len(tasks) >= FEWEST and whole:
            means = (format_mean(*mean_and_half(own.values())) if name in whole else "" for name, own in values.items())
            rows.append((f"mean of {len(tasks)} tasks{at}", "", "", *means))
            names = listed(f"`{name}`" for name in whole)
            said.append(f"The tests compare {names} on the {len(tasks)} tasks. {' '.join(verdicts(whole))}")
    yield markdown(("task", "pairs", "common seeds", *registered), rows)
    yield from (fill(one) + "\n" for one in said if one)


class Score(NamedTuple):
    """The score of predictions on a task.

    Args:
        seeds: seeds of each method.
        means: of each method.
    """

    pairs: Pairs
    seeds: int
    means: Mapping[str, float]

    @property
    def brier(self) -> float:
        """The mean squared error of the probabilities."""
        return by_order(self.pairs, [*self.means], np.array([[*self.means.values()]]))[0]

    def p(self) -> float:
        """Return the share of all orders that give the predictions a score as low, or lower.

        It is exact for few methods, and estimated from random orders and the real one for many.
        """
        if math.factorial(len(self.means)) <= LISTED:
            every = np.array([*permutations(range(len(self.means)))])
            return float((by_order(self.pairs, [*self.means], every) <= self.brier + 1e-12).mean())
        drawn = np.random.default_rng(0).random((DRAWN, len(self.means)))
        return (1 + int((by_order(self.pairs, [*self.means], drawn) <= self.brier + 1e-12).sum())) / (1 + DRAWN)


def met_by(predictor: str, pairs: Pairs, level: float) -> str:
    """Return which methods have to be first or last so that p can be below the level; empty if none has to.

    That does not suffice: the others still have to be in one of a few orders. More than eight methods are not tried.
    """
    methods = sorted({name for pair in pairs for name in pair})
    if math.factorial(len(methods)) > LISTED:
        return ""
    every = np.array([*permutations(range(len(methods)))])
    briers = by_order(pairs, methods, every)
    met = every[np.searchsorted(np.sort(briers), briers + 1e-12, "right") < level * len(every)]
    names = names_of(dict.fromkeys(methods))
    return " ".join(
        f"With `{predictor}`, p can be below {level:g} only if {names[method]} is {word}; then it is for {len(met)} of "
        f"the {len(every) // len(methods):,} orders of the others."
        for index, method in enumerate(methods)
        for place, word in ((0, "first"), (len(methods) - 1, "last"))
        if len(met) and (met[:, index] == place).all()
    )


def told(score: Score, tested: bool) -> str:
    """Return a score as text, with its p value if it is tested."""
    return f"{score.brier:.3f}" + (f" (p = {score.p():.4f})" if tested else "")


def of_pairs(predicted: Mapping[str, Pairs], score: Mapping[str, Score]) -> tuple[str, str]:
    """Return the cells of the number of scored pairs and of seeds."""
    one = next(iter(score.values()), None)
    return f"{len(one.pairs) if one else 0} of {len(shared_by(predicted))}", str(one.seeds) if one else ""


def shared_by(predicted: Mapping[str, Pairs]) -> set[tuple[str, str]]:
    """Return the pairs that all predictors predict: scores on different pairs are not comparable."""
    return set[tuple[str, str]].intersection(*({*own} for own in predicted.values()))


def score_of(predicted: Mapping[str, Pairs], measured: Mapping[str, Values]) -> dict[str, Score]:
    """Return the score of each predictor on the pairs that all of them predict, if these are measured.

    Other methods at the longer budget decide nothing: a seed on which one of them failed still counts.
    """
    found, shared = {}, shared_by(predicted)
    methods = {method for pair in shared for method in pair}
    for name, own in predicted.items():
        (whole,) = complete({method: values for method, values in measured[name].items() if method in methods})
        pairs = scored({pair: p for pair, p in own.items() if pair in shared}, whole)
        if pairs:
            means = dict(zip(whole, map(float, array(whole).mean(1)), strict=True))
            found[name] = Score(pairs, array(whole).shape[1], means)
    return found


def by_order(pairs: Pairs, methods: Sequence[str], means: Float[np.ndarray, "n methods"]) -> Float[np.ndarray, "n"]:
    """Return the Brier score of the probabilities of pairs for each row of means of the methods."""
    place = {method: index for index, method in enumerate(methods)}
    one, other = np.array([[place[name] for name in pair] for pair in pairs]).T
    return ((np.array([*pairs.values()]) - (means[:, one] < means[:, other])) ** 2).mean(1)


def verdicts(values: Mapping[str, Mapping[int, float]]) -> Iterator[str]:
    """Yield which predictors are better and worse than the probability 1/2, and than a training on other tasks."""
    coin = {task: COIN for own in values.values() for task in own}
    found = compare_all({**values, "coin": coin}, "lower")
    for rival, words in (("coin", "the probability 1/2"), ("elsewhere", "`elsewhere`")):
        if rival in (*values, "coin"):
            better = [f"`{name}`" for name in values if found.beats(name, rival)]
            worse = [f"`{name}`" for name in values if found.beats(rival, name)]
            yield f"Better than {words}: {', '.join(better) or 'none'}; worse: {', '.join(worse) or 'none'}."
    yield "Paired t tests over tasks, Holm over all pairs of predictors and of 1/2."
