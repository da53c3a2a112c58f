from genbench.metrics.evaluation import Evaluation
from genbench.registry import datasets


def test_cached_for_task_computes_once_per_data_and_seed():
    data, computed = datasets["moons"].build(), []

    def compute():
        computed.append(len(computed))
        return computed[-1]

    x = data.test.take(10, 0).x
    first, same, other = Evaluation(data, 0, x=x), Evaluation(data, 0, x=x + 1), Evaluation(data, 1, x=x)
    assert [each.cached_for_task("key", compute) for each in (first, same, other, same)] == [0, 0, 1, 0]
