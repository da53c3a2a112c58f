"""Predictors of the order of methods at a longer budget, and the score of predictions that were registered in advance.

Each predictor returns {(one, other): probability that the first is better at the longer budget}. It reads the values of
a metric at the shorter budget, and `known`: the same metric at two budgets, on other data sets or before.
"""

import tomllib
from collections.abc import Callable, Container, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit

from benchmarks.ladder.orders import (
    Ladder,
    Planned,
    Rung,
    Values,
    array,
    complete,
    mean_of,
    named,
    order,
    unfinished,
)
from genbench.analysis.labels import listed
from genbench.analysis.significance import paired
from genbench.errors import ConfigError

COIN = 0.25
"""Brier score of the probability 0.5 for each pair."""
ADDED = 1
"""Pairs of each kind that `ratio` adds; 0 for the registered files of plane-v1, transport-v1 and digits-v1."""
HEADER = """\
# The order after {long:,} steps on the data sets below, predicted from records after {short:,} steps by by_{predictor}
# of benchmarks/ladder, and registered before any training there for {long:,} steps. It covers the methods that the
# track trains for {long:,} steps and that have the seeds below. The rule, if one data set is predicted: a predictor is
# better than chance if p is below 5 % divided by the number of predictors that are registered for the track. p is the
# share of all orders of these methods that give the predictor a Brier score as low as the real order does, or a lower
# one, for the headline metric with the own sampler of each model. The real order is by means over seeds. For more than
# eight methods, p is estimated from random orders. A training that fails is repeated once with the same seed. The test
# is made once, when all trainings of these methods for {long:,} steps, repeated ones included, have ended. A seed on
# which a method fails again is left out for all methods; if fewer than two seeds, or fewer than half of them, remain,
# nothing is tested.
"""
BOUND = 1000
"""Largest exponent of `ratio`: where the median ratio is 1, there is no best one."""

Pairs = Mapping[tuple[str, str], float]
Known = Sequence[tuple[Values, Values]]
"""Values at a shorter and at a longer budget: of each other data set, or of budgets before."""


def by_held(values: Values, known: Known) -> Pairs:
    """Return the chance of each order at the shorter budget, corrected for orders that do not last.

    The first method is better at the shorter budget with probability q, by the paired t distribution over seeds. In
    `known`, d pairs are separated and k of them kept their order: h = (k + 1) / (d + 2), Laplace's rule. The result is
    h q + (1 - h) (1 - q).

    There are no pairs if d is 0: each would have the probability 1/2.
    """
    orders = [found for pair in known if (found := order(*pair))]
    decided = sum(found.decided for found in orders)
    if not decided:
        return {}
    held = (sum(found.held for found in orders) + 1) / (decided + 2)
    (own,) = complete(values)
    return {
        (one, other): 1 - held + (2 * held - 1) * better(own[one], own[other]) for one, other in combinations(own, 2)
    }


def better(one: Mapping[int, float], other: Mapping[int, float]) -> float:
    """Return the probability that the true mean of a method is below another's, by the paired t distribution."""
    difference = paired(one, other)
    tail = (1.0 if difference.p is None else difference.p) / 2
    return 1 - tail if difference.mean < 0 else tail


def by_ratio(values: Values, known: Known) -> Pairs:
    """Return b^k / (a^k + b^k) for methods whose means a and b at the shorter budget are positive.

    This is the model of Bradley and Terry (1952), whose strengths are powers of the means. The exponent k has the
    largest likelihood on the n pairs of `known`. As in Laplace's rule, one pair whose order lasts and one whose order
    turns are added, with the median ratio, and the result lies between 1 / (n + 2) and (n + 1) / (n + 2): no pair is
    certain because few orders lasted.
    """
    both = [complete(*pair) for pair in known]
    margin = np.concatenate([log_ratios(short) * np.sign(log_ratios(long)) for short, long in both])
    usual = np.median(np.abs(margin))
    least = ADDED / (len(margin) + 2 * ADDED)
    margin = np.concatenate([margin, np.repeat([usual, -usual], ADDED)])
    fitted: Any = minimize_scalar(lambda k: np.logaddexp(0, -k * margin).sum(), bounds=(0, BOUND), method="bounded")
    (own,) = complete(values)
    chances = expit(fitted.x * log_ratios(own)).clip(least, 1 - least)
    return dict(zip(combinations(own, 2), map(float, chances), strict=True))


def log_ratios(values: Values) -> np.ndarray:
    """Return log(b / a) for the means a and b of each pair of methods."""
    logs = np.log(array(values).mean(1))
    one, other = np.triu_indices(len(logs), 1)
    return logs[other] - logs[one]


def by_elsewhere(values: Values, known: Known) -> Pairs:
    """Return the share of other data sets on which the first method is better at the longer budget, by Laplace's rule.

    Nothing is trained on the data set itself. A short training on it is useful only if it predicts better than this.
    """
    found = {}
    for one, other in combinations(complete(values)[0], 2):
        won = [mean_of(long[one]) < mean_of(long[other]) for _, long in known if {one, other} <= long.keys()]
        found[one, other] = (sum(won) + 1) / (len(won) + 2)
    return found


