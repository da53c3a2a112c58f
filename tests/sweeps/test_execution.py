"""Execution: what becomes of the processes of a pool."""

import multiprocessing
import os
import signal
import time
from types import SimpleNamespace

import pytest
from helpers.processes import apart, begun
from helpers.toy_trainings import cell

from genbench.runs.store import Store
from genbench.sweeps import execution
from genbench.sweeps.cells import CellEvent, make_jobs
from genbench.sweeps.execution import ProcessPool, run_on


def with_workers(run_job):
    """Let workers of this process, which are forks of it, run jobs like this."""
    execution.multiprocessing.get_context = lambda kind: multiprocessing.context.ForkContext()
    execution.run_job = run_job


def two_cells():
    return [cell(), cell(sample={"method": "euler", "steps": 2})]


def run_with_kills(folder, victim, kills):
    """Return what a pool of two processes says of three cells, one of which kills its process so many times."""
    run_job = execution.run_job

    def work(job, store, send):
        def tell(event):
            send(event)
            if (event.cell, event.kind) == (victim, "started") and len(list(folder.glob("killed*"))) < kills:
                (folder / f"killed{os.getpid()}").touch()
                os.kill(os.getpid(), signal.SIGKILL)

        return run_job(job, store, tell)

    with_workers(work)
    heard, store = [], Store(folder / "results")
    specs = [*two_cells(), cell(seed=1)]
    execution.execute(specs, store, 2, lambda event: heard.append((event.cell, event.kind)))
    return [event for event in heard if event[1] != "step"], multiprocessing.active_children()


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_a_killed_process_costs_its_cell_one_retry_and_no_other_cell_anything(tmp_path, victim):
    heard, left = apart(run_with_kills, tmp_path, victim, 1)
    assert left == []
    assert [event for event in heard if event[0] == victim] == [
        (victim, kind) for kind in ("started", "lost", "started", "done")
    ]
    for other in {0, 1, 2} - {victim}:
        assert [event for event in heard if event[0] == other] == [(other, "started"), (other, "done")]


def test_a_cell_whose_process_is_killed_twice_is_given_up_and_the_others_are_done(tmp_path):
    heard, _ = apart(run_with_kills, tmp_path, 0, 2)
    assert [kind for index, kind in heard if index == 0] == ["started", "lost", "started", "failed"]
    assert {(1, "done"), (2, "done")} <= set(heard)
    store, specs = Store(tmp_path / "results"), two_cells()
    assert store.failure(specs[0]) == "its process was killed, 2 times"
    assert store.record(specs[1]) is not None


def kill_between_jobs(folder):
    """Return what a pool says of a cell after its idle process was killed."""
    with_workers(execution.run_job)
    heard, store = [], Store(folder)
    with ProcessPool(store, 2) as pool:
        for spec in two_cells():
            run_on(pool, make_jobs([spec]), store, lambda event: heard.append(event.kind), ())
            (worker,) = pool.workers
            worker.process.kill()
            worker.process.join()
    return [kind for kind in heard if kind != "step"]


def test_an_idle_process_that_is_killed_is_replaced(tmp_path):
    assert [kind for kind in apart(kill_between_jobs, tmp_path) if kind != "lost"] == ["started", "done"] * 2


def test_a_pool_without_jobs_starts_no_process(tmp_path):
    store = Store(tmp_path)
    with ProcessPool(store, 3) as pool:
        run_on(pool, [], store, lambda event: None, ())
        assert pool.workers == []


def keep_a_worker(pipe, folder):
    def work(job, store, send):
        try:
            send((os.getpid(), signal.getsignal(signal.SIGINT) is signal.SIG_IGN))
            time.sleep(600)
        except KeyboardInterrupt:
            (folder / "saved").touch()
            raise

    with_workers(work)
    with ProcessPool(Store(folder), 2) as pool:
        pool.start(SimpleNamespace(threads=1))
        while not (events := pool.events()):
            time.sleep(0.01)
        pipe.send(events[0])
        pipe.recv()
    pipe.send(pool.workers[0].process.exitcode)


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
    assert (parent.recv(), (tmp_path / "saved").exists()) == (0, True)


def see_gpus(folder):
    """Return what three workers see of two GPUs, and what the pool says of it."""

    def work(job, store, send):
        send(CellEvent(0, "warning", message=os.environ.get("CUDA_VISIBLE_DEVICES", "all")))
        while len(list(folder.iterdir())) < 3:  # until each process has a job
            (folder / str(os.getpid())).touch()
            time.sleep(0.01)

    with_workers(work)
    execution.torch.cuda.device_count = lambda: 2
    seen, said, store = [], [], Store(folder)
    execution.log.warning = lambda text, *values: said.append(text % values)
    with ProcessPool(store, 3) as pool:
        jobs = [SimpleNamespace(threads=10_000, cells={}) for _ in range(3)]
        run_on(pool, jobs, store, lambda event: seen.append(event.message), ())
    return sorted(seen), said


@pytest.mark.parametrize(
    ("visible", "names"),
    [({}, ["0", "0", "1"]), ({"CUDA_VISIBLE_DEVICES": "5,GPU-7"}, ["5", "5", "GPU-7"])],
)
def test_each_process_sees_one_gpu_whatever_its_threads_and_sharing_is_said(tmp_path, visible, names):
    seen, said = apart(see_gpus, tmp_path, **visible)
    assert seen == names
    assert said == ["3 processes share 2 GPUs; --jobs 2 gives each a GPU of its own"]
