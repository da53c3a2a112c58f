"""Clusters: the tasks of a sweep on the machines of a Ray cluster (Moritz et al., 2018).

Each piece of work is a Ray task with its need of cores and GPUs. Ray starts a task again whose worker or machine is
lost. Results are written to the shared folder, by the same leases as everywhere; a machine that does not have the
folder sends them back.
"""

import importlib
import logging
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from genbench import files
from genbench.cells import Forwarder, News, Task, Tell, give_up, work
from genbench.errors import ConfigError
from genbench.store import Store, run_name

RETRIES = 3
"""How often a task is begun again whose machine is lost."""


class Returned(NamedTuple):
    """What a task sends back: how its cells ended, and files by their paths where the results folder is not shared."""

    ended: list[News]
    files: dict[str, bytes]


class Cluster:
    """An engine: a Ray cluster.

    Args:
        store: where results are kept, on a folder that the machines share if they can.
        address: of the cluster, as `ray.init` takes it; None starts one on this machine.
        gpus: GPUs of each run, which may be a part of one.

    Raises:
        ConfigError: if Ray is not installed or the cluster cannot be reached.
    """

    def __init__(self, store: Store, address: str | None = None, gpus: float = 0.0) -> None:
        self.store = Store(store.root.resolve())
        self.address = address
        self.gpus = gpus

    def __enter__(self) -> "Cluster":
        try:
            self.ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise ConfigError("--engine ray needs Ray: pip install 'genbench[ray]'") from error
        try:
            local: dict[str, Any] = {"include_dashboard": False} if self.address is None else {}
            self.mine = not self.ray.is_initialized()
            if self.mine:
                self.ray.init(self.address, logging_level="warning", log_to_driver=False, **local)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigError(f"no Ray cluster at {self.address}: {str(error).splitlines()[0]}") from error
        self.store.root.mkdir(parents=True, exist_ok=True)
        self.probe = self.store.root / f".ray-{uuid.uuid4().hex[:8]}.tmp"
        self.probe.touch()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.probe.unlink(missing_ok=True)
        if self.mine:
            self.ray.shutdown()

    def run(self, tasks: Sequence[Task], tell: Tell) -> None:
        """Run tasks, as many at a time as the cluster has room for."""
        news = importlib.import_module("ray.util.queue").Queue(actor_options={"num_cpus": 0})
        begin = self.ray.remote(_begin)
        running = {
            begin.options(num_cpus=task.threads, num_gpus=self.gpus, max_retries=RETRIES).remote(
                task, self.store, self.probe, news
            ): task
            for task in tasks
        }
        while running:
            ready, _ = self.ray.wait(list(running), num_returns=1, timeout=0.2)
            for item in news.get_nowait_batch(news.qsize()):
                tell(item)
            for reference in ready:
                self._end(reference, running.pop(reference), tell)
        news.shutdown()

    def _end(self, reference: Any, task: Task, tell: Tell) -> None:
        try:
            returned: Returned = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            reason = f"its machine was lost {1 + RETRIES} times ({type(error).__name__})"
            for index, spec in task.cells.items():
                give_up(index, spec, self.store, tell, reason)
            return
        if returned.files:
            for member in next(iter(task.cells.values())).members:
                with self.store.hold(member, wait=60) as held:
                    for path, content in returned.files.items():
                        if Path(path).parts[0] == run_name(member):
                            files.write(held.runs / path, content)
        for news in returned.ended:
            tell(news)


def _begin(task: Task, store: Store, probe: Path, news: Any) -> Returned:
    """Run a task where Ray has put it."""
    ended: list[News] = []
    log, forwarder = logging.getLogger("genbench"), Forwarder(news.put)

    def tell(item: News) -> None:
        if item.kind in ("done", "failed", "busy"):
            ended.append(item)
        else:
            news.put(item)

    log.addHandler(forwarder)
    try:
        return _work(task, store, probe, tell, ended)
    finally:
        log.removeHandler(forwarder)


def _work(task: Task, store: Store, probe: Path, tell: Tell, ended: list[News]) -> Returned:
    if probe.exists():
        work(task, store, tell)
        return Returned(ended, {})
    with tempfile.TemporaryDirectory(prefix="genbench-") as folder:
        own = Store(Path(folder))
        work(task, own, tell)
        kept = {str(path.relative_to(own.runs)): path.read_bytes() for path in own.runs.rglob("*") if path.is_file()}
    return Returned(ended, kept)
