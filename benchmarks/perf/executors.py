"""What a cell of a sweep costs besides its own work: in one process, in several, and on Ray.

    python benchmarks/perf/executors.py     # three minutes; needs the extra ray

Each runs the same 64 short trainings. Seconds count from the first cell that starts to the last that ends, because
processes and clusters start once a sweep; the start is stated beside.
"""

import os
import tempfile
import time
from pathlib import Path

from machine import here
from ray.cluster_utils import Cluster

from genbench.runs.make_spec import make_spec
from genbench.runs.spec import Spec
from genbench.runs.store import Store
from genbench.sweeps.cells import CellEvent
from genbench.sweeps.execution import Workers, execute
from genbench.sweeps.ray_cluster import RayCluster

CELLS = 64
WORKERS = 4


def cells(steps: int) -> list[Spec]:
    """Return short trainings of CFM on moons, measured by one quick metric."""
    settings = {"plan": {"steps": steps}, "evaluation": {"n": 256, "curve": [], "floor": False}}
    return [make_spec("cfm", "moons", seed=seed, metrics=["sliced_w2"], settings=settings) for seed in range(CELLS)]


def seconds(specs: list[Spec], processes: int, ray: bool) -> tuple[float, float]:
    """Run the cells in an empty folder, and return the seconds of the start and those of the cells."""
    moments: list[float] = []

    def on_event(event: CellEvent) -> None:
        if event.kind in ("started", "done"):
            moments.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        cluster: Workers | None = RayCluster(store, specs) if ray else None
        begin = time.perf_counter()
        reasons = execute(specs, store, processes, on_event, cluster=cluster)
    assert reasons == [None] * CELLS
    return moments[0] - begin, moments[-1] - moments[0]


def main() -> None:
    """Print the seconds of each way, and its overhead a cell relative to an even share of the cells' own work."""
    print(here())
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": WORKERS, "include_dashboard": False})
    os.environ["RAY_ADDRESS"] = made.address
    ways = {"one process": (1, False), f"{WORKERS} processes": (WORKERS, False), f"Ray, {WORKERS} workers": (1, True)}
    for steps in (20, 500):
        specs, spent = cells(steps), {}
        for name, (processes, ray) in ways.items():
            start, spent[name] = seconds(specs, processes, ray)
            share = spent["one process"] / (1 if name == "one process" else min(WORKERS, os.cpu_count() or 1))
            overhead = 1000 * (spent[name] - share) / CELLS
            print(f"{steps} steps, {name}: start {start:.1f} s, {spent[name]:.1f} s, overhead {overhead:.0f} ms a cell")
        _, pool, cluster = spent.values()
        print(f"{steps} steps, Ray / {WORKERS} processes: {cluster / pool:.2f}")
    made.shutdown()


if __name__ == "__main__":
    main()
