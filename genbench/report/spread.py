"""Spread: what a handful of seeds says of a mean, and which models it tells apart."""

from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
from scipy import stats

Mark = Literal["best", "tie"]
LEVEL = 0.05


def mean_and_error(values: Iterable[float]) -> tuple[float, float | None]:
    """Return the mean and its standard error, None with a single value; values equal up to rounding have none.

    >>> mean_and_error([1.0, 3.0])
    (2.0, 1.0)
    >>> mean_and_error([0.1, 0.1, 0.1])
    (0.1, 0.0)
    """
    array = np.array(list(values), dtype=np.float64)
    if len(array) == 1:
        return float(array[0]), None
    if np.ptp(array) <= 1e-12 * np.abs(array).max():
        return float(array[0]), 0.0
    return float(array.mean()), float(array.std(ddof=1) / len(array) ** 0.5)


def marks(found: Mapping[str, Mapping[int, float]], better: str) -> dict[str, Mark]:
    """Mark the best mean, and the models that a paired t test with Holm's correction does not tell apart from it.

    Args:
        found: {model: {seed: value}}; seeds pair the models.
        better: "lower" or "higher"; anything else marks nothing, and so do a single model and equal ones.

    >>> marks({"a": {0: 1.0, 1: 1.1, 2: 1.2}, "b": {0: 2.0, 1: 2.12, 2: 2.21}, "c": {0: 0.9, 1: 1.3, 2: 1.2}}, "lower")
    {'a': 'best', 'c': 'tie'}
    """
    if better not in ("lower", "higher") or len(found) < 2:
        return {}
    sign = 1 if better == "lower" else -1
    means = {model: sign * mean_and_error(seeds.values())[0] for model, seeds in found.items()}
    best = min(means, key=means.__getitem__)
    marked: dict[str, Mark] = {model: "best" for model, mean in means.items() if mean == means[best]}
    if len(marked) == len(found):
        return {}
    chances = [(paired_p(found[model], found[best]), model) for model in found if model not in marked]
    ordered = sorted((chance, model) for chance, model in chances if chance is not None)
    for rank, (chance, _) in enumerate(ordered):
        if chance * (len(ordered) - rank) > LEVEL:
            marked.update((model, "tie") for _, model in ordered[rank:])
            break
    return marked


def paired_p(one: Mapping[int, float], other: Mapping[int, float]) -> float | None:
    """Two-sided p of the paired t test over common seeds; None with fewer than two."""
    difference = np.array([one[seed] - other[seed] for seed in one if seed in other])
    if len(difference) < 2:
        return None
    if np.ptp(difference) == 0:
        return float(difference[0] == 0)
    t = difference.mean() * len(difference) ** 0.5 / difference.std(ddof=1)
    return 2 * float(stats.t.sf(abs(t), len(difference) - 1))
