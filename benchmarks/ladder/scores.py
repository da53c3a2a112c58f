"""Scores of the predictions that were registered before the longer training, as a part of the page."""

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.ladder.orders import Contest, Values
from benchmarks.ladder.predictors import COIN, Pairs, Stated, brier, scored
from benchmarks.tables import fill, markdown
from genbench.analysis.means import format_mean, mean_and_half
from genbench.analysis.significance import compare_all

NOTICED = ("checkerboard", "moons")
"""Tasks whose values at both budgets were known before anything was predicted or expected of other tasks."""
REGISTERED = {
    "plane-v1": f"""\
The predictions for a task were committed before any value on that task at 20,000 steps was read
([files](../genbench/suites/plane-v1)). The training of some methods had ended by then. *Known tasks* had values at both
budgets: {" and ".join(NOTICED)} for the first four predicted tasks, all others for spirals. The Brier score is the mean
squared error of the probabilities over the pairs of methods: lower is better, and a coin flip scores 0.25. *pairs*:
how many of the predicted pairs are scored.

- `seeds` predicts the order at 2,000 steps. It assumes that each true order lasts, and that all methods have the same
  variance. The seeds contradict the second assumption, so it was given up before spirals were predicted.
- `held` predicts the order at 2,000 steps. It assumes that separated pairs last as often as on the known tasks.
- `ratio` predicts the order at 2,000 steps. It assumes that the order lasts more often for larger ratios of the means,
  at a rate that is fitted to the known tasks.
- `elsewhere` predicts the order on the known tasks at 20,000 steps, without any training on the task itself. Two known
  tasks allow only the probabilities 0.25, 0.5 and 0.75, so its score is at least 0.0625 there.
""",
    "transport-v1": """\
On transport-v1, the known tasks were 8gaussians-moons and tori. The predictions for the two other tasks were committed
before any of their values at 20,000 steps was read ([files](../genbench/suites/transport-v1)). The training of some
methods on moons-8gaussians had ended by then. A mean over two tasks has an interval with one degree of freedom: it is
wide, or it is narrow because the two scores happen to be alike. Tests are corrected within each metric, not over the
six metrics.
""",
    "digits-v1": """\
On digits-v1, `held` and `ratio` are fitted to the orders at 200 and 800 steps, and predict the order at 4,000 steps.
The predictions were committed before any model of this track trained for 4,000 steps
([files](../genbench/suites/digits-v1)). The order of three of its methods was known from
[digits-long](digits-long/table.md), but the predictors do not read it.
""",
}
"""{track: what was registered}."""


def scores(registered: Mapping[str, Stated], found: Sequence[Contest]) -> Iterator[str]:
    """Yield the table of the Brier scores of registered predictions, and what they say about a coin and each other.

    Means and tests are over the tasks of one metric, because all metrics of a task are measured on the same models.
    Metrics of which the same is said share a paragraph.
    """
    last = {(contest.data, contest.long): contest.last.numbers for contest in found}
    metrics = dict.fromkeys(metric for own in registered.values() for _, metric in own.pairs)
    rows: list[tuple[str, ...]] = []
    said: dict[str, list[str]] = {}
    for metric in metrics:
        values: dict[str, dict[int, float]] = {name: {} for name in registered}
        named = f", {metric}" if len(metrics) > 1 else ""
        tasks = dict.fromkeys(task for own in registered.values() for task in own.pairs if task[1] == metric)
        for number, task in enumerate(tasks):
            predicted = {name: own.pairs[task] for name, own in registered.items() if task in own.pairs}
            measured = {name: last.get((task[0], registered[name].long), {}).get(metric, {}) for name in predicted}
            pairs, score = score_of(predicted, measured)
            for name, value in score.items():
                values[name][number] = value
            missing = {name: "not measured" if name in predicted else "not predicted" for name in registered}
            cells = (f"{score[name]:.3f}" if name in score else missing[name] for name in registered)
            rows.append((f"{task[0]}{named}", pairs, *cells))
        if any(len(own) > 1 for own in values.values()):
            rows.append((f"mean{named}", "", *means(values)))
        if told := judged(values):
            said.setdefault(told, []).append(metric)
    yield markdown(("task", "pairs", *registered), rows)
    for told, own in said.items():
        yield fill(f"{'; '.join(own)}: {told}" if len(metrics) > 1 else told) + "\n"


def score_of(predicted: Mapping[str, Pairs], measured: Mapping[str, Values]) -> tuple[str, dict[str, float]]:
    """Return how many pairs of a task count, and the Brier score of each predictor on them, if its pairs are measured.

    Only pairs that all predictors predict count: scores on different pairs are not comparable.
    """
    shared = set[tuple[str, str]].intersection(*({*own} for own in predicted.values()))
    pairs = {
        name: scored({pair: p for pair, p in own.items() if pair in shared}, measured[name])
        for name, own in predicted.items()
    }
    score = {name: brier(own, measured[name]) for name, own in pairs.items() if own}
    return f"{max(map(len, pairs.values()))} of {len(shared)}", score


def judged(values: Mapping[str, Mapping[int, float]]) -> str:
    """Return what the scores of a metric say about a coin and each other; empty without scores."""
    if several := {name: own for name, own in values.items() if len(own) > 1}:
        return f"Means are over the tasks with a score, ± 95 % CI half-width. {' '.join(verdicts(several))}"
    alone = {name: next(iter(own.values())) for name, own in values.items() if own}
    return on_one_task(alone) if alone else ""


def means(values: Mapping[str, Mapping[int, float]]) -> Iterator[str]:
    """Yield the mean score of each predictor over its tasks; empty for one task, with a count if counts differ.

    Equal scores have no interval: a half-width of 0 would say that any other task has this score too.
    """
    counts = {name: len(own) for name, own in values.items()}
    for name, own in values.items():
        over = f" ({counts[name]} tasks)" if len({*counts.values()}) > 1 else ""
        mean, half = mean_and_half(own.values()) if own else (0.0, None)
        yield f"{format_mean(mean, half or None)}{over}" if counts[name] > 1 else ""


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
