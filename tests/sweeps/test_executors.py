"""Executors: every cell has its reason, in order."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from genbench.runs.make_spec import make_spec
from genbench.runs.store import Store
from genbench.sweeps.executors import MAX_TRIES, ProcessPool, execute, local
from genbench.sweeps.jobs import Job, make_jobs


def cells():
    plans = [{"steps": 2}, {"steps": 200, "lr": 1e30}, {"steps": 3}]
    settings = {"evaluation": {"n": 16, "curve": []}}
    return [make_spec("cfm", "moons", metrics=["nfe"], settings=settings | {"plan": plan}) for plan in plans]


def test_every_cell_has_its_reason_in_order(tmp_path):
    store, heard = Store(tmp_path), []
    first, second, third = execute(cells(), store, local(store, 1), heard.append)
    assert (first, third) == (None, None)
    assert "not finite" in second
    assert sorted(event.cell for event in heard if event.kind in ("done", "failed")) == [0, 1, 2]
    assert not list(tmp_path.glob("leases/*"))


def cell(threads=1, sample=None):
    settings = {"plan": {"steps": 3, "batch_size": 8, "threads": threads}, "evaluation": {"n": 16, "curve": []}}
    return make_spec("cfm", "moons", metrics=["nfe"], settings=settings | {"sample": sample or {}})


@pytest.mark.slow
def test_a_cell_whose_process_is_killed_twice_is_given_up_and_the_others_are_done(tmp_path):
    store, heard = Store(tmp_path), []
    specs = [cell(), cell(sample={"method": "euler", "steps": 2})]
    with ProcessPool(store, 1) as pool:

        def watch(event):
            heard.append((event.cell, event.kind))
            if heard[-1] == (0, "started"):
                os.kill(pool.workers[0].process.pid, signal.SIGKILL)

        pool.run(make_jobs(specs), watch)
        assert heard.count((0, "lost")) == MAX_TRIES - 1
        assert (0, "failed") in heard
        assert heard[-1] == (1, "done")
        (last,) = pool.workers
    assert store.failure(specs[0]) == f"its process was killed by signal 9, {MAX_TRIES} times"
    assert store.record(specs[1]) is not None
    assert last.process.exitcode is not None


def test_no_process_is_started_where_there_is_no_job(tmp_path):
    with ProcessPool(Store(tmp_path), 3) as pool:
        pool.run([], lambda event: None)
        assert pool.workers == []
        assert pool.max_threads >= 3
    assert Job({0: cell(threads=7)}).threads == 7


IN_FORKS = """
import json, multiprocessing, os, pathlib, signal, sys, time
from genbench.runs.store import Store
from genbench.sweeps import executors
from genbench.sweeps.jobs import JobEvent

executors.multiprocessing.get_context = lambda kind: multiprocessing.context.ForkContext()
folder = pathlib.Path(sys.argv[1])
"""


def exists(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


ONE_WORKER = (
    IN_FORKS
    + """
def work(job, store, send):
    try:
        send((os.getpid(), signal.getsignal(signal.SIGINT) is signal.SIG_IGN))
        time.sleep(600)
    except KeyboardInterrupt:
        (folder / "saved").touch()
        raise

executors.run_job = work
worker = executors.Worker(Store(folder))
worker.send("a job")
print(json.dumps(worker.pipe.recv()), flush=True)
sys.stdin.readline()
worker.stop()
print(worker.process.exitcode)
"""
)


@pytest.fixture
def parent(tmp_path):
    """A process with one worker, which it stops when it reads a line."""
    command = [sys.executable, "-c", ONE_WORKER, str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


def test_a_worker_outlives_ctrl_c_and_not_its_parent(parent):
    pid, deaf = json.loads(parent.stdout.readline())
    assert deaf
    os.kill(pid, signal.SIGINT)
    assert exists(pid)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 60
    while exists(pid):
        assert time.monotonic() < deadline, "the worker is left"
        time.sleep(0.02)


def test_a_stopped_worker_may_save_its_training(parent, tmp_path):
    parent.stdout.readline()
    out, _ = parent.communicate("stop\n")
    assert (out, (tmp_path / "saved").exists()) == (f"{128 + signal.SIGTERM}\n", True)


GPUS = (
    IN_FORKS
    + """
executors.torch.cuda.device_count = lambda: 2

def work(job, store, send):
    send(JobEvent(0, "warning", message=os.environ.get("CUDA_VISIBLE_DEVICES", "all")))
    while len(list(folder.iterdir())) < 3:  # until each process has a job
        (folder / str(os.getpid())).touch()
        time.sleep(0.01)

class Job:
    threads, cells = 0, {}

executors.run_job = work
seen = []
with executors.ProcessPool(Store(folder), 3) as pool:
    pool.run([Job() for _ in range(3)], lambda event: seen.append(event.message))
print(json.dumps(sorted(seen)))
"""
)


@pytest.mark.parametrize(("visible", "names"), [(None, ["0", "0", "1"]), ("5,GPU-7", ["5", "5", "GPU-7"])])
def test_each_process_sees_one_gpu_and_sharing_is_said(tmp_path, visible, names):
    """Every worker took cuda:0."""
    known = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    env = known | ({"CUDA_VISIBLE_DEVICES": visible} if visible else {})
    done = subprocess.run([sys.executable, "-c", GPUS, str(tmp_path)], env=env, capture_output=True, text=True)
    assert json.loads(done.stdout) == names, done.stderr
    assert "3 processes share 2 GPUs; --jobs 2 gives each a GPU of its own" in done.stderr
