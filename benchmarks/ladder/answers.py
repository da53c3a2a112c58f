"""The answers of the page: how many differences between methods last, in sentences with what would refute them."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import permutations
from statistics import fmean

import numpy as np

from benchmarks.ladder.early import cheap, of_numbers
from benchmarks.ladder.orders import Contest, Margin, Values, among, complete, margins, mean_of, tau
from benchmarks.ladder.scores import NOTICED
from benchmarks.tables import fill, markdown
from genbench.analysis.labels import counted, listed
from genbench.analysis.means import format_mean
from genbench.analysis.significance import paired

MAIN = "plane-v1"
"""The track that the answers are about."""
LARGE = 2.0
"""Ratio of means from which a difference is large."""
SURE, CLOSE = 0.9, 0.75
"""Least share of large differences and largest share of small ones that were expected to last.

These and LARGE were chosen on tasks of `NOTICED`, before values of other tasks at the longer budget were read.
"""
LATER = ("spirals",)
"""Tasks that were predicted after the verdict on the registered answer had been published."""


def answer(main: Sequence[Contest], predicted: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Yield the answers and what would refute them, in Markdown.

    Args:
        predicted: methods whose order was predicted on each task. Tasks that were known before do not test what was
            noticed on them, and a method that lacked a seed was not predicted.
    """
    whole = [contest for contest in main if contest.data in predicted]
    told = [among(contest, predicted[contest.data]) for contest in whole]
    said = [of_differences(told, main)]
    if len(main) > 1:
        said.append(of_other_tasks(main))
    budgets = f"{main[0].short:,} to {main[0].long:,} steps"
    said.append(of_numbers(cheap(main), main[0].first.headline, budgets))
    said.append(expected(whole))
    yield from (fill(text) + "\n" for text in said)
    if whole:
        yield by_rule(told, whole)
    early = [contest for contest in main if contest.data in {*NOTICED, *predicted.keys() - {*LATER}}]
    if len(early) > 1:
        yield fill(of_one_task(early, main)) + "\n"


def of_differences(told: Sequence[Contest], main: Sequence[Contest]) -> str:
    """Return how many differences last, and how many of them the other tasks of the track order rightly."""
    if not told:
        return "**No task that was predicted is measured yet.**"
    short, long = f"{told[0].short:,} steps", f"{told[0].long:,} steps"
    large, small = sized(told)
    apart, close = ([margin for margin in small if margin.separated is told_apart] for told_apart in (True, False))
    of_large, of_small = map(sum, zip(*(foretold(own, main) for own in told), strict=True))
    each = [[share(own) for one in told if (own := sized([one])[size])] for size in (0, 1)]
    low, high = (f"{100 * min(own):.0f} to {100 * max(own):.0f} %" if own else "none" for own in each)
    return (
        f"**{count(large)} large and {count(small)} small differences last.** A difference between two methods of "
        f"{MAIN} is large if their means over seeds of `{told[0].first.headline}`, the headline metric, differ by at "
        f"least a factor of two after {short}. It lasts if the means have the same order after {long}. The counts "
        f"cover the pairs whose order was predicted in advance, on {listed(contest.data for contest in told)}."
        f"{unpredicted(told, main)} Small differences: {count(apart)} last if the two methods are separated after "
        f"{short}, {count(close)} if they are not. On single tasks, {low} of the large and {high} of the small ones "
        f"last. A majority vote of the other tasks after {long}, without any run on the task itself, is right for "
        f"{of_large:g} of the {len(large)} large and {of_small:g} of the {len(small)} small differences (a tie counts "
        "as half)."
    )


def unpredicted(told: Sequence[Contest], main: Sequence[Contest]) -> str:
    """Return which tasks do not count although they were not known before, as a sentence; empty without any."""
    names = [contest.data for contest in main if contest.data not in {*NOTICED, *(own.data for own in told)}]
    return f" No order was predicted on {listed(names)}." if names else ""


def foretold(contest: Contest, main: Sequence[Contest]) -> tuple[float, float]:
    """Return how many large and small differences of a task the majority of the other tasks orders rightly.

    A tie counts as half.
    """
    others = [complete(other.last.main)[0] for other in main if other.data != contest.data]

    def right(margin: Margin) -> float:
        ahead, behind = margin.pair
        votes = [mean_of(own[ahead]) < mean_of(own[behind]) for own in others if own.keys() >= {ahead, behind}]
        return 0.5 if 2 * sum(votes) == len(votes) else (2 * sum(votes) > len(votes)) == margin.held

    large, small = sized([contest])
    return sum(map(right, large)), sum(map(right, small))


