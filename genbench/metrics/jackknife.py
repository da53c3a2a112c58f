"""Intervals of values from one evaluation: how much they would vary with other samples of the same model.

Most of our metrics of samples state a standard error in their details. Random halves give the interval of any metric of
samples: of those registered with halves=True, which are those of other libraries and a few of ours, by default.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import product
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
    evaluation: Evaluation,
    chosen: Mapping[str, Mapping],
    rows: Iterable[Mapping[str, Any]],
    halves: int = HALVES,
) -> dict[str, float]:
    """Return half the 95 % t interval of the values of metrics of samples, by the delete-half jackknife.

    A statistic of n samples varies as much as that of a random half of them varies around its mean (Shao and Wu, 1989).
    The interval is for the mean of the metric over samples of this size and the same real data, and covers it in 93 to
    97 % of evaluations; in more where a distance is near 0 and so no longer smooth, since halves vary more. A metric
    that needs more samples than half of them has none, nor has one whose value is the same for all halves, such as a
    share of 0.

    Args:
        evaluation: the samples and what they are compared with.
        chosen: {name: bound settings} of metrics; those of the model have no interval, nor those with halves=False.
        rows: their values. A metric is measured on halves of the samples that it took, the first ones: as many as its
            value has, or its setting n (by default all) if it drops some of them.
        halves: number of random halves.
    """
    of_samples = {name: own for name, own in chosen.items() if metrics[name].traits["of"] == "samples"}
    n_all = len(evaluation.x)
    known = [row for row in rows if row["value"] is not None]
    used = {row["metric"].partition(".")[0]: min(row["n"], n_all) for row in known}
    dropping = [name for name in of_samples.keys() & used if metrics[name].traits.get("drops")]
    used |= {name: of_samples[name].get("n") or n_all for name in dropping}
    values: dict[str, list[float]] = defaultdict(list)
    for n, index in product({used[name] for name in of_samples.keys() & used} - {1}, range(halves)):
        order = torch.randperm(n, generator=generator(evaluation.seed, "half", index))
        half = evaluation.part(order[: n // 2])
        for name, settings in of_samples.items():
            if used.get(name) != n or metrics[name].traits.get("halves") is False:
                continue
            try:
                found = values_of(metrics[name], half, {**settings, "n": n // 2} if settings.get("n") else settings)
            except Unsupported:
                continue
            for value in found:
                values[f"{name}.{value.part}" if value.part else name].append(value.value)
    factor = float(stdtrit(halves - 1, 0.975))
    spread = {name: np.array(found) for name, found in values.items() if len(found) == halves and np.ptp(found) > 0}
    return {name: factor * float(found.std(ddof=1)) for name, found in spread.items()}
