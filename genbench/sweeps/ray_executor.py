"""Jobs of a sweep on the machines of a Ray cluster (Moritz et al., 2018).

Each job is a Ray task that requests cores and GPUs. Ray starts a task again if its worker or machine is lost. Tasks
write to the results folder, which all machines share, under the same leases as other executors. Each task carries the
user's Python files; data files must be at the same path on all machines.
"""

import importlib
import logging
import os
import re
import socket
import tempfile
import uuid
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import astuple
from pathlib import Path
from typing import Any, NamedTuple

from genbench import user_code
from genbench.errors import ConfigError, first_line, reason_of
from genbench.runs.store import Store
from genbench.storage import files, lease
from genbench.storage.memory import keep_freed
from genbench.sweeps.jobs import Job, JobEvent, OnEvent, WarningForwarder, give_up, run_job

log = logging.getLogger("genbench")

RETRIES = 3
"""Number of retries of a task whose machine was lost."""


class Request(NamedTuple):
    """The input of a task.

    Args:
        probe: path of a file that a machine sees if it shares the results folder.
        cwd: folder to which paths of data are relative.
        code: Python files of the user, each followed by the modules that it imports: {relative path: content}.
    """

    job: Job
    store: Store
    probe: Path
    cwd: Path
    code: list[dict[str, bytes]]


class Returned(NamedTuple):
    """The output of a task: how its cells ended, and a job with the cells that other processes hold."""

    ended: list[JobEvent]
    left: Job | None


class RayExecutor:
    """Executor that runs jobs on a Ray cluster.

    Args:
        store: the results folder, which all machines share.
        address: address of the cluster, as `ray.init` takes it; default: RAY_ADDRESS, or else a local cluster.
        gpus: GPUs of each run, which may be a fraction of one.

    Raises:
        ConfigError: if Ray is not installed, the cluster cannot be reached, or this machine lacks the GPUs.
    """

    def __init__(self, store: Store, address: str | None = None, gpus: float = 0.0) -> None:
        self.store = Store(store.root.resolve())
        self.address = address or os.environ.get("RAY_ADDRESS") or None
        self.gpus = gpus

    def __enter__(self) -> "RayExecutor":
        try:
            self.ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise ConfigError("--engine ray needs Ray: pip install 'genbench[ray]'") from error
        try:
            _check_connection(self.address)
            local: dict[str, Any] = {"include_dashboard": False} if self.address is None else {}
            self.started_ray = not self.ray.is_initialized()
            if self.started_ray:
                self.ray.init(self.address or "local", logging_level="warning", log_to_driver=False, **local)
        except Exception as error:  # Ray raises bare exceptions too
            where = f"no Ray cluster at {self.address}" if self.address else "Ray does not start here"
            why = getattr(error, "strerror", None) or first_line(error)
            raise ConfigError(f"{where}: {why}") from error
        self.largest = {
            name: max((node["Resources"].get(name, 0.0) for node in self.ray.nodes() if node["Alive"]), default=0.0)
            for name in ("CPU", "GPU")
        }
        if self.address is None and self.gpus > self.largest["GPU"]:
            self._shut_down()
            raise ConfigError(f"--gpus {self.gpus:g}: Ray finds {self.largest['GPU']:g} GPUs here")
        self.open = ExitStack()
        # A machine that sees this lease shares the folder. If this process dies, it is removed like any other lease.
        self.probe = self.open.enter_context(lease.hold(self.store.root / "leases", f"sweep-{uuid.uuid4().hex[:8]}"))
        return self

    def __exit__(self, *error: object) -> None:
        self.open.close()
        self._shut_down()

    def _shut_down(self) -> None:
        if self.started_ray:
            self.ray.shutdown()

    def run(self, jobs: Sequence[Job], on_event: OnEvent) -> None:
        """Run jobs, as many at a time as the cluster has room for.

        Raises:
            ConfigError: if a machine does not see the results folder.
        """
        # If the process of the queue is lost, only the display of progress ends. It need not import genbench.
        queue = importlib.import_module("ray.util.queue").Queue(actor_options={"num_cpus": 0})
        remote = self.ray.remote(_run_task)
        code = [user_code.sources(path) for path in user_code.named_files()]

        def submit(job: Job) -> Any:
            options = remote.options(num_cpus=self._cores(job), num_gpus=self.gpus, max_retries=RETRIES)
            return options.remote(Request(job, self.store, self.probe, Path.cwd(), code), queue)

        running = {submit(job): job for job in jobs}
        while running:
            ready, _ = self.ray.wait(list(running), num_returns=1, timeout=1.0)
            with suppress(self.ray.exceptions.RayError):
                for event in queue.get_nowait_batch(queue.qsize()):
                    on_event(JobEvent(*event))
            for reference in ready:
                left = self._finish(reference, running.pop(reference), on_event)
                running |= {submit(left): left} if left is not None else {}
        queue.shutdown()

    def _cores(self, job: Job) -> int:
        """Return the cores that a job requests. Warn if no machine has them, because Ray would wait silently."""
        if self.address is None:  # as in a process pool, a job with more threads than cores runs alone
            return min(job.threads, int(self.largest["CPU"]))
        if job.threads > self.largest["CPU"] or self.gpus > self.largest["GPU"]:
            need = f"{job.threads} cores and {self.gpus:g} GPUs"
            log.warning("no machine of the cluster has %s, which a cell needs: it waits until one joins", need)
        return job.threads

    def _finish(self, reference: Any, job: Job, on_event: OnEvent) -> Job | None:
        """Report how the cells of a finished task ended, and return a job with the cells that are left, or None."""
        try:
            returned: Returned | str = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            if isinstance(error, self.ray.exceptions.RayTaskError):
                reason = reason_of(error.cause)  # type: ignore[attr-defined]
            else:
                reason = f"its machine was lost {1 + RETRIES} times ({type(error).__name__})"
            for index, spec in job.cells.items():
                give_up(index, spec, self.store, on_event, reason)
            return None
        if isinstance(returned, str):
            raise ConfigError(
                f"{returned} does not see {self.store.root}: with Ray, all machines must share the folder of --results"
            )
        for event in returned.ended:
            on_event(event)
        return returned.left


