"""The pool: what becomes of a cell whose process is killed, and of the processes when their parent is."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from genbench.runs.make_spec import make_spec
from genbench.runs.store import Store
from genbench.sweeps.jobs import Job, make_jobs
from genbench.sweeps.process_pool import MAX_TRIES, ProcessPool


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


CODE = """
import json, multiprocessing, os, pathlib, signal, sys, time
from genbench.runs.store import Store
from genbench.sweeps import process_pool


def work(job, store, send):
    send((os.getpid(), signal.getsignal(signal.SIGINT) is signal.SIG_IGN))
    time.sleep(600)


process_pool.run_job = work
process_pool.multiprocessing.get_context = lambda kind: multiprocessing.context.ForkContext()
worker = process_pool.Worker(Store(pathlib.Path(sys.argv[1])))
worker.send("a job")
print(json.dumps(worker.pipe.recv()), flush=True)
time.sleep(600)
"""


def exists(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_worker_outlives_ctrl_c_and_not_its_parent(tmp_path):
    parent = subprocess.Popen([sys.executable, "-c", CODE, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        pid, deaf = json.loads(parent.stdout.readline())
        assert deaf
        os.kill(pid, signal.SIGINT)
        assert exists(pid)
    finally:
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 60
    while exists(pid):
        assert time.monotonic() < deadline, "the worker is left"
        time.sleep(0.02)