def of_other_tasks(main: Sequence[Contest]) -> str:
    """Return whether long trainings on other tasks predict an order better than a short training on the task."""
    found = [elsewhere(contest, main) for contest in main]
    own, there = (dict(enumerate(taus)) for taus in zip(*found, strict=True))
    gain = paired(there, own)
    bold = "It is undecided which predicts better: a short training run on the task, or long runs on other tasks"
    if gain.low is not None and gain.high is not None and gain.low * gain.high > 0:
        names = ["long training runs on other tasks", "a short run on the task itself"][:: 1 if gain.low > 0 else -1]
        bold = f"{names[0].capitalize()} predict{'s' * (gain.high < 0)} better than {names[1]}"
    half = None if gain.high is None else gain.high - gain.mean
    return (
        f"**{bold}.** Kendall's tau with the order after the long runs is {fmean(own.values()):.2f} for the short "
        f"run. For the mean rank on the other tasks it is {fmean(there.values()):.2f}, which is higher by "
        f"{format_mean(gain.mean, half)} (nominal 95 % CI half-width over all {gain.pairs} tasks). This comparison "
        "was chosen after the values were known. Published results of long runs on other tasks cost nothing."
    )


def of_one_task(early: Sequence[Contest], main: Sequence[Contest]) -> str:
    """Return the second answer that was registered, and whether it is refuted, in sentences.

    Args:
        early: the tasks that the track had when the answer was registered.
    """
    said = []
    for found in (early, main):
        own, there = on_one_task(found)
        verdict = f"{'' if there <= own else 'not '}refuted"
        said.append(f"it is {there:.2f} for the long run and {own:.2f} for the short run: {verdict}")
    return (
        "A second answer was registered in the same commit: a long run on one other task predicts the order better "
        "than a short run on the task itself. It is refuted if mean tau over all pairs of tasks (methods with all "
        f"seeds) is not higher for the long run. On the {len(early)} tasks that the track had then, {said[0]}. On all "
        f"{len(main)}, {said[1]}. On the same day (2026-11-29), this page dropped this rule (3d3bbd44), 39 minutes "
        "before the published difference became negative. The page then said that the long run is not shown to predict "
        "better, to be refuted by a 95 % interval above 0. It dropped this, too, on 2026-11-30 (the interval was "
        "-0.033 to 0.076 on 8 tasks), and did not state the registered rule again until 2026-12-02."
    )


def on_one_task(found: Sequence[Contest]) -> tuple[float, float]:
    """Return tau with the order after the long run, of the short run and of the long run on one other task.

    Each is a mean over ordered pairs of tasks, for the methods with all seeds: the rule when the answer was registered.
    """
    taus = []
    for contest, other in permutations(found, 2):
        values = contest.first.main, contest.last.main, other.last.main
        names = [name for name in values[0] if all(name in with_all_seeds(own) for own in values)]
        short, long, there = (np.array([mean_of(own[name]) for name in names]) for own in values)
        taus.append((tau(short, long), tau(there, long)))
    own, there = np.mean(taus, axis=0)
    return float(own), float(there)


def elsewhere(contest: Contest, main: Sequence[Contest]) -> tuple[float, float]:
    """Return tau with the order at the longer budget, of the shorter one and of the mean rank on the other tasks."""
    others = [complete(other.last.main)[0] for other in main if other.data != contest.data]
    one, last = complete(contest.first.main, contest.last.main)
    names = [name for name in one if all(name in own for own in others)]
    short, long, *rest = (np.array([mean_of(own[name]) for name in names]) for own in (one, last, *others))
    ranks = np.mean([np.argsort(np.argsort(means)) for means in rest], axis=0)
    return float(tau(short, long)), float(tau(ranks, long))


def expected(whole: Sequence[Contest]) -> str:
    """Return what was expected of large and small differences, and whether the tasks that were predicted agree.

    Args:
        whole: the tasks that were predicted, with all methods.
    """
    first = [without_gaps(contest) for contest in whole if contest.data not in LATER]
    bold = "is not tested yet"
    if first:
        bold = f"is {'' if is_refuted(*sized(first)) else 'not '}refuted"
    return (
        f"**The first registered answer {bold}.** After the values on {' and '.join(NOTICED)} were known, an answer "
        "was registered, that is, committed before results of long runs on other tasks had been read (2026-11-29, "
        f"0d1d3e12): on tasks that are predicted in advance, at least {100 * SURE:g} % of the large differences last "
        f"and at most {100 * CLOSE:g} % of the small ones. The answer is refuted if either share fails. The first row "
        "below is this test: the tasks that were predicted by then, and the rule of that day. When all four tasks were "
        "first published, nsf had not ended on mixture dims=50, and the counts were 73 of 75 and 150 of 190. "
        f"{' and '.join(LATER).capitalize()} were predicted after that, and the two other rules were chosen when "
        "values on these tasks were known. *reversed without*: methods any one of which, if left out, reverses the "
        "verdict."
    )


