"""Time and memory as a function of problem size, on one thread, each size in a separate process.

    python benchmarks/perf/scaling.py --results results     # five minutes; writes results/scaling.csv and scaling.md
    python benchmarks/perf/scaling.py --only w2             # work items with this prefix; printed, not written

Time is the median of three; memory is the peak of the process minus its memory before the work began. scaling.md states
the exponents: slopes of the logarithms.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from machine import here

import genbench
from genbench.runs.make_spec import make_spec
from genbench.runs.record import format_record, read_record
from genbench.runs.store import Store, run_name
from genbench.sweeps.execution import execute

Work = Callable[[], object]
TURNS = 3
MIN_MIB = 8.0
"""Memory in MiB below which a measurement reflects the process and not the work."""
INTRODUCTION = f"""\
# Scaling

Made by `python benchmarks/perf/scaling.py --results results`, on one thread. {{here}}

An exponent of 1 means that time or memory doubles when the size doubles. Each exponent is a slope of logarithms over
the larger half of the sizes. Memory is what the work added to the process; below {MIN_MIB:g} MiB it has no exponent.
"""


def powers(low: int, high: int) -> list[int]:
    """Return powers of 2."""
    return [2**k for k in range(low, high + 1)]


def training(seeds: int = 1, batch: int = 256, dims: int = 2) -> Work:
    """Return fifty training steps of CFM with this many models as one ensemble."""
    from training import genbench_loop

    return genbench_loop("cfm", 50, seeds, batch, "gaussian", dims=dims)


def distance(name: str, n: int) -> Work:
    """Return a metric of n 2D samples, without its floor."""
    from genbench.metrics.evaluation import Evaluation
    from genbench.metrics.measurement import measure
    from genbench.registry import datasets

    data = datasets["8gaussians"].build()
    evaluation = Evaluation(data, 0, x=data.train.take(n, 0).x)
    evaluation.reference(n)
    return lambda: measure(evaluation, name, {"n": n}, with_floor=False)


def sampling(n: int) -> Work:
    """Return the sampling of n points from an untrained model by dopri5, in one batch."""
    from genbench.metrics.sampling import noise
    from genbench.registry import datasets, models
    from genbench.settings import bind, call

    data, build = datasets["8gaussians"].build(), models["cfm"].build
    model = call(build, data.event, data.source, settings=bind(build, {}, "cfm", context=data.event)).eval()
    x0 = noise(data.source, n, 0)
    return torch.no_grad()(lambda: model.sample(x0))


def many(store: Store, count: int) -> None:
    """Write this many records, copies of three."""
    settings = {"plan": {"steps": 1, "batch_size": 8}, "evaluation": {"n": 64, "curve": [1, 2, 4, 8]}}
    metrics = ["sliced_w2", "energy_distance", "nfe", "failed"]
    kinds = [make_spec("wcfm", d, metrics=metrics, settings=settings) for d in ("moons", "mixture", "8gaussians")]
    execute(kinds, store, 1, lambda event: None)
    made = [read_record(store.record_path(spec)) for spec in kinds]
    for number in range(len(kinds), count):
        spec = replace(kinds[number % len(kinds)], seed=number)
        record = made[number % len(kinds)]
        labels = {**record["labels"], "run": run_name(spec)}
        path = store.record_path(spec)
        path.parent.mkdir(parents=True)
        path.write_text(format_record({**record, "labels": labels, "spec": spec.json()}), encoding="utf-8")


def frame(records: int) -> Work:
    """Return the loading of a results folder into a table."""
    folder = tempfile.TemporaryDirectory()
    many(Store(Path(folder.name)), records)
    return lambda: (folder, genbench.frame(folder.name))


WORKS: dict[str, tuple[str, str, Callable[[int], Work], float, Sequence[int]]] = {
    # name: (work, size variable, function, items in one call, sizes)
    "train-seeds": ("training step of a stack", "seeds", lambda size: training(seeds=size), 50, powers(0, 6)),
    "train-batch": ("training step", "batch", lambda size: training(batch=size), 50, powers(6, 13)),
    "train-dims": ("training step", "dimensions", lambda size: training(dims=size), 50, powers(2, 11)),
    "sample": ("sampling by dopri5", "samples", sampling, 1, powers(8, 15)),
    "w2": ("w2", "samples", lambda size: distance("w2", size), 1, powers(8, 12)),
    "sliced": ("sliced_w2", "samples", lambda size: distance("sliced_w2", size), 1, powers(8, 14)),
    "energy": ("energy_distance", "samples", lambda size: distance("energy_distance", size), 1, powers(8, 13)),
    "index": ("a results folder into a table", "records", frame, 1, [100, 300, 1000, 3000, 10_000]),
}


def alone(name: str, size: int) -> dict[str, float]:
    """Measure one size in this process: median seconds per item, and peak memory above the baseline in MiB."""
    torch.set_num_threads(1)
    _, _, build, pieces, sizes = WORKS[name]
    build(sizes[0])()  # imports and allocations that do not depend on the size
    work = build(size)
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # reset the peak
    seconds = []
    for _ in range(TURNS):
        began = time.perf_counter()
        work()
        seconds.append((time.perf_counter() - began) / pieces)
    return {"seconds": statistics.median(seconds), "mib": _memory("VmHWM") - before}


def _memory(name: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition(f"{name}:")[2].split()[0]) / 1024


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope of log value over log size, on the larger half of the sizes, three at least.

    >>> round(exponent([1, 2, 4, 8], [5, 4, 16, 64]), 3)
    2.0
    """
    pairs = sorted(zip(sizes, values, strict=True))
    x, y = np.log(pairs[min(len(pairs) // 2, len(pairs) - 3) :]).T
    return float(np.polyfit(x, y, 1)[0])


def page(lines: Sequence[str], measured: str) -> str:
    """Return a table of exponents from the lines of scaling.csv, without its header.

    Args:
        measured: says when, where and with which code.
    """
    works: dict[tuple[str, str], list[list[float]]] = {}
    for line in lines:
        work, against, *numbers = line.split(",")
        works.setdefault((work, against), []).append(list(map(float, numbers)))
    rows = [INTRODUCTION.format(here=measured)]
    rows += ["| work | size | range | exponent of time | exponent of memory | time at the largest | memory there |"]
    rows += ["|---|---|---:|---:|---:|---:|---:|"]
    for (work, against), measured in works.items():
        sizes, seconds, mib = zip(*measured, strict=True)
        memory = f"{exponent(sizes, mib):.2f}" if sorted(mib)[-3] >= MIN_MIB else "-"
        last = f"{seconds[-1]:.3g} s | {mib[-1]:.0f} MiB"
        sized = f"{sizes[0]:g} to {sizes[-1]:g}"
        rows.append(f"| {work} | {against} | {sized} | {exponent(sizes, seconds):.2f} | {memory} | {last} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    """Measure the selected work items."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="WORK", help=f"of {', '.join(WORKS)}")
    parser.add_argument("--results", type=Path, help="folder to write scaling.csv to; needs all works")
    parser.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(alone(options.alone[0], int(options.alone[1]))))
        return
    if options.results and options.only:
        parser.error("--results keeps all works: leave --only out")
    lines = ["work,against,size,seconds,mib"]
    for name, (work, against, _, _, sizes) in WORKS.items():
        if options.only and not name.startswith(tuple(options.only)):
            continue
        for size in sizes:
            command = [sys.executable, "-W", "ignore", __file__, "--alone", name, str(size)]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            lines.append(f"{work},{against},{size},{found['seconds']:.4g},{found['mib']:.1f}")
            print(lines[-1], flush=True)
    if options.results:
        (options.results / "scaling.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (options.results / "scaling.md").write_text(page(lines[1:], here()), encoding="utf-8")


if __name__ == "__main__":
    main()
