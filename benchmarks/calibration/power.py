"""Power: the share of draws of a faulty sampler that a metric detects.

A metric raises an alarm at level 5 % if its value lies beyond all but 5 % of its values on the true sampler, at the
same number of samples. Values count on the worse side, or on both sides if the metric has no direction. A value that
equals the threshold counts as a fraction of an alarm, so that the level is exact. The power is the share of draws of a
faulty sampler that raise an alarm. False alarms are counted on other draws of the true sampler than the threshold uses.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.calibration.faults import Pool
from benchmarks.calibration.tasks import Task
from genbench.analysis.means import LEVEL
from genbench.registry import metrics
from genbench.seeds import derive, generator

TRUE, THRESHOLD = "true sampler", "threshold"
"""Samplers without a fault: the first counts false alarms, the second gives the thresholds."""
CERTAIN = 0.99
"""Stop increasing n once the power reaches this."""


@dataclass(frozen=True)
class Draws:
    """Numbers of draws at each number of samples: for the threshold, for false alarms, for the power of a fault."""

    threshold: int
    alarms: int
    power: int


FULL = Draws(999, 1000, 50)


class Sampler(NamedTuple):
    """A sampler: its label, its fault ("" without one) and size, and its pool."""

    label: str
    fault: str
    size: float
    pool: Pool


def measure(task: Task, draws: Draws, progress: Callable[[str], None] = lambda line: None) -> Iterator[dict[str, Any]]:
    """Yield rows, one for each sampler and each value of a metric, with lists over the numbers of samples.

    All rows have the mean and standard deviation of the metric. The row of a faulty sampler has the power. The row of
    the true sampler has the share of false alarms, the deviation of this share from the level by chance, and the
    seconds.
    """
    thresholds: dict[tuple[str, int], Mapping[str, list[float]]] = {}
    for sampler in samplers(task):
        began = time.process_time()
        for metric in task.measures:
            rows: dict[str, dict[str, Any]] = {}
            for n in task.n:
                if n > task.largest.get(metric, n):
                    break
                if not sampler.fault:
                    thresholds[metric, n] = _values(task, THRESHOLD, sampler.pool, metric, n, draws.threshold)[0]
                count = draws.power if sampler.fault else draws.alarms
                values, seconds = _values(task, sampler.label, sampler.pool, metric, n, count)
                for part, drawn in values.items():
                    share = alarms(thresholds[metric, n][part], drawn, metrics[metric].traits["better"])
                    found: dict[str, float] = {"n": n, "power" if sampler.fault else "alarms": share}
                    found |= {"mean": float(np.mean(drawn)), "sd": float(np.std(drawn, ddof=1))}
                    found |= {} if sampler.fault else {"alarms_sd": alarms_sd(draws), "seconds": seconds}
                    _add(rows.setdefault(part, {}), found)
                if sampler.fault and min(row["power"][-1] for row in rows.values()) >= CERTAIN:
                    break
            for part, row in rows.items():
                name = f"{metric}.{part}" if part else metric
                about = {"fault": sampler.fault, "size": sampler.size} if sampler.fault else {}
                yield {"task": task.name, "metric": name, "sampler": sampler.label, **about, **row}
        progress(f"{task.name}, {sampler.label}: {time.process_time() - began:.0f} s")


def samplers(task: Task) -> Iterator[Sampler]:
    """Yield the true sampler, then the faulty ones."""
    yield Sampler(TRUE, "", 0.0, task.prepare(task.real.pool))
    for kind in task.faults:
        for size in kind.sizes:
            stream = generator(0, "calibration", task.name, kind.label, str(size))
            pool = task.prepare(kind.apply(task.real, size, stream))
            yield Sampler(kind.label.format(size), kind.label, size, pool)


def alarms(true: Sequence[float], values: Sequence[float], better: str) -> float:
    """Return the share of values that lie beyond all but 5 % of the true sampler's values, on the worse side.

    A value has a rank among the values of the true sampler, with ties broken at random. The rank is uniform if the
    value also comes from the true sampler. A value counts with the probability that its rank is an alarm, so the level
    is exact for any number of draws, with ties and on two sides.

    >>> alarms(range(99), [92.5, 93.5, 94.5], "lower"), alarms(range(99), [3.5, 4, 9], "higher")
    (0.3333333333333333, 0.5)
    >>> alarms([1.0] * 99, [1.0], "none")
    0.05
    """
    ordered, tested = np.sort(np.asarray(true, dtype=float)), np.asarray(values, dtype=float)
    below, up_to = (np.searchsorted(ordered, tested, side=side) for side in ("left", "right"))
    worse = {"lower": [len(ordered) - up_to], "higher": [below]}.get(better, [len(ordered) - up_to, below])
    places = LEVEL / len(worse) * (len(ordered) + 1)
    return float(np.sum([((places - rank) / (up_to - below + 1)).clip(0, 1) for rank in worse], 0).mean())


def alarms_sd(draws: Draws) -> float:
    """Return the standard deviation of the share of false alarms, for continuous values.

    Given the threshold, the number of alarms is binomial; the level of the threshold has a beta distribution.

    >>> round(alarms_sd(Draws(299, 400, 50)), 4), round(alarms_sd(Draws(999, 1000, 50)), 4)
    (0.0166, 0.0097)
    """
    total = draws.threshold + 1
    return math.sqrt(LEVEL * (1 - LEVEL) * (total + draws.alarms) / (draws.alarms * (total + 1)))


def smallest_n(n: Sequence[int], power: Sequence[float], enough: float = 0.9) -> int | None:
    """Return the smallest number of samples from which on the power is high enough; None if it never is.

    >>> smallest_n([10, 20, 40], [0.5, 0.95, 1.0]), smallest_n([10, 20], [0.95, 0.5])
    (20, None)
    """
    smallest = None
    for count, value in zip(n, power, strict=True):
        smallest = (smallest or count) if value >= enough else None
    return smallest


def _add(row: dict[str, Any], found: Mapping[str, float]) -> None:
    """Add what was measured at one number of samples."""
    for name, value in found.items():
        row.setdefault(name, []).append(float(f"{value:.4g}") if name != "n" else value)


def _values(
    task: Task, role: str, pool: Pool, metric: str, n: int, count: int
) -> tuple[Mapping[str, list[float]], float]:
    """Return the values of the parts of a metric over draws, and its seconds per draw."""
    by_part: dict[str, list[float]] = {}
    seconds = 0.0
    for index in range(count):
        purpose = ("calibration", task.name, role, n, index)
        batch, seed = pool.draw(n, generator(0, *purpose)), derive(0, *purpose, "seed")
        began = time.process_time()
        with torch.no_grad():
            values = task.measures[metric](batch, seed)
        seconds += time.process_time() - began
        for part, value in values.items():
            by_part.setdefault(part, []).append(value)
    return by_part, seconds / count
