"""Sweeps on a Ray cluster of nodes on this machine, whose GPUs are declared and do not exist."""

import os
import re
import signal
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from genbench.errors import ConfigError
from genbench.runs.record import read_record
from genbench.runs.store import Store
from genbench.storage import lease
from genbench.sweeps.execution import execute
from genbench.sweeps.suite import load

ray = pytest.importorskip("ray")
from ray.cluster_utils import Cluster  # noqa: E402

from genbench.sweeps.ray_cluster import RayCluster  # noqa: E402

SUITE = """
datasets = ["moons"]
models = ["cfm", {name = "cfm", sample = {method = "euler", steps = [1, 2]}}, "wcfm"]
metrics = ["sliced_w2"]
seeds = [0, 1]
plan = {steps = STEPS, batch_size = 16}
evaluation = {n = 64, curve = []}
"""
PAGE = Path(__file__).parents[2] / "docs" / "new_method.md"


@pytest.fixture(scope="module")
def cluster():
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 2, "include_dashboard": False})
    yield made
    made.shutdown()


@pytest.fixture
def address(cluster, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)


def specs(folder, steps, text=SUITE):
    (folder / "tiny.toml").write_text(text.replace("STEPS", str(steps)))
    return load(folder / "tiny.toml").specs


def values(store):
    records = [read_record(path) for path in store.record_paths()]
    return [[record[part] for part in ("labels", "spec", "results")] for record in records]


def run_on_ray(cells, store, gpus=None):
    """Return why each cell failed, and {cell: kinds of its events, without steps}."""
    heard = {}

    def on_event(event):
        if event.kind not in ("step", "warning"):
            heard.setdefault(event.cell, []).append(event.kind)

    return execute(cells, store, 1, on_event, cluster=RayCluster(store, cells, gpus)), heard


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_removed_node_and_a_killed_worker_cost_no_cell_and_no_value(tmp_path, cluster, address):
    cells, here, there = specs(tmp_path, 1000), Store(tmp_path / "here"), Store(tmp_path / "there")
    assert execute(cells, here, 1, lambda event: None) == [None] * 8
    second = cluster.add_node(num_cpus=1, num_gpus=2)
    cluster.wait_for_nodes()
    (raylet,) = second.all_processes["raylet"]
    lost, ended = {}, threading.Event()

    def disturb():
        """Kill the first worker that trains on the first node, and remove the second node when it trains."""
        while len(lost) < 2 and not ended.wait(0.01):
            for held in lease.leases_in(there.root / "leases"):
                with suppress(OSError):
                    node = 2 if parent_of(held.owner.pid) == raylet.process.pid else 1
                    if node in lost or not (there.runs / held.run / "train.csv").exists():
                        continue
                    lost[node] = held.run
                    if node == 2:
                        cluster.remove_node(second, allow_graceful=False)
                    else:
                        os.kill(int(held.owner.pid), signal.SIGKILL)

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        reasons, heard = run_on_ray(cells, there)
    finally:
        ended.set()
        thread.join()
    assert reasons == [None] * 8
    assert sorted(lost) == [1, 2]
    assert all(kinds.count("done") == 1 and "failed" not in kinds for kinds in heard.values())
    assert sorted(heard) == list(range(8))
    assert values(there) == values(here)
    assert sorted(path.name for path in there.root.iterdir()) == ["leases", "runs"]
    assert not list((there.root / "leases").iterdir())


class Apart(RayCluster):
    """A cluster whose nodes see neither the results folder nor the files of the user."""

    def __enter__(self):
        super().__enter__()
        self.probe = self.probe.with_name("not on this node")
        for path in Path().iterdir():
            path.rename(Path("..") / path)
        return self


def test_files_of_the_driver_travel_and_runs_come_back_from_nodes_that_do_not_share_the_folder(
    tmp_path, address, monkeypatch
):
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.delenv("GENBENCH_FILES", raising=False)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[:1]
    Path("mine.py").write_text(f"import aside\n{code}")
    Path("aside.py").touch()
    Path("points.csv").write_text("a,b\n" + "".join(f"{i % 7},{i % 5}\n" for i in range(400)))
    text = SUITE.replace('"moons"', '"points.csv"').replace('"wcfm"', '"mine.py"').replace("n = 64", "n = 8, batch = 8")
    cells = specs(Path(), 5, text)
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    assert execute(cells, here, 1, lambda event: None) == [None] * 8
    assert execute(cells, there, 1, lambda event: None, cluster=Apart(there, cells)) == [None] * 8
    assert not list(Path().iterdir())
    for path in tmp_path.glob("*.*"):
        path.rename(path.name)
    assert values(there) == values(here)
    for spec in cells:
        assert there.has_weights(spec)
        assert (there.folder(spec) / "train.csv").read_text() == (here.folder(spec) / "train.csv").read_text()


def test_a_cell_that_always_raises_is_reported_with_its_reason_and_the_others_finish(tmp_path, cluster, address):
    cells = specs(tmp_path, 200, SUITE.replace('"wcfm"', '{name = "wcfm", plan = {lr = 1e30}}'))
    store = Store(tmp_path / "results")
    reasons, heard = run_on_ray(cells, store)
    failed = [index for index, spec in enumerate(cells) if spec.plan["lr"] > 1]
    assert len(failed) == 2
    for index, reason in enumerate(reasons):
        assert (index in failed) == (reason is not None and "not finite" in reason)
        assert heard[index][-1] == ("failed" if index in failed else "done")
    assert all("not finite" in store.failure(cells[index]) for index in failed)


def test_a_cell_on_several_gpus_is_a_group_of_processes(tmp_path, address, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GENBENCH_FILES", raising=False)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[:1]
    touch = f"import os, pathlib; pathlib.Path({str(tmp_path)!r}, 'rank' + os.environ.get('RANK', 's')).touch()"
    Path("mine.py").write_text(
        code.replace("        return Example(batch.x)", f"        {touch}\n        return Example(batch.x)")
    )
    cells = specs(Path(), 5, SUITE.replace('"wcfm"', '"mine.py"'))[-1:]
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    assert execute(cells, here, 1, lambda event: None) == [None]
    assert run_on_ray(cells, there, gpus=2) == ([None], {0: ["done"]})
    assert sorted(path.name for path in tmp_path.glob("rank*")) == ["rank0", "rank1", "ranks"]
    (one,), (both,) = here.record(cells[0])["results"], there.record(cells[0])["results"]
    assert both["value"] == pytest.approx(one["value"], rel=1e-3)


def test_a_cluster_that_is_not_there_is_named_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"no Ray cluster at 127\.0\.0\.1:1: .*refused"):
        run_on_ray(specs(tmp_path, 5), Store(tmp_path / "results"))
    assert not (tmp_path / "results").exists()
