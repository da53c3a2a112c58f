"""Random halves of samples: the interval of a value that is not a mean, a W2 or a Frechet distance."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import stdtrit

from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation, values_of
from genbench.registry import metrics
from genbench.seeds import generator

HALVES = 12


def half_intervals(
    evaluation: Evaluation, name: str, settings: Mapping, rows: Sequence[Mapping[str, Any]], halves: int = HALVES
) -> dict[str, float]:
    """Return half the 95 % t interval of the values of a metric of samples, by the delete-half jackknife.

    A statistic of n samples varies as much as that of a random half of them varies around its mean (Shao and Wu, 1989).
    The interval is for the mean of the metric over samples of this size and the same real data, and covers it in 93 to
    97 % of evaluations; in more where a distance is near 0 and so no longer smooth, since halves vary more. A metric
    that needs more samples than half of them has none, nor has one whose value is the same for all halves, such as a
    share of 0.

    Args:
        evaluation: the samples and what they are compared with.
        settings: bound settings of the metric.
        rows: its values. It is measured on halves of the samples that it took, the first ones: as many as its value
            has, or its setting n (by default all) if it drops some of them.
        halves: number of random halves.
    """
    n = settings.get("n") or len(evaluation.x)
    if not metrics[name].traits.get("drops"):
        n = min(rows[-1]["n"], len(evaluation.x))
    of_half = {**settings, "n": n // 2} if settings.get("n") else settings
    values: dict[str, list[float]] = defaultdict(list)
    for index in range(halves if n > 1 else 0):
        order = torch.randperm(n, generator=generator(evaluation.seed, "half", index))
        try:
            found = values_of(metrics[name], evaluation.part(order[: n // 2]), of_half)
        except Unsupported:
            return {}
        for value in found:
            values[f"{name}.{value.part}" if value.part else name].append(value.value)
    factor = float(stdtrit(halves - 1, 0.975))
    spread = {row: np.array(found) for row, found in values.items() if len(found) == halves and np.ptp(found) > 0}
    return {row: factor * float(found.std(ddof=1)) for row, found in spread.items()}
