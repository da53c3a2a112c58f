"""Sweeps on a Ray cluster of two nodes on this machine; pip install 'genbench[ray]' to run them."""

import os
import re
import signal
import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from genbench.errors import ConfigError
from genbench.runs.record import read_record
from genbench.runs.store import Store
from genbench.storage import lease
from genbench.sweeps import ray_executor
from genbench.sweeps.executors import execute, local
from genbench.sweeps.jobs import make_jobs
from genbench.sweeps.suite import load

# It takes a second to import, which collecting the tests need not wait for.
pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")]

SUITE = """
datasets = ["moons"]
models = ["cfm", {name = "cfm", sample = {method = "euler", steps = [1, 2]}}, "wcfm"]
metrics = ["sliced_w2"]
seeds = [0, 1]
plan = {steps = STEPS, batch_size = 16}
evaluation = {n = 64, curve = []}
"""


@pytest.fixture(scope="module")
def nodes():
    """A cluster, and the node of it that is not its head."""
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = made.add_node(num_cpus=1)
    yield made, second
    ray.shutdown()
    made.shutdown()


def parent_of(pid):
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def queues_of(raylets):
    """Return the processes by which the workers of a sweep on these nodes tell how far they are."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if path.read_bytes().startswith(b"ray::_QueueActor") and parent_of(path.parent.name) in raylets:
                found.append(int(path.parent.name))
    return found


def outcome(store):
    records = [read_record(path) for path in store.record_paths()]
    return [[record[part] for part in ("labels", "spec", "results")] for record in records]


def specs(folder, steps):
    (folder / "tiny.toml").write_text(SUITE.replace("STEPS", str(steps)))
    return load(folder / "tiny.toml").specs


def send(pid, number):
    """Send a signal to a process, which may have ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def ignore(news):
    pass


def test_a_killed_worker_and_a_lost_node_change_nothing(tmp_path, nodes):
    made, second = nodes
    (raylet,) = second.all_processes["raylet"]
    cells = specs(tmp_path, 400)
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    assert execute(cells, here, local(here, 1), ignore) == [None] * 8
    killed, deaf, paused, lost = [], [], set(), []

    def disturb():
        while not lost:
            for held in lease.leases_in(there.root / "leases"):
                training = (there.runs / held.run / "train.csv").exists()
                beyond = parent_of(held.owner.pid) == raylet.process.pid
                if training and not killed and not beyond:
                    killed.append(held.run)
                    deaf.extend(queues_of({parent_of(held.owner.pid), raylet.process.pid}))
                    for pid in deaf:
                        os.kill(pid, signal.SIGKILL)
                    os.kill(int(held.owner.pid), signal.SIGKILL)
                elif training and killed and not beyond:  # leave work to the second node, however slowly it starts
                    paused.add(int(held.owner.pid))
                    send(int(held.owner.pid), signal.SIGSTOP)
                elif training and killed and beyond:
                    lost.append(held.run)
                    made.remove_node(second, allow_graceful=False)
                    for pid in paused:
                        send(pid, signal.SIGCONT)
                    return
            time.sleep(0.01)

    threading.Thread(target=disturb, daemon=True).start()
    heard = []
    assert execute(cells, there, ray_executor.RayExecutor(there, made.address), heard.append) == [None] * 8
    assert {event.kind for event in heard} <= {"started", "warning", "busy", "done"}
    assert killed
    assert len(deaf) == 1
    assert lost
    assert outcome(there) == outcome(here)
    assert sorted(path.name for path in there.root.iterdir()) == ["runs"]


def test_an_unreachable_cluster_is_refused_before_ray_looks_for_it_for_minutes(tmp_path, monkeypatch):
    monkeypatch.setattr("ray.init", None)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{deaf.getsockname()[1]}"
        for where in (address, f"ray://{address}"):
            with (
                pytest.raises(ConfigError, match=f"no Ray cluster at {where}: Connection refused"),
                ray_executor.RayExecutor(Store(tmp_path), where),
            ):
                pass
    assert not list(tmp_path.iterdir())


