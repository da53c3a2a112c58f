"""Scores of the predictions that were registered before the longer training, as a part of the page."""

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.ladder.orders import Contest
from benchmarks.ladder.predictors import COIN, Stated, brier, scored
from benchmarks.tables import fill, markdown
from genbench.analysis.means import format_mean, mean_and_half
from genbench.analysis.significance import compare_all

NOTICED = ("checkerboard", "moons")
"""Tasks whose values at both budgets were known before anything was predicted or expected of other tasks."""
REGISTERED = f"""\
The predictions for a task were committed before any value on that task at 20,000 steps was read
([files](../genbench/suites/plane-v1)). The training of some methods had ended by then. *Known tasks* had values at both
budgets: {" and ".join(NOTICED)} for the first four predicted tasks, all others for spirals. The Brier score is the mean
squared error of the probabilities over the pairs of methods: lower is better, and a coin flip scores 0.25.

- `seeds` predicts the order at 2,000 steps. It assumes that each true order lasts, and that all methods have the same
  variance. The seeds contradict the second assumption, so it was given up before spirals were predicted.
- `held` predicts the order at 2,000 steps. It assumes that separated pairs last as often as on the known tasks.
- `ratio` predicts the order at 2,000 steps. It assumes that the order lasts more often for larger ratios of the means,
  at a rate that is fitted to the known tasks.
- `elsewhere` predicts the order on the known tasks at 20,000 steps, without any training on the task itself. Two known
  tasks allow only the probabilities 0.25, 0.5 and 0.75, so its score is at least 0.0625 there.
"""


def scores(registered: Mapping[str, Stated], found: Sequence[Contest]) -> Iterator[str]:
    """Yield the table of the Brier scores of registered predictions, and what they say about a coin and each other."""
    last = {(contest.data, contest.long): contest.last.main for contest in found}
    values: dict[str, dict[int, float]] = {name: {} for name in registered}
    rows = []
    for number, data in enumerate(dict.fromkeys(data for own in registered.values() for data in own.pairs)):
        predicted = [one.pairs[data] for one in registered.values() if data in one.pairs]
        shared = {pair for pair in predicted[0] if all(pair in own for own in predicted)}  # scores of others differ
        cells, most = [], 0
        for name, one in registered.items():
            if data not in one.pairs:
                cells.append("not predicted")
                continue
            measured = last.get((data, one.long), {})
            pairs = scored({pair: p for pair, p in one.pairs[data].items() if pair in shared}, measured)
            most = max(most, len(pairs))
            if pairs:
                values[name][number] = brier(pairs, measured)
            cells.append(f"{values[name][number]:.3f}" if pairs else "not measured")
        rows.append((data, f"{most} of {len(shared)}", *cells))
    several = {name: own for name, own in values.items() if len(own) > 1}
    if several:
        rows.append(("mean", "", *means(values)))
    yield markdown(("task", "pairs", *registered), rows)
    if several:
        yield fill(f"Means are over the tasks with a score, ± 95 % CI half-width. {' '.join(verdicts(several))}") + "\n"
    elif alone := {name: next(iter(own.values())) for name, own in values.items() if own}:
        yield fill(on_one_task(alone)) + "\n"


def means(values: Mapping[str, Mapping[int, float]]) -> Iterator[str]:
    """Yield the mean score of each predictor over its tasks; empty for one task, with a count if counts differ."""
    counts = {name: len(own) for name, own in values.items()}
    for name, own in values.items():
        over = f" ({counts[name]} tasks)" if len({*counts.values()}) > 1 else ""
        yield f"{format_mean(*mean_and_half(own.values()))}{over}" if counts[name] > 1 else ""


def on_one_task(score: Mapping[str, float]) -> str:
    """Return whether any predictor scores better on a single task than a coin."""
    better = [f"`{name}`" for name, value in score.items() if value < COIN]
    said = f"Better than a coin: {', '.join(better)}" if better else "No prediction is better than a coin"
    return f"{said}. One task allows no test."


def verdicts(values: Mapping[str, Mapping[int, float]]) -> Iterator[str]:
    """Yield which predictors are better and worse than a coin, and than a training on other tasks."""
    coin = {task: COIN for own in values.values() for task in own}
    found = compare_all({**values, "coin": coin}, "lower")
    for rival, named in (("coin", "a coin"), ("elsewhere", "`elsewhere`")):
        if rival not in (*values, "coin"):
            continue
        better = [f"`{name}`" for name in values if found.beats(name, rival)]
        worse = [f"`{name}`" for name in values if found.beats(rival, name)]
        yield f"Better than {named}: {', '.join(better) or 'none'}. Worse: {', '.join(worse) or 'none'}."
    yield "Paired t tests over tasks, Holm over all pairs of predictors."
