"""All pairs of models within a task: paired t tests over seeds, Holm's correction, letters."""

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

from scipy import special

from genbench.analysis.letters import letters
from genbench.analysis.means import LEVEL, mean_and_error
from genbench.analysis.paired_tests import Paired, holm, paired

Values = Mapping[int, float]
"""{seed: value} of a model."""


class Pairwise(NamedTuple):
    """The comparison of all models of a task.

    Args:
        order: models, best mean first; a position in it claims nothing.
        pairs: {(one, other): difference one minus other} of the pairs that could be tested.
        p: their p values, corrected by Holm's method over all of them.
        letters: models that share a letter were not told apart; empty for a model that has no testable pair.
        at_floor: models whose values are not distinguishable from real data; no test tells them apart.
    """

    order: tuple[str, ...]
    pairs: Mapping[tuple[str, str], Paired]
    p: Mapping[tuple[str, str], float]
    letters: Mapping[str, str]
    at_floor: frozenset[str]

    def apart(self, one: str, other: str) -> bool:
        """Return whether two models were told apart."""
        p = self.p.get((one, other), self.p.get((other, one), 1.0))
        return p <= LEVEL and not {one, other} <= self.at_floor

    @property
    def leading(self) -> frozenset[str]:
        """The model with the best mean, and all that were not told apart from it; empty if no pair was told apart."""
        tested = [model for model in self.order if self.letters[model]]
        if not any(self.apart(*pair) for pair in self.p):
            return frozenset()
        return frozenset(model for model in tested if not self.apart(tested[0], model))


def compare_all(models: Mapping[str, Values], better: str, floor: Values | None = None) -> Pairwise:
    """Compare all pairs of models over their common seeds.

    Args:
        models: values of each model by seed. Pairs with fewer than two common seeds are not tested.
        better: "lower" or "higher".
        floor: values of real data by seed.
    """
    sign = -1 if better == "higher" else 1
    order = sorted(models, key=lambda model: sign * mean_and_error(models[model].values())[0])
    common = [(a, b) for a, b in combinations(order, 2) if len(models[a].keys() & models[b].keys()) > 1]
    pairs = {(a, b): paired(models[a], models[b]) for a, b in common}
    corrected = holm([pair.p for pair in pairs.values() if pair.p is not None])
    p = dict(zip(pairs, corrected, strict=True))
    at_floor = frozenset(m for m in order if floor and reaches(models[m], floor, better))
    found = Pairwise(tuple(order), pairs, p, {}, at_floor)
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
