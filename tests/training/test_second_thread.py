"""A second thread: the same results in the same order, and errors where they belong."""

import threading

import pytest
import torch
from helpers.processes import context

from genbench.training.second_thread import prefetch, second_thread_allowed


def test_steps_are_drawn_in_order_one_ahead():
    drawn = []

    def draw(step):
        drawn.append((step, threading.current_thread() is threading.main_thread()))
        return step**2

    seen = [(value, len(drawn) - index) for index, value in enumerate(prefetch(draw, range(3, 9)), 1)]
    assert [value for value, _ in seen] == [step**2 for step in range(3, 9)]
    assert drawn == [(step, False) for step in range(3, 9)]
    assert all(ahead <= 1 for _, ahead in seen)


def test_an_error_is_raised_at_its_own_step():
    drawn = prefetch(lambda step: 1 / (step - 5), range(3, 9))
    assert [next(drawn), next(drawn)] == [-0.5, -1]
    with pytest.raises(ZeroDivisionError):
        next(drawn)


def test_a_worker_of_a_sweep_has_no_idle_core():
    assert second_thread_allowed(torch.device("cpu"))
    with context.Pool(1) as pool:
        assert not pool.apply(second_thread_allowed, (torch.device("cpu"),))
