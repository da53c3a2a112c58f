"""A metric in one page: the distance between the mean of the samples and the mean of the data."""

from genbench.metrics.evaluation import Evaluation, Value
from genbench.registry import metrics
from genbench.settings import Count


@metrics.register("example-mean", version=1, better="lower", of="samples")
def mean_distance(evaluation: Evaluation, *, n: Count = 1024) -> Value:
    """Distance between the mean of samples and the mean of held-out data.

    Args:
        n: number of samples, and number of held-out points.
    """
    difference = evaluation.samples(n).mean(0) - evaluation.reference(n).x.mean(0)
    return Value(float(difference.square().sum().sqrt()), n, f"Euclidean, against {n} held-out samples")