def by_rule(told: Sequence[Contest], whole: Sequence[Contest]) -> str:
    """Return the table of the verdicts on the registered answer, by three rules that this page has had.

    Args:
        told: the tasks that were predicted, with the methods whose order was predicted.
        whole: the same tasks with all methods.
    """
    rules = {
        "methods with all seeds (rule of that day)": [*map(without_gaps, whole)],
        "predicted pairs (present rule)": told,
        "all pairs (rule of 2026-11-30)": whole,
    }
    rows = []
    for left_out in (LATER, ()):
        for name, every in rules.items():
            found = [contest for contest in every if contest.data not in left_out]
            tasks = f"first {len(found)}" if left_out else f"all {len(found)}"
            rows.append((tasks, name, *judged(found)))
    return markdown(("tasks", "pairs", "large that last", "small that last", "answer", "reversed without"), rows)


def without_gaps(contest: Contest) -> Contest:
    """Return a task with the methods that have all seeds at both budgets: the rule when the answer was registered."""
    return among(contest, with_all_seeds(contest.first.main) & with_all_seeds(contest.last.main))


def with_all_seeds(values: Values) -> set[str]:
    """Return the methods that have a value for each seed that any method has."""
    seeds = {seed for own in values.values() for seed in own}
    return {name for name, own in values.items() if own.keys() == seeds}


def judged(found: Sequence[Contest]) -> tuple[str, str, str, str]:
    """Return the large and the small differences that last, the verdict, and the methods that decide it."""
    large, small = sized(found)
    shares = (f"{count(own)} ({100 * share(own):.1f} %)" for own in (large, small))
    names = ", ".join(f"`{name}`" for name in deciding(large, small))
    return *shares, "refuted" if is_refuted(large, small) else "not refuted", names or "none"


def deciding(large: Sequence[Margin], small: Sequence[Margin]) -> list[str]:
    """Return the methods without any one of which the verdict on the registered answer would be the opposite."""
    verdict = is_refuted(large, small)

    def turns(method: str) -> bool:
        left = ([margin for margin in own if method not in margin.pair] for own in (large, small))
        return is_refuted(*left) != verdict

    return [name for name in sorted({name for margin in (*large, *small) for name in margin.pair}) if turns(name)]


def is_refuted(large: Sequence[Margin], small: Sequence[Margin]) -> bool:
    """Return whether large and small differences refute the registered answer."""
    return share(large) < SURE or share(small) > CLOSE


def on_others(orders: Mapping[str, Sequence[Contest]]) -> Iterator[str]:
    """Yield how many large and small differences last on each track that the answers do not use.

    Args:
        orders: of each track, at each two budgets.
    """
    for track, found in orders.items():
        ends = max((one.long for one in found), default=0)
        for number, start in enumerate(sorted({one.short for one in found if one.long == ends and track != MAIN})):
            own = [one for one in found if (one.short, one.long) == (start, ends)]
            most = counted(max(one.order.methods for one in own), "method")
            where = f"From {start:,} steps" if number else f"On {track} ({start:,} to {ends:,} steps, {most})"
            yield f"{where}, {lasting(own)}."
            if len(own) > 1 and not number:
                right = [*map(sum, zip(*(foretold(one, own) for one in own), strict=True))]
                yield f"A majority vote of its other tasks is right for {right[0]:g} and {right[1]:g} of them."


def lasting(found: Sequence[Contest]) -> str:
    """Return how many large and small differences last; without large ones, those between separated methods."""
    large, small = sized(found)
    if large:
        return f"{count(large)} large and {count(small)} small differences last"
    apart, close = ([margin for margin in small if margin.separated is told_apart] for told_apart in (True, False))
    return (
        f"no difference is large: {count(apart)} differences between separated methods last, and {count(close)} others"
    )


def sized(found: Sequence[Contest]) -> tuple[list[Margin], list[Margin]]:
    """Return the large and the small differences of tasks."""
    every = pairs(found)
    return within(every, LARGE), within(every, 1.0, LARGE)


def pairs(found: Sequence[Contest]) -> list[Margin]:
    """Return the differences between all methods of each task."""
    return [margin for contest in found for margin in margins(contest.first.main, contest.last.main)]


def within(found: Sequence[Margin], low: float, high: float = math.inf) -> list[Margin]:
    """Return the differences whose ratio of means is at least `low` and below `high`."""
    return [margin for margin in found if low <= margin.ratio < high]


def share(found: Sequence[Margin]) -> float:
    """Return the share of pairs whose order lasts; 0 without pairs, which support no claim."""
    return sum(margin.held for margin in found) / max(1, len(found))


def count(found: Sequence[Margin]) -> str:
    """Return the number of pairs whose order lasts, and the number of pairs."""
    return f"{sum(margin.held for margin in found)} of {len(found)}"
