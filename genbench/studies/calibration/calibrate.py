"""The calibration of all tasks, within a budget of time."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from genbench.errors import ConfigError
from genbench.studies.calibration import exact_fields, results_file
from genbench.studies.calibration.power import FULL, QUICK, measure
from genbench.studies.calibration.tasks import Task, captions, cifar10, digits, points

log = logging.getLogger("genbench")


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
        seeds: evaluation seeds of the exact fields.
        images: folder or archive of CIFAR-10; without it that task is left out.
        tasks: names of tasks; by default all.
        minutes: processor time for new draws on all tasks together; draws beyond this budget are skipped. A task that
            they leave incomplete keeps the rows that it had.
        progress: called with a line for each sampler.

    Raises:
        ConfigError: on an unknown task, or one whose images are missing.
    """
    rows, seconds_left = results_file.load(results), 60 * minutes
    for task in chosen(tasks, images):
        began = time.process_time()
        measured = list(measure(task, FULL[task.name], began + seconds_left, progress))
        seconds_left -= time.process_time() - began
        earlier = [row for row in rows if row["task"] == task.name]
        if sum(len(row["n"]) for row in measured) < sum(len(row["n"]) for row in earlier):
            log.warning("%s: the time is over; its earlier rows stay, and the same command goes on", task.name)
            continue
        others = [row for row in rows if row["task"] != task.name]
        rows = others + measured
        results_file.write(results, rows, _fields(results, seeds), {task.name: FULL[task.name]})
    return results / results_file.FILE


def quick(images: Path | None = None, tasks: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the rows of a calibration of two minutes in all: fewer draws, middle-sized faults. Nothing is written."""
    rows: list[dict[str, Any]] = []
    until = time.process_time() + 120
    for task in chosen(tasks, images):
        kinds = tuple(kind._replace(sizes=kind.sizes[1:2]) for kind in task.faults)
        small = replace(task, faults=kinds, n=task.n[:4])
        rows += measure(small, QUICK[task.name], until, lambda line: None)
    return rows


def chosen(tasks: Sequence[str], images: Path | None) -> Iterator[Task]:
    """Yield the named tasks, by default all whose data is there."""
    known = {"8gaussians": points, "digits": digits, "digits-captions": captions}
    if images is not None:
        known["cifar10"] = lambda: cifar10(images)
    for name in tasks or known:
        if name not in known:
            needed = "name its images by --images" if name == "cifar10" else f"choose from {', '.join(FULL)}"
            raise ConfigError(f"no calibration on {name}: {needed}")
        yield known[name]()


def _fields(results: Path, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Return the rows of exact fields: those in the file, if they are of these seeds."""
    kept = results_file.fields(results)
    return kept if {row.get("seed") for row in kept} == set(seeds) else list(exact_fields.measure_fields(seeds))
