"""Processor seconds of training of every method of a track, alone and on one thread, the methods in turns.

    python benchmarks/perf/step_seconds.py plane-v1    # on an idle machine; writes a file beside the track

Tasks of one shape cost about the same; the first task of each shape is measured. A turn trains each method with default
settings on these tasks twice: for few steps and for more steps. Work that each training does once cancels in the
difference. A teacher's pairs would not cancel, because a solver takes more or fewer steps for another teacher: reflow
draws only one batch of them here. The training of a teacher counts. Each method first trains once without being timed,
which compiles it and computes its potentials. The figure is the median over turns. A turn starts only if it should end
within twelve minutes, and the file is written after each turn.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from machine import here

from genbench.errors import Unsupported
from genbench.report.track_cells import SECONDS, Seconds, ShapeSeconds
from genbench.runs.run import train
from genbench.runs.spec import Spec, plan_of
from genbench.runs.store import Store
from genbench.settings import Settings
from genbench.suites import find
from genbench.sweeps.ensembles import among
from genbench.sweeps.set_options import parse_set_options
from genbench.sweeps.suite import load

STEPS, OF_IMAGES, COMPILED = (100, 600), (10, 60), (20, 220)
"""Few and more steps. A step of images takes much longer. Compiled steps need more of them, because the seconds of
compilation cancel only on average."""
TURNS = 3
LIMIT = 700
"""Seconds within which a further turn has to end."""


def shapes(track: Path, settings: Settings) -> dict[tuple[str, ...], dict[str, Spec]]:
    """Return {tasks of one shape: {row that takes steps: its cell with default settings on the first of them}}."""
    found = load(track, settings)
    tasks: dict[tuple[int, ...], list[str]] = {}
    rows: dict[tuple[str, str], Spec] = {}
    for spec, places in zip(found.specs, found.places, strict=True):
        own = tasks.setdefault(spec.event.shape, [])
        own += [spec.data_label] if spec.data_label not in own else []
        for place in places:
            if "default" in place["tables"] and plan_of(spec).steps:
                rows.setdefault((spec.data_label, place["row"]), among(spec, [spec.seed]))
    return {tuple(own): {row: spec for (task, row), spec in rows.items() if task == own[0]} for own in tasks.values()}


def processor_seconds(spec: Spec, steps: int) -> float:
    """Return the processor time of a training.

    Raises:
        Unsupported: if the model cannot be trained on the data.
    """
    pairs = {"pairs": plan_of(spec).batch_size} if "pairs" in spec.model else {}
    short = replace(spec, plan={**spec.plan, "steps": steps}, model={**spec.model, **pairs})
    with tempfile.TemporaryDirectory() as folder:
        store, began = Store(Path(folder)), time.process_time()
        train(short, store, {})
        if not store.has_weights(short):
            raise Unsupported(f"{spec.model_label} on {spec.data_label} was not trained")
        return time.process_time() - began


def of_steps(spec: Spec) -> float:
    """Return the processor seconds of 1,000 steps."""
    few, more = COMPILED if plan_of(spec).compile else OF_IMAGES if spec.event.is_image else STEPS
    short, long = (processor_seconds(spec, steps) for steps in (few, more))
    return 1000 * (long - short) / (more - few)


def supported(rows: Mapping[str, Spec]) -> dict[str, Spec]:
    """Return the rows that can be trained; each has its first training."""
    found: dict[str, Spec] = {}
    for row, spec in rows.items():
        with suppress(Unsupported):
            processor_seconds(spec, 1)
            found[row] = spec
    return found


def main() -> None:
    """Measure a track."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("track")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="SECTION.NAME=VALUE")
    arguments = parser.parse_args()
    path = find(arguments.track)
    torch.set_num_threads(1)
    busy, cores = round(os.getloadavg()[0], 1), os.cpu_count() or 1
    began, longest = time.monotonic(), 0.0
    specs = {tasks: supported(rows) for tasks, rows in shapes(path, parse_set_options(arguments.settings)).items()}
    measured: dict[tuple[str, str], list[float]] = {}
    for turn in range(TURNS):
        start = time.monotonic()
        if turn and start - began + longest > LIMIT:
            break
        for (task, *_), rows in specs.items():
            for row, spec in rows.items():
                measured.setdefault((task, row), []).append(of_steps(spec))
                print(f"turn {turn + 1}: {row} on {task} {measured[task, row][-1]:.3g}", flush=True)
        longest = max(longest, time.monotonic() - start)
        found = [
            ShapeSeconds(tasks=[*own], seconds={row: _median(measured[own[0], row]) for row in rows})
            for own, rows in specs.items()
        ]
        result = Seconds(machine=here(), load=busy, cores=cores, shapes=found)
        path.with_suffix(SECONDS).write_text(result.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _median(turns: list[float]) -> float:
    return float(f"{statistics.median(turns):.3g}")


if __name__ == "__main__":
    main()
