"""A second thread: the same results in the same order, and errors where they belong."""

import threading

import pytest
import torch
from helpers.processes import context

from genbench.training.second_thread import beside, prefetch, second_thread_allowed


def test_steps_are_drawn_in_order_one_ahead():
    drawn = []

    def draw(step):
        drawn.append((step, threading.current_thread() is threading.main_thread()))
        return step**2

    seen = [(value, len(drawn) - index) for index, value in enumerate(prefetch(draw, range(3, 9)), 1)]
    assert [value for value, _ in seen] == [step**2 for step in range(3, 9)]
    assert drawn == [(step, False) for step in range(3, 9)]
    assert all(ahead <= 1 for _, ahead in seen)


@pytest.mark.parametrize("idle", [True, False])
def test_work_is_done_beside_only_where_a_core_is_idle(idle):
    with beside(idle) as submit:
        results = [submit(lambda base, power: (base**power, threading.get_ident()), n, power=2) for n in range(5)]
        values, threads = zip(*(result() for result in results), strict=True)
    assert values == (0, 1, 4, 9, 16)
    assert idle or set(threads) == {threading.get_ident()}
    assert second_thread_allowed(torch.device("cpu"))
    with context.Pool(1) as pool:  # a worker of a sweep has no idle core
        assert not pool.apply(second_thread_allowed, (torch.device("cpu"),))


def test_what_the_second_thread_has_not_begun_is_done_by_the_thread_that_waits_for_it():
    begun, free = threading.Event(), threading.Event()

    def occupy():
        begun.set()
        free.wait()
        return threading.get_ident()

    with beside(True) as submit:
        first, second = submit(occupy), submit(threading.get_ident)
        begun.wait()
        assert second() == threading.get_ident()
        free.set()
        assert first() != threading.get_ident()
