"""The floor of a metric: its value when real data replaces the samples (real vs. real), as for a perfect sampler.

The same code measures as many training samples as the model generated. Metrics of image features already compare with
training images, so they measure held-out images instead (`FeatureSets.floor`).
"""

import json
from collections.abc import Mapping
from functools import lru_cache

from genbench.core import Batch, Data
from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation, Value, values_of
from genbench.registry import metrics
from genbench.seeds import derive


def floor_of(evaluation: Evaluation, name: str, settings: Mapping, value: Value) -> float | None:
    """Return the value on as many training samples; None if there are fewer, since their number changes the bias."""
    fewer = {**settings, "n": value.n} if settings.get("n") else settings  # a metric may drop samples, but not these
    for n, own in ((len(evaluation.x), settings), (value.n, fewer)):
        floor = real_vs_real(evaluation.data, name, json.dumps(own), evaluation.seed, n).get(value.part)
        if floor is not None and floor.n == value.n:
            return floor.value
    return None


@lru_cache(maxsize=4096)
def real_vs_real(data: Data, name: str, settings: str, seed: int, n: int) -> dict[str, Value]:
    """Measure a metric of samples on n samples of the training split; {part: value}, empty if it is unsupported.

    Samples of a finite split do not repeat, so class counts vary less than with a perfect sampler, whose values are a
    little worse, and more than with a perfect model with labels, whose values are better.

    Args:
        settings: bound settings of the metric as JSON: lists and tables have no hash.
    """
    try:
        real = _training_samples(data, seed, n)
        evaluation = Evaluation(data, seed, x=real.x, label=real.label)
        return {value.part: value for value in values_of(metrics[name], evaluation, json.loads(settings))}
    except Unsupported:
        return {}


@lru_cache(maxsize=1)  # 50,000 color images of 32 pixels are 600 MB; most metrics take the same number
def _training_samples(data: Data, seed: int, n: int) -> Batch:
    return data.train.take(n, derive(seed, "floor"))