def _check_connection(address: str | None) -> None:
    """Raise OSError at once if nothing listens at an address; Ray would take many minutes to notice."""
    host = re.fullmatch(r"(?:ray://)?\[?([^/]+?)\]?:(\d+)", address or "")
    if host is not None:
        with socket.create_connection((host[1], int(host[2])), timeout=10):
            pass


def _run_task(request: Request, queue: Any) -> Returned | str:
    """Run a job on the machine that Ray has chosen; return the name of a machine without the results folder."""
    keep_freed()
    if not request.probe.exists():
        return socket.gethostname()
    if request.cwd.is_dir():
        os.chdir(request.cwd)
    ended: list[JobEvent] = []

    def on_event(event: JobEvent) -> None:
        if event.kind in ("done", "failed", "busy"):
            ended.append(event)  # also returned, in case the queue is lost
        elif event.kind != "step":  # steps are not sent
            with suppress(importlib.import_module("ray").exceptions.RayError):
                queue.put(astuple(event))

    forwarder = WarningForwarder(on_event)
    log.addHandler(forwarder)
    try:
        with tempfile.TemporaryDirectory(prefix="genbench-") as folder:
            for number, sources in enumerate(request.code):
                places = [Path(folder, "code", str(number), name) for name in sources]
                for place, content in zip(places, sources.values(), strict=True):
                    files.write(place, content)
                user_code.load_file(places[0])
            return Returned(ended, run_job(request.job, request.store, on_event))
    finally:
        log.removeHandler(forwarder)
