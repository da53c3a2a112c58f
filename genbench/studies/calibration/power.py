"""Power: the share of draws of a faulty sampler that a metric detects.

A metric raises an alarm at level 5 % if its value lies beyond all but 5 % of its values on the true sampler, at the
same number of samples: on the side that is worse, or on either side if neither is. Its power is the share of draws of a
faulty sampler that raise an alarm. False alarms are counted on draws of the true sampler that are independent of those
of the threshold. Values are kept in the cache as they are measured, so a stopped calibration is resumed.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache as once
from typing import Any, NamedTuple

import numpy as np
import torch

from genbench.analysis.means import LEVEL
from genbench.registry import metrics
from genbench.seeds import derive, generator
from genbench.storage import cache
from genbench.studies.calibration.faults import Pool
from genbench.studies.calibration.tasks import Task

VERSION = 2
"""Raised whenever the same draws would give other numbers."""
TRUE, THRESHOLD = "true sampler", "threshold"
"""Samplers without a fault: that on which false alarms are counted, and that of the thresholds."""
CERTAIN = 0.99
"""Stop increasing n once the power reaches this."""


@dataclass(frozen=True)
class Draws:
    """Numbers of draws at each number of samples: for the threshold, for false alarms, for the power of a fault."""

    threshold: int
    alarms: int
    power: int


FULL = {"8gaussians": Draws(299, 400, 50), "digits": Draws(299, 400, 50), "cifar10": Draws(299, 400, 50)}
QUICK = {"8gaussians": Draws(99, 100, 25), "digits": Draws(99, 100, 25), "cifar10": Draws(19, 20, 5)}


class Sampler(NamedTuple):
    """A sampler: its label, its fault ("" without one) and size, and its pool, made when it is first drawn from."""

    label: str
    fault: str
    size: float
    pool: Callable[[], Pool]


class OutOfTime(Exception):
    """The time for new draws is over; those of the cache are still read."""


def measure(
    task: Task, draws: Draws, until: float = float("inf"), progress: Callable[[str], None] = lambda line: None
) -> Iterator[dict[str, Any]]:
    """Yield rows, one for each sampler and each value of a metric, with lists over the numbers of samples.

    A row has the power on a faulty sampler, or the share of false alarms and the seconds on the true one, and mean and
    standard deviation of the metric.
    """
    thresholds: dict[tuple[str, int], Mapping[str, list[float]]] = {}
    for sampler in samplers(task):
        began = time.process_time()
        for metric in task.measures:
            rows: dict[str, dict[str, Any]] = {}
            for n in task.n:
                if n > task.largest.get(metric, n):
                    break
                try:
                    if not sampler.fault:
                        thresholds[metric, n] = _values(task, THRESHOLD, sampler, metric, n, draws.threshold, until)[0]
                    count = draws.power if sampler.fault else draws.alarms
                    values, seconds = _values(task, sampler.label, sampler, metric, n, count, until)
                except OutOfTime:
                    break
                if (metric, n) not in thresholds:
                    break
                for part, drawn in values.items():
                    share = alarms(thresholds[metric, n][part], drawn, metrics[metric].traits["better"])
                    _add(rows.setdefault(part, {}), sampler, n, share, drawn, seconds)
                if sampler.fault and min(row["power"][-1] for row in rows.values()) >= CERTAIN:
                    break
            for part, row in rows.items():
                name = f"{metric}.{part}" if part else metric
                about = {"fault": sampler.fault, "size": sampler.size} if sampler.fault else {}
                yield {"task": task.name, "metric": name, "sampler": sampler.label, **about, **row}
        progress(f"{task.name}, {sampler.label}: {time.process_time() - began:.0f} s")


def samplers(task: Task) -> Iterator[Sampler]:
    """Yield the true sampler, then the faulty ones."""
    yield Sampler(TRUE, "", 0.0, once(lambda: task.prepare(task.real.pool)))
    for kind in task.faults:
        for size in kind.sizes:
            stream = generator(0, "calibration", task.name, kind.label, str(size))
            label = kind.label.format(size)
            pool = once(lambda kind=kind, size=size, stream=stream: task.prepare(kind.apply(task.real, size, stream)))
            yield Sampler(label, kind.label, size, pool)


def alarms(true: Sequence[float], values: Sequence[float], better: str) -> float:
    """Return the share of values that lie beyond all but 5 % of those of the true sampler, on the side that is worse.

    The rank of a value among those of the true sampler is its p: the level is exact for any number of draws.

    >>> alarms(range(99), [93, 94, 95], "lower"), alarms(range(99), [0, 3, 4, 5, 98], "higher")
    (0.3333333333333333, 0.4)
    """
    ordered, tested = np.sort(np.asarray(true, dtype=float)), np.asarray(values, dtype=float)
    total = len(ordered) + 1
    above = (total - np.searchsorted(ordered, tested, side="left")) / total
    below = (1 + np.searchsorted(ordered, tested, side="right")) / total
    p = {"lower": above, "higher": below}.get(better, np.minimum(1, 2 * np.minimum(above, below)))
    return float((p <= LEVEL * (1 + 1e-9)).mean())


def smallest_n(n: Sequence[int], power: Sequence[float], enough: float = 0.9) -> int | None:
    """Return the number of samples from which on the power is enough, None if it never is.

    >>> smallest_n([10, 20, 40], [0.5, 0.95, 1.0]), smallest_n([10, 20], [0.95, 0.5])
    (20, None)
    """
    smallest = None
    for count, value in zip(n, power, strict=True):
        smallest = (smallest or count) if value >= enough else None
    return smallest


def _add(row: dict[str, Any], sampler: Sampler, n: int, share: float, values: Sequence[float], seconds: float) -> None:
    """Add what was measured at one number of samples."""
    measured: dict[str, float] = {"n": n, "power" if sampler.fault else "alarms": share}
    measured |= {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1))}
    measured |= {} if sampler.fault else {"seconds": seconds}
    for name, value in measured.items():
        row.setdefault(name, []).append(float(f"{value:.4g}") if name != "n" else n)


def _values(
    task: Task, role: str, sampler: Sampler, metric: str, n: int, count: int, until: float
) -> tuple[Mapping[str, list[float]], float]:
    """Return the values of the parts of a metric over draws, and its seconds per draw."""

    def make() -> str:
        if time.process_time() > until:
            raise OutOfTime
        pool, measure = sampler.pool(), task.measures[metric]
        by_part: dict[str, list[float]] = {}
        seconds = 0.0
        for index in range(count):
            purpose = ("calibration", task.name, role, n, index)
            batch, seed = pool.draw(n, generator(0, *purpose)), derive(0, *purpose, "seed")
            began = time.process_time()
            with torch.no_grad():
                values = measure(batch, seed)
            seconds += time.process_time() - began
            for part, value in values.items():
                by_part.setdefault(part, []).append(value)
        return json.dumps({"values": by_part, "seconds": seconds / count}, allow_nan=False)

    key = cache.key(
        version=VERSION, trial=task.key, role=role, sampler=sampler.label, metric=metric, n=n, count=count,
        of=metrics[metric].version,
    )  # fmt: skip
    kept = json.loads(cache.text("calibration", f"{task.name}-{key}.json", make))
    return kept["values"], kept["seconds"]
