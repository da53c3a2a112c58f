"""Kernel distances of features: unbiased, so that few samples do."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from genbench.metrics.evaluation import Evaluation, Value
from genbench.metrics.extractors.choice import Extractor
from genbench.metrics.image.feature_sets import Real, Samples, Split, compare
from genbench.registry import metrics
from genbench.seeds import generator
from genbench.settings import Count


@metrics.register("kid", version=1, better="lower", of="samples", floor=False)
def kid(
    evaluation: Evaluation,
    *,
    n: Samples = None,
    subsets: Count = 100,
    size: Count = 1000,
    split: Split = "train",
    n_real: Real = 50_000,
    features: Extractor = None,
) -> Value:
    """Squared maximum mean discrepancy of a cubic kernel, unbiased: it may be negative. A KID on Inception's features.

    The mean over random subsets of samples and of real images. `sd` is the spread over subsets, which is no standard
    error; `standard_error` is sd sqrt(1/subsets + size/n), since subsets of one sample share its fluctuation: too much
    by up to sqrt(n/size) where the distance is near 0.

    Args:
        subsets: number of subsets, the same ones for every model.
        size: images in each; all there are, if there are fewer.

    Raises:
        Unsupported: if the network cannot be had, or there are fewer than 2 images.

    Reference: Binkowski et al., 2018.
    """
    sides = compare(evaluation, features, split, n, real=n_real)
    few = min(size, sides.n, sides.real.n)
    values = _subsets(sides.samples, sides.real.rows, subsets, few, evaluation.seed)
    others, few_others = sides.others, min(size, len(sides.others), sides.real.n)
    floor = None
    if few_others > 1:
        floor = float(_subsets(others, sides.real.rows, subsets, few_others, evaluation.seed).mean())
    spread = float(values.std()) if subsets > 1 else 0.0
    details = {"sd": spread, "n_reference": sides.real.n, "n_floor": len(others)}
    whole = min(sides.n, sides.real.n)
    if 2 * few <= whole:  # larger subsets are too much alike for their spread to tell
        details["standard_error"] = spread * (1 / subsets + few / whole) ** 0.5
    protocol = f"{sides.protocol}, cubic kernel, {subsets} subsets of {few}"
    return Value(float(values.mean()), sides.n, protocol, floor=floor, details=details)


def _subsets(
    x: Float[Tensor, "n k"], y: Float[Tensor, "m k"], subsets: int, size: int, seed: int
) -> Float[Tensor, " subsets"]:
    stream = generator(seed, "kid")

    def draw(features: Tensor) -> Tensor:
        return features[torch.randperm(len(features), generator=stream)[:size]]

    return torch.tensor([squared_mmd(draw(x), draw(y)) for _ in range(subsets)], dtype=torch.float64)


def squared_mmd(x: Float[Tensor, "n k"], y: Float[Tensor, "m k"]) -> float:
    """Return the unbiased estimate of the squared MMD for the kernel (x.y / k + 1)^3."""
    a, b = x.double().numpy(), y.double().numpy()
    size = a.shape[1]

    # By NumPy, which knows that a matrix times its own transpose is symmetric: half of that product is not computed.
    def total(p: np.ndarray, q: np.ndarray) -> float:
        kernel = (p @ q.T).ravel()
        kernel /= size
        kernel += 1
        return kernel @ np.square(kernel)

    def within(p: np.ndarray) -> float:
        own = np.square(p).sum(1) / size + 1
        return (total(p, p) - own @ np.square(own)) / (len(p) * (len(p) - 1))

    return float(within(a) + within(b) - 2 * total(a, b) / (len(a) * len(b)))
