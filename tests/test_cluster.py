"""Sweeps on a Ray cluster of two nodes on this machine; pip install 'genbench[ray]' to run them."""

import os
import signal
import threading
import time

import pytest

from genbench import cluster, lease
from genbench.engines import execute, local
from genbench.store import Store, read_record
from genbench.suite import load

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow

SUITE = """
datasets = ["moons"]
models = ["cfm", {name = "cfm", sample = {method = "euler", steps = [1, 2]}}, "wcfm"]
metrics = ["sliced_w2"]
seeds = [0, 1]
plan = {steps = STEPS, batch_size = 16}
evaluation = {n = 64, curve = []}
"""


@pytest.fixture(scope="module")
def address():
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.add_node(num_cpus=1)
    yield made.address
    ray.shutdown()
    made.shutdown()


def outcome(store):
    records = [read_record(path) for path in store.record_paths()]
    return [[record[part] for part in ("labels", "spec", "results")] for record in records]


def specs(folder, steps):
    (folder / "tiny.toml").write_text(SUITE.replace("STEPS", str(steps)))
    return load(folder / "tiny.toml").specs


def ignore(news):
    pass


def test_two_nodes_and_a_killed_worker_make_what_this_process_makes(tmp_path, address):
    cells = specs(tmp_path, 400)
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    assert execute(cells, here, local(here, 1), ignore) == [None] * 8
    killed = []

    def kill():
        while not killed:
            for held in lease.held_in(there.root / "leases"):
                if list((there.runs / held.run).glob("train.csv")):  # it is in the middle of training
                    os.kill(int(held.owner.pid), signal.SIGKILL)
                    killed.append(held.run)
                    return
            time.sleep(0.01)

    threading.Thread(target=kill, daemon=True).start()
    assert execute(cells, there, cluster.Cluster(there, address), ignore) == [None] * 8
    assert killed
    assert outcome(there) == outcome(here)
    assert sorted(path.name for path in there.root.iterdir()) == ["runs"]


class Apart(cluster.Cluster):
    def __enter__(self):
        super().__enter__()
        self.probe.unlink()
        return self


def test_a_machine_without_the_folder_sends_its_results_back(tmp_path, address):
    cells = specs(tmp_path, 10)
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    execute(cells, here, local(here, 1), ignore)
    assert execute(cells, there, Apart(there, address), ignore) == [None] * 8
    assert not list(there.runs.glob("*/*checkpoint*"))
    assert outcome(there) == outcome(here)
    assert len(list(there.runs.glob("*/model.safetensors"))) == 4
