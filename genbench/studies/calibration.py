"""Calibration: which metric detects which fault with how many samples.

A metric raises an alarm at level 5 % if its value lies beyond all but 5 % of its values on the true sampler, at the
same number of samples: on the side that is worse, or on either side if neither is. Its power is the share of draws of a
faulty sampler that raise an alarm. False alarms are counted on draws of the true sampler that are independent of those
of the threshold. Values are kept in the cache as they are measured, so a calibration that was stopped goes on.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache as once
from pathlib import Path
from typing import Any, NamedTuple, NotRequired

import numpy as np
import torch
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from genbench.analysis.statistics import LEVEL
from genbench.errors import ConfigError
from genbench.registry import datasets, metrics
from genbench.seeds import derive, generator
from genbench.storage import cache, files
from genbench.studies import exact_fields, trials
from genbench.studies.faults import Pool
from genbench.studies.trials import Trial

FILE = "calibration.json"
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


FULL = {"8gaussians": Draws(299, 400, 50), "digits": Draws(299, 400, 50), "cifar10": Draws(59, 60, 20)}
QUICK = {"8gaussians": Draws(99, 100, 25), "digits": Draws(99, 100, 25), "cifar10": Draws(19, 20, 5)}


class Row(TypedDict):
    """What was found of a value of a metric on one sampler, in lists over the numbers of samples."""

    task: str
    metric: str
    sampler: str
    fault: NotRequired[str]
    size: NotRequired[float]
    n: list[int]
    alarms: NotRequired[list[float]]
    power: NotRequired[list[float]]
    mean: list[float]
    sd: list[float]
    seconds: NotRequired[list[float]]


class Kept(TypedDict):
    """The file of a calibration."""

    versions: dict[str, int]
    rows: list[Row]
    fields: list[dict[str, Any]]


KEPT = TypeAdapter(Kept)


class Sampler(NamedTuple):
    """A sampler: its label, its fault ("" without one) and size, and its pool, made when it is first drawn from."""

    label: str
    fault: str
    size: float
    pool: Callable[[], Pool]


class Spent(Exception):
    """The time for new draws is over; those of the cache are still read."""


def calibrate(
    results: Path,
    seeds: Sequence[int],
    *,
    images: Path | None = None,
    tasks: Sequence[str] = (),
    minutes: float = 90.0,
    progress: Callable[[str], None] = lambda line: None,
) -> Path:
    """Calibrate on all tasks and write the results; return the file.

    Args:
        results: folder of the file; tasks that are not calibrated now stay as they are.
        seeds: of the exact fields.
        images: folder or archive of CIFAR-10; without it that task is left out.
        tasks: names of tasks; by default all.
        minutes: of processor time for new draws on all tasks together; draws beyond this budget are skipped.
        progress: called with a line for each sampler.

    Raises:
        ConfigError: on an unknown task, or one whose images are missing.
    """
    rows, seconds_left = load(results), 60 * minutes
    for trial in chosen(tasks, images):
        began = time.process_time()
        found = list(measure(trial, FULL[trial.name], began + seconds_left, progress))
        seconds_left -= time.process_time() - began
        rows = [row for row in rows if row["task"] != trial.name] + found
        _write(results, rows, _fields(results, seeds))
    return results / FILE


def quick(images: Path | None = None, tasks: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the rows of a calibration of two minutes in all: fewer draws, middle-sized faults. Nothing is written."""
    found: list[dict[str, Any]] = []
    until = time.process_time() + 120
    for trial in chosen(tasks, images):
        kinds = tuple(kind._replace(sizes=kind.sizes[1:2]) for kind in trial.faults)
        small = replace(trial, faults=kinds, n=trial.n[:4])
        found += measure(small, QUICK[trial.name], until, lambda line: None)
    return found


