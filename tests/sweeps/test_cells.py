"""Cells that share a training are one job; a cell that fails or is held elsewhere leaves the others alone."""

import logging
import time
from dataclasses import replace

import pytest
from helpers.toy_trainings import cell

from genbench.runs.store import Store
from genbench.sweeps.cells import BUSY_WAIT, CellEvent, Job, forwarded_warnings, give_up, make_jobs, run_job

EULER = {"method": "euler", "steps": 2}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def kinds(events):
    return [(event.cell, event.kind) for event in events if event.kind != "step"]


def test_cells_that_share_a_training_are_one_job_in_their_order():
    specs = [cell(), cell(seed=1), cell(sample=EULER), cell(seed=1, threads=4)]
    made = make_jobs(specs, ["tensorboard"])
    assert [list(job.cells) for job in made] == [[0, 2], [1], [3]]
    assert [job.threads for job in made] == [1, 1, 4]
    assert made[0].loggers == ("tensorboard",)
    assert made[0].only({2}) == Job({2: specs[2]}, loggers=("tensorboard",))
    assert made[0].only({1}) is None


def test_a_job_trains_once_and_measures_every_cell(store):
    (job,), events = make_jobs([cell(), cell(sample=EULER)]), []
    assert run_job(job, store, events.append) is None
    assert kinds(events) == [(0, "started"), (0, "done"), (1, "started"), (1, "done")]
    assert {event.cell for event in events if event.kind == "step"} == {0}
    assert all(store.record(spec) for spec in job.cells.values())


def test_a_cell_that_fails_or_is_given_up_leaves_the_others_alone_and_its_reason(store):
    events = []
    run_job(Job({0: cell(lr=1e30, steps=200), 1: cell()}), store, events.append)
    assert kinds(events) == [(0, "started"), (0, "failed"), (1, "started"), (1, "done")]
    (failed,) = [event for event in events if event.kind == "failed"]
    assert "not finite" in failed.message
    events.clear()
    give_up(3, cell(seed=1), store, events.append, "its process was killed")
    assert events == [CellEvent(3, "failed", message="its process was killed")]
    assert store.failure(cell(seed=1)) == "its process was killed"


def test_warnings_become_events_and_other_messages_do_not():
    events, log = [], logging.getLogger("genbench.tests.cells")
    with forwarded_warnings(events.append):
        log.warning("%s is damaged", "a file")
        log.info("nothing")
    log.warning("after the end")
    assert events == [CellEvent(-1, "warning", message="a file is damaged")]


def test_a_cell_that_another_process_holds_is_tried_again_and_then_waits_for_it(store):
    job, events = Job({0: cell(), 1: cell(seed=1)}), []
    with store.hold(cell()):
        left = run_job(job, store, events.append)
        assert kinds(events) == [(0, "started"), (0, "busy"), (1, "started"), (1, "done")]
        assert (list(left.cells), left.wait) == ([0], BUSY_WAIT)
        start = time.monotonic()
        assert list(run_job(replace(left, wait=0.1), store, lambda event: None).cells) == [0]
        assert time.monotonic() - start > 0.1
    events.clear()
    assert run_job(left, store, events.append) is None
    assert kinds(events) == [(0, "started"), (0, "done")]
