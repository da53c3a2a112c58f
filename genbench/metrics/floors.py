"""Floors: metrics of samples, measured on real samples in place of generated ones (real vs. real)."""

from functools import lru_cache

from genbench.core import Batch, Data
from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation, values_of
from genbench.registry import metrics
from genbench.seeds import derive


@lru_cache(maxsize=4096)
def real_vs_real(data: Data, name: str, settings: tuple, seed: int, n: int) -> dict[str, float]:
    """Measure a metric of samples on n samples of the training split; {part: value}, empty if it is unsupported.

    Args:
        settings: bound settings of the metric, as sorted items.
    """
    try:
        real = _training_samples(data, seed, n)
        evaluation = Evaluation(data, seed, x=real.x, label=real.label)
        return {value.part: value.value for value in values_of(metrics[name], evaluation, dict(settings))}
    except Unsupported:
        return {}


@lru_cache(maxsize=16)
def _training_samples(data: Data, seed: int, n: int) -> Batch:
    return data.train.take(n if data.train.size is None else min(n, data.train.size), derive(seed, "floor"))