def chosen(tasks: Sequence[str], images: Path | None) -> Iterator[Trial]:
    """Yield the trials on the named tasks, by default on all whose data is there."""
    known = {"8gaussians": trials.points, "digits": trials.digits}
    if images is not None:
        known["cifar10"] = lambda: trials.cifar10(images)
    for name in tasks or known:
        if name not in known:
            needed = "name its images by --images" if name == "cifar10" else f"choose from {', '.join(FULL)}"
            raise ConfigError(f"no calibration on {name}: {needed}")
        yield known[name]()


def measure(
    trial: Trial, draws: Draws, until: float = float("inf"), progress: Callable[[str], None] = lambda line: None
) -> Iterator[dict[str, Any]]:
    """Yield rows, one for each sampler and each value of a metric, with lists over the numbers of samples.

    A row has the power on a faulty sampler, or the share of false alarms and the seconds on the true one, and mean and
    standard deviation of the metric.
    """
    thresholds: dict[tuple[str, int], Mapping[str, list[float]]] = {}
    for sampler in samplers(trial):
        began = time.process_time()
        for metric in trial.measures:
            rows: dict[str, dict[str, Any]] = {}
            for n in trial.n:
                if n > trial.largest.get(metric, n):
                    break
                try:
                    if not sampler.fault:
                        thresholds[metric, n] = _values(trial, THRESHOLD, sampler, metric, n, draws.threshold, until)[0]
                    count = draws.power if sampler.fault else draws.alarms
                    found, seconds = _values(trial, sampler.label, sampler, metric, n, count, until)
                except Spent:
                    break
                if (metric, n) not in thresholds:
                    break
                for part, values in found.items():
                    share = alarms(thresholds[metric, n][part], values, _better(metric))
                    _add(rows.setdefault(part, {}), sampler, n, share, values, seconds)
                if sampler.fault and min(row["power"][-1] for row in rows.values()) >= CERTAIN:
                    break
            for part, row in rows.items():
                name = f"{metric}.{part}" if part else metric
                about = {"fault": sampler.fault, "size": sampler.size} if sampler.fault else {}
                yield {"task": trial.name, "metric": name, "sampler": sampler.label, **about, **row}
        progress(f"{trial.name}, {sampler.label}: {time.process_time() - began:.0f} s")


def samplers(trial: Trial) -> Iterator[Sampler]:
    """Yield the true sampler, then the faulty ones."""
    yield Sampler(TRUE, "", 0.0, once(lambda: trial.prepare(trial.real.pool)))
    for kind in trial.faults:
        for size in kind.sizes:
            stream = generator(0, "calibration", trial.name, kind.label, str(size))
            label = kind.label.format(size)
            pool = once(lambda kind=kind, size=size, stream=stream: trial.prepare(kind.apply(trial.real, size, stream)))
            yield Sampler(label, kind.label, size, pool)


def alarms(true: Sequence[float], values: Sequence[float], better: str) -> float:
    """Return the share of values that lie beyond all but 5 % of those of the true sampler, on the side that is worse.

    The rank of a value among those of the true sampler is its p: the level is exact for any number of draws.

    >>> alarms(range(99), [93, 94, 95], "lower"), alarms(range(99), [0, 3, 4, 5, 98], "higher")
    (0.3333333333333333, 0.4)
    """
    ordered, own = np.sort(np.asarray(true, dtype=float)), np.asarray(values, dtype=float)
    total = len(ordered) + 1
    above = (total - np.searchsorted(ordered, own, side="left")) / total
    below = (1 + np.searchsorted(ordered, own, side="right")) / total
    p = {"lower": above, "higher": below}.get(better, np.minimum(1, 2 * np.minimum(above, below)))
    return float((p <= LEVEL * (1 + 1e-9)).mean())


def smallest_n(n: Sequence[int], power: Sequence[float], enough: float = 0.9) -> int | None:
    """Return the number of samples from which on the power is enough, None if it never is.

    >>> smallest_n([10, 20, 40], [0.5, 0.95, 1.0]), smallest_n([10, 20], [0.95, 0.5])
    (20, None)
    """
    found = None
    for count, value in zip(n, power, strict=True):
        found = (found or count) if value >= enough else None
    return found


