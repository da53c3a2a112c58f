import pytest
from scipy.stats import binom

from genbench.metrics.evaluation import Evaluation, wilson
from genbench.registry import datasets


def test_cached_for_task_computes_once_per_data_and_seed():
    data, computed = datasets["moons"].build(), []

    def compute():
        computed.append(len(computed))
        return computed[-1]

    x = data.test.take(10, 0).x
    first, same, other = Evaluation(data, 0, x=x), Evaluation(data, 0, x=x + 1), Evaluation(data, 1, x=x)
    assert [each.cached_for_task("key", compute) for each in (first, same, other, same)] == [0, 0, 1, 0]


@pytest.mark.parametrize("n", [50, 400])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 0.99])
def test_the_interval_of_a_share_covers_it_near_0_and_1_too(n, share):
    counts = range(n + 1)
    covers = [abs(count / n - share) <= wilson(count / n, n)["half_interval"] for count in counts]
    covered = sum(binom.pmf(count, n, share) for count in counts if covers[count])
    assert covered > 0.93
    if 0.2 <= share <= 0.8:  # where it is symmetric, it is no wider than it must be
        assert covered < 0.97
