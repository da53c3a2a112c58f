"""Clusters: the tasks of a sweep on the machines of a Ray cluster (Moritz et al., 2018).

Each piece of work is a Ray task with its need of cores and GPUs. Ray starts a task again whose worker or machine is
lost. Results are written to the shared folder, by the same leases as everywhere. A machine that does not have the
folder is sent what is kept of the runs, and sends back what it made of it.
"""

import importlib
import logging
import os
import pickle
import re
import socket
import tempfile
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from genbench.errors import ConfigError
from genbench.runs.spec import Spec
from genbench.runs.store import Store, run_name
from genbench.storage import files, lease
from genbench.sweeps.jobs import Forwarder, News, Task, Tell, give_up, work
from genbench.training.allocator import keep_freed

log = logging.getLogger("genbench")

RETRIES = 3
"""How often a task is begun again whose machine is lost."""


class Returned(NamedTuple):
    """What a task sends back.

    Args:
        ended: how its cells ended.
        files: by their paths in the results folder, where that is not shared.
    """

    ended: list[News]
    files: dict[str, bytes]


class Cluster:
    """An engine: a Ray cluster.

    Args:
        store: where results are kept, on a folder that the machines share if they can.
        address: of the cluster, as `ray.init` takes it; default: RAY_ADDRESS, or else one starts on this machine.
        gpus: GPUs of each run, which may be a part of one.

    Raises:
        ConfigError: if Ray is not installed, the cluster cannot be reached, or this machine lacks the GPUs.
    """

    def __init__(self, store: Store, address: str | None = None, gpus: float = 0.0) -> None:
        self.store = Store(store.root.resolve())
        self.address = address or os.environ.get("RAY_ADDRESS") or None
        self.gpus = gpus

    def __enter__(self) -> "Cluster":
        try:
            self.ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise ConfigError("--engine ray needs Ray: pip install 'genbench[ray]'") from error
        try:
            _knock(self.address)
            local: dict[str, Any] = {"include_dashboard": False} if self.address is None else {}
            self.mine = not self.ray.is_initialized()
            if self.mine:
                self.ray.init(self.address or "local", logging_level="warning", log_to_driver=False, **local)
        except Exception as error:  # Ray raises bare ones too
            where = f"no Ray cluster at {self.address}" if self.address else "Ray does not start here"
            why = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise ConfigError(f"{where}: {why}") from error
        self.largest = {
            name: max((node["Resources"].get(name, 0.0) for node in self.ray.nodes() if node["Alive"]), default=0.0)
            for name in ("CPU", "GPU")
        }
        if self.address is None and self.gpus > self.largest["GPU"]:
            self._leave()
            raise ConfigError(f"--gpus {self.gpus:g}: Ray finds {self.largest['GPU']:g} GPUs here")
        self.open = ExitStack()
        # Whoever sees this lease shares the folder; if this process dies it is cleared away as every other.
        self.probe = self.open.enter_context(lease.hold(self.store.root / "leases", f"sweep-{uuid.uuid4().hex[:8]}"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.open.close()
        self._leave()

    def _leave(self) -> None:
        if self.mine:
            self.ray.shutdown()

    def run(self, tasks: Sequence[Task], tell: Tell) -> None:
        """Run tasks, as many at a time as the cluster has room for."""
        news = importlib.import_module("ray.util.queue").Queue(actor_options={"num_cpus": 0, **self._beside()})
        begin = self.ray.remote(_begin)
        running = {
            begin.options(num_cpus=self._cores(task), num_gpus=self.gpus, max_retries=RETRIES).remote(
                task, self.store, self.probe, self._kept(task), news
            ): task
            for task in tasks
        }
        while running:
            ready, _ = self.ray.wait(list(running), num_returns=1, timeout=0.2)
            with suppress(self.ray.exceptions.RayError):  # without it only the live view is poorer
                for item in news.get_nowait_batch(news.qsize()):
                    tell(pickle.loads(item))
            for reference in ready:
                self._end(reference, running.pop(reference), tell)
        news.shutdown()

    def _cores(self, task: Task) -> int:
        """Return the cores that a task asks for. A need that no machine meets is told: Ray would wait in silence."""
        if self.address is None:  # as everywhere, a run of more threads than there are cores runs alone
            return min(task.threads, int(self.largest["CPU"]))
        if task.threads > self.largest["CPU"] or self.gpus > self.largest["GPU"]:
            need = f"{task.threads} cores and {self.gpus:g} GPUs"
            log.warning("no machine of the cluster has %s, which a cell needs: it waits until one joins", need)
        return task.threads

    def _beside(self) -> dict[str, Any]:
        """Return the options by which an actor stays on this machine, which is lost with the sweep alone."""
        strategies = importlib.import_module("ray.util.scheduling_strategies")
        here = self.ray.get_runtime_context().get_node_id()
        address = next(node["NodeManagerAddress"] for node in self.ray.nodes() if node["NodeID"] == here)
        # An actor without needs begins on any node, which may not have heard yet of the one that is wanted.
        return {
            "resources": {f"node:{address}": 0.001},
            "scheduling_strategy": strategies.NodeAffinitySchedulingStrategy(node_id=here, soft=True),
        }

    def _kept(self, task: Task) -> list[Any]:
        """Return a reference to what is kept of a task's runs, which a machine without the folder fetches."""
        kept = _files(self.store, _runs(task))
        return [self.ray.put(kept)] if kept else []

    def _end(self, reference: Any, task: Task, tell: Tell) -> None:
        try:
            returned: Returned = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            reason = f"its machine was lost {1 + RETRIES} times ({type(error).__name__})"
            for index, spec in task.cells.items():
                give_up(index, spec, self.store, tell, reason)
            return
        try:
            for run, spec in _runs(task).items() if returned.files else ():
                with self.store.hold(spec, wait=60) as held:
                    _replace(held, run, returned.files)
        except lease.Busy as reason:
            returned = Returned([News(index, "busy", reason=str(reason)) for index in task.cells], {})
        for news in returned.ended:
            tell(news)


def _knock(address: str | None) -> None:
    """Find out whether somebody listens at an address, which Ray takes many minutes to do."""
    host = re.fullmatch(r"(?:ray://)?\[?([^/]+?)\]?:(\d+)", address or "")
    if host is not None:
        with socket.create_connection((host[1], int(host[2])), timeout=10):
            pass


def _runs(task: Task) -> dict[str, Spec]:
    """Return the runs that a task may write: those of all members of its stack, by their names."""
    return {run_name(own): own for spec in task.cells.values() for own in spec.members}


def _files(store: Store, runs: Iterable[str]) -> dict[str, bytes]:
    """Return the files of runs, and their logbooks, by their paths in the results folder."""
    folders = [store.root / part / run for run in runs for part in ("runs", "logs")]
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(store.root)): path.read_bytes() for path in paths}


