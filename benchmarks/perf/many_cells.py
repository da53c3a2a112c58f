"""Make a finished suite of thousands of cells with synthetic values, and measure the commands that read it.

    python benchmarks/perf/many_cells.py FOLDER [CELLS]

Writes FOLDER/many.toml and FOLDER/results unless they are there, then measures `status`, `sweep` with everything done,
and `report`, and prints seconds and peak memory of each.
"""

import random
import resource
import subprocess
import sys
import time
from pathlib import Path

from genbench.metrics.sampling import Sampling
from genbench.runs.record_types import Record, Row
from genbench.runs.spec import Spec, sampling_of
from genbench.runs.store import Store, labels_of, run_name
from genbench.sweeps.suite import load

SUITE = """
datasets = [
  "moons", {{name = "moons", scale = "tutorial"}}, {{name = "8gaussians", modes = [4, 6, 8]}},
  "gaussian", "mixture", "8gaussians-moons",
]
models = [
  "cfm", "otcfm", "sbcfm", "fm", "vp", {{name = "wcfm", kappa = [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 4.0]}},
  {{name = "cfm", sigma = [0.05, 0.1, 0.2, 0.3, 0.4]}},
]
metrics = ["sliced_w2", "energy_distance", "path_energy", "straightness", "nfe", "parameters", "failed"]
seeds = {seeds}
plan = {{steps = 1000}}
evaluation = {{n = 1024, curve = [1, 2, 4, 8]}}
"""
CURVE_METRICS = ("sliced_w2", "energy_distance")


def main(folder: Path, cells: int) -> None:
    """Make the folder and time the commands."""
    suite, results = folder / "many.toml", folder / "results"
    if not suite.exists():
        folder.mkdir(parents=True, exist_ok=True)
        suite.write_text(SUITE.format(seeds=list(range(max(1, cells // 160)))), encoding="utf-8")
        write(Store(results), load(suite).specs)
    timed("imports alone", "-c", "import genbench.report.publish")
    timed("status", "-m", "genbench", "results", "status", "--results", results)
    timed("sweep", "-m", "genbench", "sweep", suite, "--results", results)
    timed("report", "-m", "genbench", "report", "--results", results)


def timed(name: str, *arguments: str | Path) -> None:
    """Run Python, and print time and peak memory. The peak is the maximum over all children so far."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    wall = time.monotonic() - began
    print(f"{name}: {wall:.1f} s, {cpu:.1f} s of CPU, at most {after.ru_maxrss / 1024:.0f} MiB", flush=True)


def write(store: Store, specs: list[Spec]) -> None:
    """Write a record for every cell."""
    for spec in specs:
        path = store.record_path(spec)
        path.parent.mkdir(parents=True, exist_ok=True)
        store.write_record(spec, invented(spec))


def invented(spec: Spec) -> Record:
    """Return a record whose values are drawn around a mean of the model."""
    draw, sampling = random.Random(run_name(spec)), sampling_of(spec)
    rows = [row(metric, draw, sampling) for metric in spec.metrics]
    rows += [row(metric, draw, sampling, nfe) for metric in CURVE_METRICS for nfe in sampling.curve]
    made = {"code": {"genbench": "0"}, "machine": {"device": "cpu"}}
    training = {"train_seconds": 2.0, "train_peak_mib": 300.0, "steps_per_second": 500.0, "parameters": 8000}
    measured = {"sample_seconds": 0.5, "evaluate_seconds": 1.0, "evaluate_peak_mib": 310.0}
    measurements = [{**made, "metrics": sorted(spec.metrics), "cost": measured}]
    provenance = {"data": {}, "training": {**made, "cost": training}, "measurements": measurements}
    return {"labels": labels_of(spec), "spec": spec.json(), "results": rows, "provenance": provenance}


def row(metric: str, draw: random.Random, sampling: Sampling, nfe: int | None = None) -> Row:
    """Return an invented value."""
    point = "main" if nfe is None else "curve"
    found = Row(metric=metric, value=draw.lognormvariate(0, 0.3), better="lower", point=point, solver=None, nfe=nfe)
    solver = "dopri5" if nfe is None else "euler"
    return {**found, "solver": solver, "nfe": nfe or 60, "n": sampling.n, "protocol": f"n={sampling.n}", "floor": 0.1}


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 8000)
