"""Durations of cells: from records of cells like them, and the time that a sweep still takes."""

import pytest
from helpers.toy_trainings import cell

from genbench.sweeps import durations
from genbench.sweeps.cells import CellEvent
from genbench.sweeps.durations import Duration, TimeLeft, recorded_durations


def record(model, steps, train, evaluate):
    costs = {"training": {"cost": {"train_seconds": train}}, "measurements": [{"cost": {"evaluate_seconds": evaluate}}]}
    return {"labels": {"model": model, "data": "moons"}, "spec": {"plan": {"steps": steps}}, "provenance": costs}


def test_a_cell_takes_what_cells_like_it_took_and_else_what_all_took():
    known, unknown = cell(steps=20), cell(steps=30)
    records = [record(known.model_label, 20, *seconds) for seconds in ((1.0, 3.0), (3.0, 5.0))]
    records += [record("another", 20, 8.0, 0.0), {"failure": "it broke"}]
    assert recorded_durations([known, unknown], records) == [Duration(2.0, 4.0), Duration(5.0, 2.0)]
    assert recorded_durations([known], []) == []


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(durations.time, "monotonic", lambda: now[0])
    return now


def test_a_sweep_on_the_recorded_machine_takes_the_recorded_time(clock):
    left = TimeLeft(4, [Duration(60.0, 40.0)] * 4, processes=2)
    assert left.seconds() == 200
    for index in (0, 1):
        left.on_event(CellEvent(index, "started"))
    clock[0] = 30
    for index in (0, 1):
        left.on_event(CellEvent(index, "step", 50, 100))
    assert left.seconds() == 170
    clock[0] = 60
    for index in (0, 1):
        left.on_event(CellEvent(index, "step", 100, 100))
    clock[0] = 100
    for index in (0, 1):
        left.on_event(CellEvent(index, "done"))
    assert left.seconds() == 100


def test_the_longest_cell_bounds_the_time_and_one_wrong_record_does_not_set_the_pace(clock):
    left = TimeLeft(9, [Duration(1000.0, 0.0), *[Duration(10.0, 0.0)] * 8], processes=2)
    assert left.seconds() == 1000
    for index in range(7):
        left.on_event(CellEvent(index, "started"))
        clock[0] += 30
        left.on_event(CellEvent(index, "step", 1, 1))
        left.on_event(CellEvent(index, "done"))
        assert left.seconds() == (8 - index) * 5 * (1 if index < 6 else 2)
    # The first was recorded on a busy machine; the others take thrice their records, which shows in time.
    left.on_event(CellEvent(7, "started"))
    left.on_event(CellEvent(7, "step", 1, 2))
    left.on_event(CellEvent(7, "lost"))
    assert left.left[7] == 10


def test_an_ensemble_makes_progress_as_a_whole_and_without_records_the_cells_count(clock):
    left = TimeLeft(4, (), processes=1)
    assert left.seconds() is None
    left.on_event(CellEvent(0, "started", ensemble=(0, 1)))
    clock[0] = 10
    left.on_event(CellEvent(0, "step", 1, 2, ensemble=(0, 1)))
    assert left.seconds() == pytest.approx(30)
    for index in range(4):
        left.on_event(CellEvent(index, "failed"))
    assert left.seconds() is None