def _replace(held: Store, run: str, content: Mapping[str, bytes]) -> None:
    """Write the files of a run that came back; checkpoints and notes of failures that did not come back are over."""
    for path in (held.runs / run).rglob("*"):
        over = path.name == "failure.txt" or path.name.endswith("checkpoint.safetensors")
        if over and f"runs/{path.relative_to(held.runs)}" not in content:
            path.unlink()
    for path, data in content.items():
        part, of, *name = Path(path).parts
        if of == run:
            files.write(Path(held.runs if part == "runs" else held.root / part, of, *name), data)


def _begin(task: Task, store: Store, probe: Path, kept: list[Any], news: Any) -> Returned:
    """Run a task where Ray has put it."""
    keep_freed()
    ended: list[News] = []

    def put(item: News) -> None:
        with suppress(importlib.import_module("ray").exceptions.RayError):  # a run does not end with who watches it
            news.put(pickle.dumps(item))  # bytes: the queue, a process of its own, need not import what they stand for

    forwarder = Forwarder(put)

    def tell(item: News) -> None:
        if item.kind in ("done", "failed", "busy"):
            ended.append(item)
        else:
            put(item)

    log.addHandler(forwarder)
    try:
        return _work(task, store, probe, kept, tell, ended)
    finally:
        log.removeHandler(forwarder)


def _work(task: Task, store: Store, probe: Path, kept: list[Any], tell: Tell, ended: list[News]) -> Returned:
    if probe.exists():
        work(task, store, tell)
        return Returned(ended, {})
    with tempfile.TemporaryDirectory(prefix="genbench-") as folder:
        own = Store(Path(folder))
        for reference in kept:
            for path, data in importlib.import_module("ray").get(reference).items():
                files.write(own.root / path, data)
        work(task, own, tell)
        return Returned(ended, _files(own, _runs(task)))