PREDICTORS: Mapping[str, Callable[[Values, Known], Pairs]] = {
    "held": by_held,
    "ratio": by_ratio,
    "elsewhere": by_elsewhere,
}


def predictions(predictor: str, track: str, found: Ladder, short: int, long: int, planned: Planned) -> str:
    """Return the predictions of the order at a budget from a shorter one, as TOML.

    The headline metric is predicted with each model's own sampler and at each NFE of its curve, if the predictor can
    be fitted there. Data sets that have any record at the longer budget are not predicted.

    Args:
        planned: the trainings of the track. Methods that it does not train for the longer budget are not predicted:
            one of their seeds that fails would leave out this seed for all methods.

    Raises:
        ConfigError: if no data set can be predicted, trainings of one have not ended, no method is trained for the
            longer budget, or the predictor cannot be fitted for the headline metric with each model's own sampler.
    """
    lines = [HEADER.format(long=long, short=short, predictor=predictor)]
    lines += [f'track = "{track}"', f"from = {short}", f"to = {long}"]
    begun = {named(data) for data, own in found.items() if long in own}  # from whatever source its images come
    predicted = {data: own[short] for data, own in found.items() if short in own and named(data) not in begun}
    if not predicted:
        raise ConfigError(f"{track}: no data set has values at {short} steps and none at {long}")
    for data, rung in predicted.items():
        if rung.unfinished:
            raise ConfigError(f"{data}: trainings of {short} steps have not ended: {', '.join(rung.unfinished)}")
    for data, rung in predicted.items():
        trained = planned.get((named(data), long), {})
        if not trained:
            raise ConfigError(f"{track}: no method is trained on {named(data)} for {long} steps")
        have = {(method, seed) for method, own in rung.main.items() for seed in own}
        failed = [
            f"# failed after {short:,} steps: {runs}"
            for runs in unfinished(planned.get((named(data), short), {}), have)
        ]
        lines += ["", *failed] if failed else []
        others = {other: own for other, own in found.items() if (other, predictor) != (data, "elsewhere")}
        for number in rung.headlines:
            known = known_of(others, number.removeprefix(rung.headline), short, long)
            if not known:
                where = f"no data set{' other than ' + data if data not in others else ''}"
                raise ConfigError(f"{track}: {where} has two budgets with {number}, so no predictor can be fitted")
            values = {method: own for method, own in rung.numbers[number].items() if method in trained}
            pairs = PREDICTORS[predictor](values, known)
            if not pairs and number == rung.headline:
                raise ConfigError(f"{predictor}: no pair of methods is separated in {number} at a budget that is known")
            about = "the probability that the first is better" if pairs else "no separated pair, so no prediction"
            lines += ["", f"# {number}: {about}"]
            if pairs:
                (common,) = complete(values)
                seeds = listed(map(str, next(iter(common.values()))))
                lines += [f"# seeds after {short:,} steps: {seeds}", f'["{data}"."{number}"]']
            lines += [f"'{one} | {other}' = {p:.3f}" for (one, other), p in pairs.items()]
    return "\n".join(lines) + "\n"


def known_of(found: Ladder, at: str, short: int, long: int) -> list[tuple[Values, Values]]:
    """Return the headline metric on other data sets at the same two budgets; if none has them, at budgets before.

    Args:
        at: what follows the name of the metric: nothing, or an NFE.
    """

    def values(rung: Rung) -> Values:
        return rung.numbers.get(f"{rung.headline}{at}", {})

    ended = [{steps: rung for steps, rung in own.items() if not rung.unfinished} for own in found.values()]
    same = [(own[short], own[long]) for own in ended if own.keys() >= {short, long}]
    before = ((own[a], own[b]) for own in ended for a, b in combinations(sorted(own), 2) if b <= short)
    known = ((values(one), values(two)) for one, two in same or before)
    return [pair for pair in known if len(complete(*pair)[0]) > 1]


class Stated(NamedTuple):
    """Registered predictions.

    Args:
        long: steps of the longer budget.
        pairs: probabilities for each data set and metric.
    """

    long: int
    pairs: Mapping[tuple[str, str], Pairs]


def stated(text: str) -> Stated:
    """Return registered predictions in TOML."""
    content = tomllib.loads(text)
    tables = {data: part for data, part in content.items() if isinstance(part, dict)}
    pairs: dict[tuple[str, str], Pairs] = {
        (data, metric): {(one, other): p for pair, p in own.items() for one, _, other in [pair.partition(" | ")]}
        for data, part in tables.items()
        for metric, own in part.items()
    }
    return Stated(content["to"], pairs)


def scored(probabilities: Pairs, measured: Container[str]) -> Pairs:
    """Return the probabilities of the pairs whose methods are measured."""
    return {(a, b): p for (a, b), p in probabilities.items() if a in measured and b in measured}


def read_predictions(folder: Path) -> dict[str, Stated]:
    """Return {predictor: predictions} of the files predictions*.toml of a suite.

    The file predictions.toml is called "seeds": it expects that each order lasts.
    """
    paths = sorted(folder.glob("predictions*.toml"))
    names = [path.stem.removeprefix("predictions").removeprefix("_") or "seeds" for path in paths]
    return {name: stated(path.read_text(encoding="utf-8")) for name, path in zip(names, paths, strict=True)}
