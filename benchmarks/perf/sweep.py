"""Sweeps: overhead per cell, memory over 1,000 cells, speed-up of 2 jobs, and loading of 10,000 records.

    python benchmarks/perf/sweep.py [--cells 1000] [--records 10000] [--rounds 3] [--steps 2000] [--only overhead ...]

Overhead is the time of the sweep minus the training and evaluation times in the records, with workers already running.
Sweeps with 1 job and with 2 alternate, and the ratio is the median over rounds, so that other load slows both equally.
The suite is a part of synthetic.toml.
"""

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from threadpoolctl import threadpool_limits

import genbench
from genbench.results.frames import cost_of
from genbench.runs.make_spec import make_spec
from genbench.runs.record import format_record, read_record
from genbench.runs.spec import Spec
from genbench.runs.store import Store, run_name
from genbench.sweeps.executors import ProcessPool, execute, run_here
from genbench.sweeps.jobs import Job, JobEvent, OnEvent, make_jobs
from genbench.sweeps.suite import load

TINY = {"plan": {"steps": 1, "batch_size": 8}, "evaluation": {"n": 16, "curve": []}}
SYNTHETIC = Path(__file__).parents[2] / "benchmarks/studies/earlier/synthetic.toml"


def tiny(seeds: range) -> list[Spec]:
    """Return cells with almost no work."""
    return [make_spec("cfm", "moons", seed=seed, metrics=["nfe"], settings=TINY) for seed in seeds]


@contextmanager
def runner(store: Store, jobs: int) -> Iterator[Callable[[Sequence[Job], OnEvent], None]]:
    """Yield what runs jobs, with worker processes that are running: each has run one tiny cell."""
    if jobs == 1:
        yield partial(run_here, store)
        return
    with ProcessPool(store, jobs) as pool:
        for attempt in range(20):
            pool.run(make_jobs(tiny(range(10_000 + 50 * attempt, 10_050 + 50 * attempt))), ignore)
            if len(pool.workers) == jobs:
                break
        yield pool.run


def timed(specs: Sequence[Spec], store: Store, jobs: int) -> float:
    """Run cells and return the elapsed time in seconds."""
    failed = []
    with runner(store, jobs) as run:
        began = time.perf_counter()
        run(make_jobs(specs), lambda event: failed.append(event.message) if event.kind == "failed" else None)
        seconds = time.perf_counter() - began
    assert not failed, failed
    return seconds


def worked(store: Store, spec: Spec) -> float:
    """Return the training and evaluation time stated in a record, in seconds."""
    cost = cost_of(read_record(store.record_path(spec)))
    return cost["train_seconds"] + cost["evaluate_seconds"]


def overhead(store: Store, cells: int, jobs: int) -> None:
    """Print the overhead per cell, and the memory of parent and workers during the sweep."""
    specs, done, failed = tiny(range(cells)), 0, []
    resident: dict[int, list[float]] = {}

    def count(event: JobEvent) -> None:
        nonlocal done
        done += event.kind == "done"
        if event.kind == "failed":
            failed.append(event.message)
        if event.kind == "done" and done in (cells // 10, cells // 2, cells):
            workers = [process.pid for process in multiprocessing.active_children()]
            resident[done] = [mebibytes(pid) for pid in (os.getpid(), *workers)]

    with runner(store, jobs) as run:
        began, busy = time.perf_counter(), time.process_time()
        run(make_jobs(specs), count)
        seconds, busy = time.perf_counter() - began, time.process_time() - busy
    assert not failed, failed
    work = sum(worked(store, spec) for spec in specs)
    beyond = 1000 * (jobs * seconds - work) / cells
    print(f"{jobs} job(s), {cells} cells: {seconds:.1f} s, {1000 * work / cells:.1f} ms of work a cell, ", end="")
    print(f"{beyond:.1f} ms beyond it; {1000 * busy / cells:.1f} ms of CPU a cell in the parent")
    for mark, (parent, *workers) in resident.items():
        print(f"  after {mark:>5} cells: parent {parent:.0f} MiB", *(f"worker {size:.0f} MiB" for size in workers))


def efficiency(folder: Path, rounds: int, steps: int) -> None:
    """Print the speed-up of 2 jobs over 1."""
    quick = {"cfm", "otcfm", "wcfm"}
    every = load(SYNTHETIC, {"plan": {"steps": steps}}).specs
    specs = [s for s in every if s.model["name"] in quick and s.data["name"] == "moons" and s.seed < 4]
    ratios = []
    for turn in range(rounds):
        one = timed(specs, Store(folder / f"one-{turn}"), 1)
        two = timed(specs, Store(folder / f"two-{turn}"), 2)
        ratios.append(one / two)
        print(f"round {turn + 1}: {len(specs)} cells, 1 job {one:.1f} s, 2 jobs {two:.1f} s, {one / two:.2f} times")
    speed = statistics.median(ratios)
    print(f"2 jobs are {speed:.2f} times as fast (median of {rounds}): parallel efficiency {100 * speed / 2:.0f} %")


def many(store: Store, count: int) -> None:
    """Write this many records, copies of three."""
    settings = {"plan": {"steps": 1, "batch_size": 8}, "evaluation": {"n": 64, "curve": [1, 2, 4, 8]}}
    metrics = ["sliced_w2", "energy_distance", "nfe", "failed"]
    kinds = [make_spec("wcfm", d, metrics=metrics, settings=settings) for d in ("moons", "mixture", "8gaussians")]
    execute(kinds, store, 1, ignore)
    made = [read_record(store.record_path(spec)) for spec in kinds]
    for number in range(len(kinds), count):
        spec = replace(kinds[number % len(kinds)], seed=number)
        record = made[number % len(kinds)]
        labels = {**record["labels"], "run": run_name(spec)}
        path = store.record_path(spec)
        path.parent.mkdir(parents=True)
        path.write_text(format_record({**record, "labels": labels, "spec": spec.json()}), encoding="utf-8")


def records(folder: Path, count: int) -> None:
    """Print the time to load a results folder with many records."""
    store = Store(folder / "many")
    many(store, count)
    for _ in range(3):
        began, busy = time.perf_counter(), time.process_time()
        table = genbench.frame(store.root)
        spent = f"{time.perf_counter() - began:.2f} s, {time.process_time() - busy:.2f} s of it on the CPU"
        print(f"{count} records, a table of {len(table)} rows: {spent}")


def mebibytes(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def ignore(event: JobEvent) -> None:
    """Ignore an event of a sweep."""


def main() -> None:
    """Run the selected measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--only", nargs="*", choices=("overhead", "efficiency", "records"))
    chosen = parser.parse_args()
    wanted = chosen.only or ("overhead", "efficiency", "records")
    print(json.dumps({"cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()}))
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        if "overhead" in wanted:
            for jobs in (1, 2):
                overhead(Store(Path(folder) / f"tiny-{jobs}"), chosen.cells, jobs)
        if "efficiency" in wanted:
            efficiency(Path(folder), chosen.rounds, chosen.steps)
        if "records" in wanted:
            records(Path(folder), chosen.records)


if __name__ == "__main__":
    main()
