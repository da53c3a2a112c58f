"""The pool: what becomes of a cell whose process is killed again and again, and of the cells after it."""

import os
import signal

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
