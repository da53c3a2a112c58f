"""Ranking: which models are best, which tie with it, and the ranks of all, by paired tests over seeds."""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from genbench.analysis.means import LEVEL, mean_and_error
from genbench.analysis.paired_tests import (
    MIN_PERMUTATION_PAIRS,
    Paired,
    differences_by_seed,
    holm,
    paired_from,
    sign_flip_p,
)

Mark = Literal["best", "tie"]


def marks(by_model: Mapping[str, Mapping[int, float]], better: str) -> dict[str, Mark]:
    """Mark the model with the best mean as best if it differs significantly from all others; otherwise mark ties.

    Ties are the model with the best mean and all models that do not differ significantly from it. All tests of a column
    are one family of Holm's correction. Models are compared with the best mean and, if that model has fewer seeds than
    others, also with the best of the models with most seeds, since few seeds have little power. If no model differs
    significantly, none is marked. A model that beats the reference on their common seeds is never worse than it. A
    model of a single seed is not marked, nor one with a single seed in common with the best: neither can be tested.

    Args:
        by_model: {model: {seed: value}}; models are paired by seed.
        better: "lower" or "higher"; with any other value nothing is marked.

    >>> marks({"a": {0: 1.0, 1: 1.1, 2: 1.2}, "b": {0: 2.0, 1: 2.12, 2: 2.21}, "c": {0: 0.9, 1: 1.3, 2: 1.2}}, "lower")
    {'a': 'tie', 'c': 'tie'}
    >>> marks({"a": {0: 1.0, 1: 1.1, 2: 1.2}, "b": {0: 2.0, 1: 2.12, 2: 2.21}}, "lower")
    {'a': 'best'}
    """
    by_model = {model: values for model, values in by_model.items() if len(values) > 1}
    if better not in ("lower", "higher") or not by_model:
        return {}
    most = max(map(len, by_model.values()))
    full = {model: values for model, values in by_model.items() if len(values) == most}
    references = {best_mean(by_model, better), best_mean(full, better)}
    known = [*against_best(by_model, better).items()]
    if len(references) > 1:
        known += against_best(full, better).items()
    tested = [(model, difference.mean, difference.p) for model, difference in known if difference.p is not None]
    corrected = holm([p for _, _, p in tested])
    sign = 1 if better == "lower" else -1
    worse = {m for (m, mean, _), p in zip(tested, corrected, strict=True) if p <= LEVEL and sign * mean > 0}
    if not worse:
        return {}
    leading = {*references, *(model for model, _, _ in tested)} - worse
    return {model: "tie" if len(leading) > 1 else "best" for model in by_model if model in leading}


def ranks(by_model: Mapping[str, Mapping[int, float]], better: str) -> dict[str, int]:
    """Rank models with ties: the first rank is shared by all that `marks` marks, and so on for the rest.

    >>> ranks({"a": {0: 1.0, 1: 1.1, 2: 1.2}, "b": {0: 2.0, 1: 2.12, 2: 2.21}, "c": {0: 0.9, 1: 1.3, 2: 1.2}}, "lower")
    {'a': 1, 'c': 1, 'b': 3}
    """
    ranked: dict[str, int] = {}
    while rest := {model: values for model, values in by_model.items() if model not in ranked}:
        ranked |= dict.fromkeys(marks(rest, better) or rest, 1 + len(ranked))
    return ranked


def best_mean(by_model: Mapping[str, Mapping[int, float]], better: str) -> str:
    """Return the model with the best mean."""
    sign = 1 if better == "lower" else -1
    return min(by_model, key=lambda model: sign * mean_and_error(by_model[model].values())[0])


def against_best(by_model: Mapping[str, Mapping[int, float]], better: str) -> dict[str, Paired]:
    """Return the paired difference, without interval, of each model to the one with the best mean."""
    if better not in ("lower", "higher") or not by_model:
        return {}
    best = best_mean(by_model, better)
    comparable = (
        model for model in by_model if model != best and any(seed in by_model[best] for seed in by_model[model])
    )
    differences = {model: differences_by_seed(by_model[model], by_model[best]) for model in comparable}
    p: dict[str, float] = {}
    for pairs in {len(each) for each in differences.values()} - set(range(MIN_PERMUTATION_PAIRS)):
        alike = {model: each for model, each in differences.items() if len(each) == pairs}
        p |= zip(alike, np.asarray(sign_flip_p(np.stack([*alike.values()], axis=1))).tolist(), strict=True)
    return {model: paired_from(each, interval=False, p=p.get(model)) for model, each in differences.items()}
