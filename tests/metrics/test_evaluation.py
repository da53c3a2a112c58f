from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from genbench.metrics.evaluation import Evaluation, Once, error_of_counts
from genbench.registry import datasets


def test_cached_for_task_computes_once_per_data_and_seed():
    data, computed = datasets["moons"].build(), []

    def compute():
        computed.append(len(computed))
        return computed[-1]

    x = data.test.take(10, 0).x
    first, same, other = Evaluation(data, 0, x=x), Evaluation(data, 0, x=x + 1), Evaluation(data, 1, x=x)
    assert [each.cached_for_task("key", compute) for each in (first, same, other, same)] == [0, 0, 1, 0]


def test_of_several_threads_one_computes_and_all_get_its_value():
    once, start, computed = Once(), Barrier(4), []

    def ask(number):
        start.wait()
        return once.get(lambda: computed.append(number) or number)

    with ThreadPoolExecutor(4) as threads:
        values = set(threads.map(ask, range(4)))
    assert values == set(computed)
    assert len(computed) == 1


def test_a_value_that_failed_is_computed_again():
    once = Once()
    with pytest.raises(ZeroDivisionError):
        once.get(lambda: 1 / 0)
    assert once.get(lambda: 5) == 5


def test_the_error_of_a_number_of_large_counts():
    (error,) = error_of_counts(torch.tensor([5]), 10, torch.tensor([6]), 2.0).values()
    tail = 386 / 1024  # P(B >= 6) of a fair coin thrown ten times
    assert error == pytest.approx(2 * (tail * (1 - tail)) ** 0.5)
    assert error_of_counts(torch.tensor([500, 0]), 1000, torch.tensor([100, 100]), 1.0) == {}
