"""Sweeps on a Ray cluster (Moritz et al., 2018): each job is a task, which Ray starts again if its node is lost.

A node needs nothing but genbench: the user's Python files, and the files that settings name by relative paths, travel
with the sweep. A node that shares the results folder writes into it under leases; from another one, the finished run
comes back as the result of the task.
"""

import logging
import math
import os
import re
import signal
import socket
from collections.abc import Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack, suppress
from dataclasses import astuple
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.queue import Queue
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from genbench.errors import ConfigError, RunFailed, first_line, reason_of
from genbench.runs.spec import Spec
from genbench.runs.store import FAILURE, Store
from genbench.storage import files, lease
from genbench.storage.memory import keep_freed
from genbench.sweeps.cells import GRACE, CellEvent, Ended, Job, OnEvent, run_cells
from genbench.sweeps.user_files import pack

RETRIES = 3
"""How often Ray starts a task again whose worker or node was lost."""


class RayCluster:
    """The cluster of RAY_ADDRESS, or one that is started on this machine.

    Args:
        specs: what will run.
        gpus: GPUs of a cell, one for each process of its group; by default one, or none if the cluster has none.

    Raises:
        ConfigError: if the cluster cannot be reached, or cannot take the files.
    """

    tries = 1

    def __init__(self, store: Store, specs: Sequence[Spec], gpus: int | None = None) -> None:
        self.store, self.specs = Store(store.root.resolve()), specs
        self.asked = gpus
        self.tasks: dict[Future, ray.ObjectRef] = {}
        self.opened = ExitStack()

    def __enter__(self) -> "RayCluster":
        stopped = signal.getsignal(signal.SIGTERM)  # Ray replaces it
        address = os.environ.get("RAY_ADDRESS") or "local"
        with TemporaryDirectory(prefix="genbench-") as folder:
            self.code = pack(self.specs, Path(folder))
            try:
                if host := re.fullmatch(r"(?:ray://)?(.+):(\d+)", address):  # Ray would try for minutes
                    socket.create_connection((host[1], int(host[2])), timeout=10).close()
                ray.init(address, runtime_env={"working_dir": folder}, log_to_driver=False, logging_level=logging.ERROR)
            except Exception as error:  # Ray raises errors of many types
                raise ConfigError(f"no Ray cluster at {address}: {first_line(error)}") from error
        self.opened.callback(ray.shutdown)
        signal.signal(signal.SIGTERM, stopped)
        self.gpus = self.asked or min(1, int(ray.cluster_resources().get("GPU", 0)))
        self.cores = max((int(node["Resources"].get("CPU", 1)) for node in ray.nodes() if node["Alive"]), default=1)
        self.queue = Queue(actor_options={"num_cpus": 0})
        # A node that sees this lease shares the folder.
        self.probe = self.opened.enter_context(lease.hold(self.store.root / "leases", f"sweep-{uuid4().hex[:8]}"))
        return self

    def __exit__(self, *error: object) -> None:
        with self.opened:
            for task in self.tasks.values():
                ray.cancel(task)
            wait(self.tasks, GRACE)

    def start(self, job: Job) -> Future:
        """Submit a job as a task, which waits for its turn in the cluster."""
        cores = 0 if self.gpus else min(job.threads, self.cores)
        task = ray.remote(run_task).options(num_cpus=cores, num_gpus=self.gpus, max_retries=RETRIES)
        reference = task.remote(job, self.store, self.probe, self.code, self.queue.actor, self.gpus)
        future = reference.future()
        self.tasks[future] = reference
        return future

    def events(self) -> list[CellEvent]:
        """Return what tasks have reported since the last call; nothing if the node of the queue was lost."""
        with suppress(RayError):
            return [CellEvent(*event) for event in self.queue.get_nowait_batch(self.queue.qsize())]
        return []

    def result(self, future: Future, on_event: OnEvent) -> Job | None:
        """Report how the cells of a task ended, write what came back, and return the cells that others hold."""
        del self.tasks[future]
        try:
            (ended, left), contents = future.result()
        except RayTaskError as error:
            raise RunFailed(reason_of(error.cause)) from error
        except RayError as error:
            raise RunFailed(f"its node was lost {1 + RETRIES} times ({type(error).__name__})") from error
        for name in sorted(contents, key=lambda name: (name.endswith("record.json"), name)):
            self._write(Path(name), contents[name])
        for event in ended:
            on_event(event)
        return left

    def _write(self, path: Path, content: bytes) -> None:
        """Write a file of a run, unless this folder has it already."""
        with lease.hold(self.store.root / "leases", path.parts[1], math.inf) as held:
            target = held / "../../.." / path
            if not target.exists() or target.name == FAILURE:
                files.write(target, content)
            if target.name == "record.json":
                (target.parent / FAILURE).unlink(missing_ok=True)


def run_task(
    job: Job, store: Store, probe: Path, code: Sequence[str], queue: Any, processes: int
) -> tuple[Ended, dict[str, bytes]]:
    """Run a job on the node that Ray has chosen, in a group of processes if it has several GPUs.

    Returns:
        How the job ended, and {path: content} of the results folder if the node does not share it.
    """
    keep_freed()

    def send(event: CellEvent) -> None:
        queue.put_nowait.remote(astuple(event))  # as a tuple, so that the queue need not import genbench

    with TemporaryDirectory(prefix="genbench-") as folder:
        here = store if probe.exists() else Store(Path(folder))
        if processes > 1:
            config = LaunchConfig(1, 1, processes, rdzv_backend="c10d", rdzv_endpoint="localhost:0", max_restarts=0)
            ended = elastic_launch(config, run_cells)(job, here, code)[0]
        else:
            ended = run_cells(job, here, code, send)
        paths = [path for path in Path(folder).glob("runs/**/*") if path.is_file()]
        return ended, {str(path.relative_to(folder)): path.read_bytes() for path in paths}