def test_resources_that_no_machine_has_are_reported(tmp_path, caplog):
    """On a cluster, which may grow; alone, a run of many threads gets the cores that there are, as without Ray."""
    (job,) = make_jobs(specs(tmp_path, 5)[:1])
    job = replace(job, cells={0: replace(job.cells[0], plan={**job.cells[0].plan, "threads": 4})})
    for address, cores, told in (("auto", 4, 1), (None, 2, 0)):
        caplog.clear()
        engine = ray_executor.RayExecutor(Store(tmp_path), address)
        engine.largest = {"CPU": 2.0, "GPU": 0.0}
        assert engine._cores(job) == cores
        assert sum("has 4 cores and 0 GPUs" in record.getMessage() for record in caplog.records) == told


def test_a_machine_that_does_not_see_the_results_folder_ends_the_sweep_in_one_line(tmp_path, nodes):
    made, _ = nodes

    class Apart(ray_executor.RayExecutor):
        def __enter__(self):
            super().__enter__()
            self.probe = self.probe.with_name("not on this machine")
            return self

    with pytest.raises(ConfigError, match=f"^{socket.gethostname()} does not see .*there: with Ray, all machines"):
        execute(specs(tmp_path, 10), Store(tmp_path / "there"), Apart(Store(tmp_path / "there"), made.address), ignore)
    assert not (tmp_path / "there/runs").exists()


class Lost(Exception):
    pass


class TaskError(Lost):
    cause = OSError(28, "No space left on device")


EXCEPTIONS = SimpleNamespace(RayError=Lost, RayTaskError=TaskError)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(TaskError, "No space left on device"), (Lost, "its machine was lost 4 times (Lost)")],
)
def test_a_failed_task_is_told_from_a_lost_machine(tmp_path, error, reason):
    def get(reference):
        raise error

    (job,) = make_jobs(specs(tmp_path, 5)[:1])
    engine = ray_executor.RayExecutor(Store(tmp_path / "results"))
    engine.ray, heard = SimpleNamespace(get=get, exceptions=EXCEPTIONS), []
    assert engine._finish(None, job, heard.append) is None
    (event,) = heard
    assert (event.kind, reason in event.message) == ("failed", True)


PAGE = Path(__file__).parents[2] / "docs" / "new_method.md"


def test_files_of_the_user_reach_a_cluster_that_runs(tmp_path, nodes, monkeypatch):
    made, _ = nodes
    made.wait_for_nodes(timeout=300)  # until the head has noticed the lost one, the queue of events may be placed there
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GENBENCH_FILES", raising=False)
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    (tmp_path / "mine.py").write_text(f"import aside\n{code}")
    (tmp_path / "aside.py").touch()
    (tmp_path / "mine.csv").write_text("a,b\n" + "".join(f"{i % 7},{i % 5}\n" for i in range(400)))
    text = re.sub("models = .*", 'models = ["mine.py"]', SUITE).replace("STEPS", "3").replace("moons", "mine.csv")
    (tmp_path / "own.toml").write_text(text.replace("n = 64", "n = 8, batch = 8"))
    sent, request = [], ray_executor.Request
    monkeypatch.setattr(ray_executor, "Request", lambda *parts: sent.append(request(*parts)) or sent[-1])
    cells, store, heard = load("own.toml").specs, Store(tmp_path / "results"), []
    assert execute(cells, store, ray_executor.RayExecutor(store, made.address), heard.append) == [None] * len(cells)
    # Data lie on the shared folder: only code is sent.
    assert {name for each in sent for sources in each.code for name in sources} == {"mine.py", "aside.py"}
    for kind in ("started", "done"):
        assert {event.cell for event in heard if event.kind == kind} == {*range(len(cells))}
