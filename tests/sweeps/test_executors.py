"""Executors: what becomes of the processes of a pool."""

import multiprocessing
import os
import signal
import time
from types import SimpleNamespace

import pytest
from helpers.processes import apart, begun
from helpers.toy_trainings import cell

from genbench.runs.store import Store
from genbench.sweeps import executors
from genbench.sweeps.executors import MAX_TRIES, ProcessPool
from genbench.sweeps.jobs import JobEvent, make_jobs


def two_cells():
    return [cell(), cell(sample={"method": "euler", "steps": 2})]


def run_where_the_first_cell_kills(folder):
    """Return what a pool says of two cells, the first of which ends its process, and how the last process ended."""
    run_job = executors.run_job

    def work(job, store, send):
        def tell(event):
            send(event)
            if (event.cell, event.kind) == (0, "started"):
                os.kill(os.getpid(), signal.SIGKILL)

        return run_job(job, store, tell)

    with_workers(work)
    heard = []
    with ProcessPool(Store(folder), 1) as pool:
        pool.run(make_jobs(two_cells()), lambda event: heard.append((event.cell, event.kind)))
        (last,) = pool.workers
    return heard, last.process.exitcode


def test_a_cell_whose_process_is_killed_twice_is_given_up_and_the_others_are_done(tmp_path):
    heard, last = apart(run_where_the_first_cell_kills, tmp_path)
    assert heard.count((0, "lost")) == MAX_TRIES - 1
    assert (0, "failed") in heard
    assert heard[-1] == (1, "done")
    assert last is not None
    store, specs = Store(tmp_path), two_cells()
    assert store.failure(specs[0]) == f"its process was killed by signal 9, {MAX_TRIES} times"
    assert store.record(specs[1]) is not None


def test_a_pool_without_jobs_starts_no_process(tmp_path):
    with ProcessPool(Store(tmp_path), 3) as pool:
        pool.run([], lambda event: None)
        assert pool.workers == []


def with_workers(run_job):
    """Let workers of this process, which are forks of it, run jobs like this."""
    executors.multiprocessing.get_context = lambda kind: multiprocessing.context.ForkContext()
    executors.run_job = run_job


def keep_a_worker(pipe, folder):
    def work(job, store, send):
        try:
            send((os.getpid(), signal.getsignal(signal.SIGINT) is signal.SIG_IGN))
            time.sleep(600)
        except KeyboardInterrupt:
            (folder / "saved").touch()
            raise

    with_workers(work)
    worker = executors.Worker(Store(folder))
    worker.send("a job")
    pipe.send(worker.pipe.recv())
    pipe.recv()
    worker.stop()
    pipe.send(worker.process.exitcode)


@pytest.fixture
def parent(tmp_path):
    """Start a process with one worker, and return a pipe to it. A message in the pipe makes it stop the worker."""
    pipe, end = multiprocessing.Pipe()
    process = begun(keep_a_worker, end, tmp_path)
    yield pipe
    process.kill()
    process.join()


def test_a_worker_is_deaf_to_ctrl_c_and_may_save_its_training_when_it_is_stopped(parent, tmp_path):
    pid, deaf = parent.recv()
    assert deaf
    os.kill(pid, signal.SIGINT)
    parent.send("stop")
    assert (parent.recv(), (tmp_path / "saved").exists()) == (128 + signal.SIGTERM, True)


def see_gpus(folder):
    """Return what three workers see of two GPUs, and what the pool says of it."""

    def work(job, store, send):
        send(JobEvent(0, "warning", message=os.environ.get("CUDA_VISIBLE_DEVICES", "all")))
        while len(list(folder.iterdir())) < 3:  # until each process has a job
            (folder / str(os.getpid())).touch()
            time.sleep(0.01)

    with_workers(work)
    executors.torch.cuda.device_count = lambda: 2
    seen, said = [], []
    executors.log.warning = lambda text, *values: said.append(text % values)
    with ProcessPool(Store(folder), 3) as pool:
        pool.run([SimpleNamespace(threads=0, cells={}) for _ in range(3)], lambda event: seen.append(event.message))
    return sorted(seen), said


@pytest.mark.parametrize(
    ("visible", "names"),
    [({}, ["0", "0", "1"]), ({"CUDA_VISIBLE_DEVICES": "5,GPU-7"}, ["5", "5", "GPU-7"])],
)
def test_each_process_sees_one_gpu_and_sharing_is_said(tmp_path, visible, names):
    seen, said = apart(see_gpus, tmp_path, **visible)
    assert seen == names
    assert said == ["3 processes share 2 GPUs; --jobs 2 gives each a GPU of its own"]
