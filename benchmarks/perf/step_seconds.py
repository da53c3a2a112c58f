"""Processor seconds of training of every method of a track, alone and on one thread, the methods in turns.

    python benchmarks/perf/step_seconds.py plane-v1    # on an idle machine; writes a file beside the track

A turn trains each method with default settings on the first task twice: for few steps and for more steps. Work that
each training does once, such as the pairs of reflow, cancels in the difference. A first training fills the caches of
compilation and of potentials. Training a teacher counts. The figure is the median over turns; a turn starts only if it
is expected to end within nine minutes. The file is written after each turn.
"""

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from machine import here

from genbench.errors import Unsupported
from genbench.report.track_cells import SECONDS, Seconds
from genbench.runs.run import train
from genbench.runs.spec import Spec
from genbench.runs.store import Store
from genbench.settings import Settings
from genbench.suites import find
from genbench.sweeps.ensembles import among
from genbench.sweeps.set_options import parse_set_options
from genbench.sweeps.suite import load

STEPS = (100, 600)
TURNS = 3
LIMIT = 540
"""Seconds within which a further turn has to end."""


def cells(track: Path, settings: Settings) -> dict[str, Spec]:
    """Return {row: its cell with default settings on the first task}."""
    found = load(track, settings)
    first = found.specs[0].data_label
    rows = {}
    for spec, places in zip(found.specs, found.places, strict=True):
        for place in places:
            if spec.data_label == first and "default" in place["tables"]:
                rows.setdefault(place["row"], among(spec, [spec.seed]))
    return rows


def processor_seconds(spec: Spec, steps: int) -> float:
    """Return the processor time of a training."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        train(replace(spec, plan={**spec.plan, "steps": steps}), Store(Path(folder)), {})
        return time.process_time() - began


def main() -> None:
    """Measure a track."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("track")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="SECTION.NAME=VALUE")
    arguments = parser.parse_args()
    path = find(arguments.track)
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    measured: dict[str, list[float]] = {}
    rows = cells(path, parse_set_options(arguments.settings))
    machine = f"{here()} Load {load:.1f} on {os.cpu_count()} cores at the start."
    task = next(iter(rows.values())).data_label
    began, longest = time.monotonic(), 0.0
    for row, spec in list(rows.items()):
        try:
            processor_seconds(spec, 1)
        except Unsupported:
            del rows[row]
    for turn in range(TURNS):
        if (start := time.monotonic()) - began + longest > LIMIT:
            break
        for row, spec in rows.items():
            few, more = (processor_seconds(spec, steps) for steps in STEPS)
            measured.setdefault(row, []).append(1000 * (more - few) / (STEPS[1] - STEPS[0]))
            print(f"turn {turn + 1}: {row} {measured[row][-1]:.3g}", flush=True)
        longest = max(longest, time.monotonic() - start)
        seconds = {row: float(f"{statistics.median(turns):.3g}") for row, turns in measured.items()}
        found = Seconds(task=task, machine=machine, seconds=seconds)
        path.with_suffix(SECONDS).write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
