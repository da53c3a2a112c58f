"""Kernel distances of features: KID, which is unbiased and needs few samples, and CMMD."""

from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.functional import normalize

from genbench.metrics.evaluation import Evaluation, Value
from genbench.metrics.extractors.feature_extractor import Extractor
from genbench.metrics.image.feature_sets import IMAGES, Images, feature_sets
from genbench.metrics.image.fid import Own
from genbench.metrics.image.precision_recall import MAX_IMAGES, squared_distance_blocks
from genbench.registry import extractors, metrics
from genbench.seeds import generator
from genbench.settings import Count, Nested

CLIP = Annotated[dict[str, Any] | str | None, Nested(extractors, allowed=("clip",)), Own]

BANDWIDTH = 10.0
"""Width h of the kernel exp(-|x - y|^2 / (2 h^2)) of CMMD."""


@metrics.register("kid", version=1, better="lower", bounds=(None, None), of="samples", floor=False, halves=True)
def kid(
    evaluation: Evaluation,
    *,
    images: Images = IMAGES,
    subsets: Count = 100,
    size: Annotated[int, Ge(2)] = 1000,
    features: Extractor = None,
) -> Value:
    """Squared maximum mean discrepancy of a cubic kernel, unbiased, so it may be negative. On Inception, it is the KID.

    The value is the mean over random subsets of samples and of real images. `sd` is the standard deviation over
    subsets, not a standard error: subsets of one sample share its fluctuation.

    Args:
        subsets: number of random subsets; every model gets the same subsets.
        size: images per subset; all images, if there are fewer.

    Reference: Binkowski et al., 2018.
    """
    sets = feature_sets(evaluation, features, images)
    n_real = sets.reference.n
    size_used = min(size, sets.n, n_real)

    def of_subsets(x: Tensor, size: int) -> Float[Tensor, " subsets"]:
        return subset_mmds(x, sets.reference.rows, subsets, size, evaluation.seed)

    values = of_subsets(sets.samples, size_used)
    name = ("kid", subsets, size)
    floor = sets.floor(evaluation, name, lambda x: float(of_subsets(x, min(size, len(x), n_real)).mean()), least=2)
    sd = float(values.std()) if subsets > 1 else 0.0
    details = {"sd": sd, "n_reference": n_real, "n_floor": len(sets.floor_samples)}
    protocol = f"{sets.protocol}, cubic kernel, {subsets} subsets of {size_used}"
    return Value(float(values.mean()), sets.n, protocol, floor=floor, details=details)


@metrics.register("cmmd", version=1, better="lower", bounds=(-2000, 2000), of="samples", floor=False, halves=True)
def cmmd(evaluation: Evaluation, *, images: Images = IMAGES, features: CLIP = None) -> Value:
    """1000 times the squared MMD of a Gaussian kernel of bandwidth 10, on CLIP's features at unit length.

    It is biased upward by about 10 (1/n + 1/m) at most, for n samples and m real images. It is nearly 10 times the
    squared distance of the means and hardly sees covariances.

    Reference: Jayasumana et al., 2024.
    """
    sets = feature_sets(evaluation, features or "clip", images, n_max=MAX_IMAGES)
    real = normalize(sets.reference.rows[:MAX_IMAGES], dim=1)

    def distance(features: Float[Tensor, "n k"]) -> float:
        x = normalize(features, dim=1)
        within = evaluation.cached_for_task(("cmmd", sets.reference.source), lambda: mean_gaussian(real, real))
        return 1000 * (mean_gaussian(x, x) + within - 2 * mean_gaussian(x, real))

    protocol = (
        f"{sets.extractor.protocol}, n={sets.n} against {len(real)} {images.split} images, bandwidth {BANDWIDTH:g}"
    )
    floor = sets.floor(evaluation, "cmmd", distance)
    return Value(distance(sets.samples), sets.n, protocol, floor=floor, details={"n_reference": len(real)})


def mean_gaussian(x: Float[Tensor, "n k"], y: Float[Tensor, "m k"]) -> float:
    """Return the mean of the kernel of CMMD over all pairs of a row of x and one of y."""
    blocks = squared_distance_blocks(x, y)
    return sum(float((block / (-2 * BANDWIDTH**2)).exp_().sum()) for block in blocks) / (len(x) * len(y))


def subset_mmds(
    x: Float[Tensor, "n k"], y: Float[Tensor, "m k"], subsets: int, size: int, seed: int
) -> Float[Tensor, " subsets"]:
    """Return the squared MMD of random subsets, the same ones for every model."""
    stream = generator(seed, "kid")

    def subset(features: Tensor) -> Tensor:
        return features[torch.randperm(len(features), generator=stream)[:size]]

    return torch.tensor([squared_mmd(subset(x), subset(y)) for _ in range(subsets)], dtype=torch.float64)


def squared_mmd(x: Float[Tensor, "n k"], y: Float[Tensor, "m k"]) -> float:
    """Return the unbiased estimate of the squared MMD for the kernel (x.y / k + 1)^3."""
    a, b = x.double().numpy(), y.double().numpy()
    return kernel_within(a) + kernel_within(b) - 2 * kernel_between(a, b)


def kernel_between(p: Float64[np.ndarray, "n k"], q: Float64[np.ndarray, "m k"]) -> float:
    """Return the mean of the kernel over all pairs of a row of p and one of q."""
    # NumPy computes only half of the product of a matrix with its transpose, which is symmetric; torch computes all.
    kernel = (p @ q.T).ravel()
    kernel /= p.shape[1]
    kernel += 1
    return float(kernel @ np.square(kernel)) / (len(p) * len(q))


def kernel_within(p: Float64[np.ndarray, "n k"]) -> float:
    """Return the mean of the kernel over all pairs of different rows."""
    n, diagonal = len(p), np.square(p).sum(1) / p.shape[1] + 1
    return (kernel_between(p, p) * n**2 - float(diagonal @ np.square(diagonal))) / (n * (n - 1))
