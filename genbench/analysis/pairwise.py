"""All pairs of models within a task: paired t tests over seeds, Holm's correction, letters."""

import string
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import NamedTuple

from scipy import special

from genbench.analysis.means import LEVEL, mean_and_error
from genbench.analysis.paired_tests import Paired, holm, paired

SEPARATION = (
    "Models of a column that share a letter are not separated (paired t tests over seeds, Holm's correction over all "
    f"pairs, {100 * LEVEL:g} %)."
)
"""How letters are to be read."""
Values = Mapping[int, float]
"""{seed: value} of a model."""


class Pairwise(NamedTuple):
    """The comparison of all models of a task.

    Args:
        order: models, best mean first; neighbors may not be separated.
        pairs: {(one, other): one minus other} for the pairs that could be tested. The first is better on the common
            seeds; means over all seeds may have the opposite order.
        p: their p values, corrected by Holm's method over all of them.
        letters: models that share a letter are not separated; empty for a model that has no testable pair.
        full: models with the largest number of seeds. Only these can be in `at_floor`, since few seeds give wide
            intervals.
        at_floor: full models that are at the floor or better; no test tells them apart.
    """

    order: tuple[str, ...]
    pairs: Mapping[tuple[str, str], Paired]
    p: Mapping[tuple[str, str], float]
    letters: Mapping[str, str]
    full: frozenset[str]
    at_floor: frozenset[str]

    def apart(self, one: str, other: str) -> bool:
        """Return whether two models are separated."""
        p = self.p.get((one, other), self.p.get((other, one), 1.0))
        return p <= LEVEL and not {one, other} <= self.at_floor

    def beats(self, one: str, other: str) -> bool:
        """Return whether two models are separated and the first is better."""
        return (one, other) in self.p and self.apart(one, other)


def compare_all(models: Mapping[str, Values], better: str, floor: Values | None = None) -> Pairwise:
    """Compare all pairs of models over their common seeds.

    Args:
        models: values of each model by seed. Pairs with fewer than two common seeds are not tested.
        better: "lower" or "higher".
        floor: values of real data by seed.
    """
    sign = -1 if better == "higher" else 1
    order = sorted(models, key=lambda model: sign * mean_and_error(models[model].values())[0])
    pairs = {}
    for pair in combinations(order, 2):
        seeds = models[pair[0]].keys() & models[pair[1]].keys()
        if len(seeds) > 1:
            ahead, behind = sorted(pair, key=lambda m: sign * fmean(models[m][seed] for seed in seeds))
            pairs[ahead, behind] = paired(models[ahead], models[behind])
    corrected = holm([pair.p for pair in pairs.values() if pair.p is not None])
    p = dict(zip(pairs, corrected, strict=True))
    most = max((len(values) for values in models.values()), default=0)
    full = frozenset(model for model in order if len(models[model]) == most)
    at_floor = frozenset(model for model in full if floor and reaches(models[model], floor, better))
    found = Pairwise(tuple(order), pairs, p, {}, full, at_floor)
    tested = [model for model in order if any(model in pair for pair in pairs)]
    named = letters(tested, [pair for pair in p if found.apart(*pair)])
    return found._replace(letters={model: named.get(model, "") for model in order})


def reaches(values: Values, floor: Values, better: str) -> bool:
    """Return whether values are at the floor: the 95 % interval of their excess contains 0 or lies below it.

    The errors of values and floor are independent (Welch, 1947). A single value or a single floor decides nothing.
    """
    (mean, error), (least, floor_error) = mean_and_error(values.values()), mean_and_error(floor.values())
    if error is None or floor_error is None:
        return False
    excess = (least - mean) if better == "higher" else (mean - least)
    variance = error**2 + floor_error**2
    if not variance:
        return excess <= 0
    freedom = variance**2 / (error**4 / (len(values) - 1) + floor_error**4 / (len(floor) - 1))
    return excess <= variance**0.5 * float(special.stdtrit(freedom, 1 - LEVEL / 2))


def letters(order: Sequence[str], apart: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the letters of items by insertion and absorption (Piepho, 2004).

    Args:
        order: the items, in the order in which letters are given.
        apart: the separated pairs.

    >>> letters("xyz", [("x", "z")])
    {'x': 'a', 'y': 'ab', 'z': 'b'}
    """
    groups = [frozenset(order)]
    for a, b in apart:
        split = [part for group in groups for part in ((group - {a}, group - {b}) if {a, b} <= group else (group,))]
        groups = [group for group in dict.fromkeys(split) if not any(group < other for other in split)]
    groups.sort(key=lambda group: sorted(map(order.index, group)))
    short = len(groups) <= len(string.ascii_letters)
    names = string.ascii_letters if short else [f"({number})" for number in range(len(groups))]
    return {item: "".join(name for name, group in zip(names, groups, strict=False) if item in group) for item in order}