def load(results: Path) -> list[dict[str, Any]]:
    """Return the rows of a results folder; none if there are none, or if they are of other versions."""
    return _kept(results).get("rows", [])


def fields(results: Path) -> list[dict[str, Any]]:
    """Return the rows of exact fields, as `load` does."""
    return _kept(results).get("fields", [])


def _better(metric: str) -> str:
    return metrics[metric].traits["better"]


def _add(row: dict[str, Any], sampler: Sampler, n: int, share: float, values: Sequence[float], seconds: float) -> None:
    """Add what was found at one number of samples."""
    found: dict[str, float] = {"n": n, "power" if sampler.fault else "alarms": share}
    found |= {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1))}
    found |= {} if sampler.fault else {"seconds": seconds}
    for name, value in found.items():
        row.setdefault(name, []).append(float(f"{value:.4g}") if name != "n" else n)


def _values(
    trial: Trial, role: str, sampler: Sampler, metric: str, n: int, count: int, until: float
) -> tuple[Mapping[str, list[float]], float]:
    """Return the values of the parts of a metric over draws, and its seconds per draw."""

    def make() -> str:
        if time.process_time() > until:
            raise Spent
        pool, measure = sampler.pool(), trial.measures[metric]
        found: dict[str, list[float]] = {}
        seconds = 0.0
        for index in range(count):
            purpose = ("calibration", trial.name, role, n, index)
            batch, seed = pool.draw(n, generator(0, *purpose)), derive(0, *purpose, "seed")
            began = time.process_time()
            with torch.no_grad():
                values = measure(batch, seed)
            seconds += time.process_time() - began
            for part, value in values.items():
                found.setdefault(part, []).append(value)
        return json.dumps({"values": found, "seconds": seconds / count}, allow_nan=False)

    key = cache.key(
        version=VERSION, trial=trial.key, role=role, sampler=sampler.label, metric=metric, n=n, count=count,
        of=metrics[metric].version,
    )  # fmt: skip
    kept = json.loads(cache.text("calibration", f"{trial.name}-{key}.json", make))
    return kept["values"], kept["seconds"]


def _fields(results: Path, seeds: Sequence[int]) -> list[dict[str, Any]]:
    kept = fields(results)
    return kept if {row.get("seed") for row in kept} == set(seeds) else list(exact_fields.measure_fields(seeds))


def _write(results: Path, rows: Sequence[Mapping[str, Any]], of_fields: Sequence[Mapping[str, Any]]) -> None:
    parts = {"versions": _versions(), "draws": {name: asdict(draws) for name, draws in FULL.items()}}
    lines = [f'"{name}": {json.dumps(value)}' for name, value in parts.items()]
    for name, listed in (("rows", rows), ("fields", of_fields)):
        inside = ",\n  ".join(json.dumps(row, allow_nan=False) for row in listed)
        lines.append(f'"{name}": [\n  {inside}\n]')
    files.write(results / FILE, "{" + ",\n ".join(lines) + "}\n")


def _kept(results: Path) -> dict[str, Any]:
    path, versions = results / FILE, _versions()
    try:
        kept = json.loads(files.read(path)) if path.exists() else {}
        if kept.get("versions") != versions:
            return {}
        KEPT.validate_python(kept)
        return kept
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path} is damaged; remove it, then genbench calibrate creates it again") from error


def _versions() -> dict[str, int]:
    """Return the versions of the calibration, its data sets and the metrics of exact fields."""
    names = (*FULL, *exact_fields.FIELDS)
    known = {f"data set {name}": datasets[name].version for name in names}
    return {"calibration": VERSION} | known | {f"metric {name}": metrics[name].version for name in exact_fields.METRICS}
