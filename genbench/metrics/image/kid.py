"""Kernel distances of features: KID, unbiased, so that few samples are enough, and that of CMMD."""

from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.functional import normalize

from genbench.metrics.evaluation import Evaluation, Value, stated
from genbench.metrics.extractors.build import Extractor
from genbench.metrics.image.feature_sets import IMAGES, Images, feature_sets
from genbench.metrics.image.neighbors import squared_distance_blocks
from genbench.metrics.image.precision_recall import MAX_IMAGES
from genbench.registry import extractors, metrics
from genbench.seeds import generator
from genbench.settings import Count, Nested, Positive

CLIP = Annotated[
    dict[str, Any] | str | None,
    Nested(extractors, allowed=("clip",)),
    "settings of the network: weights (a file), sha256 (of a file that is not the published one)",
]

INFLUENCES = 512
"""Samples from which the standard error is estimated, to 3 %."""


@metrics.register("kid", version=1, better="lower", of="samples", floor=False)
def kid(
    evaluation: Evaluation,
    *,
    images: Images = IMAGES,
    subsets: Count = 100,
    size: Count = 1000,
    features: Extractor = None,
) -> Value:
    """Squared maximum mean discrepancy of a cubic kernel, unbiased: it may be negative. A KID on Inception's features.

    The mean over random subsets of samples and of real images. `sd` is the standard deviation over subsets, not a
    standard error: subsets of one sample share its fluctuation. `standard_error` is that of a U-statistic of second
    order, which near a distance of 0 varies by pairs of samples, and of the choice of subsets.

    Args:
        subsets: number of subsets, the same ones for every model.
        size: images per subset; all images, if there are fewer.

    Reference: Binkowski et al., 2018.
    """
    sets = feature_sets(evaluation, features, images)
    n_both = min(sets.n, sets.reference.n)
    size_used = min(size, n_both)
    values = subset_mmds(sets.samples, sets.reference.rows, subsets, size_used, evaluation.seed)
    floor_samples, floor = sets.floor_samples, None
    floor_size = min(size, len(floor_samples), sets.reference.n)
    if floor_size > 1:
        floor = float(subset_mmds(floor_samples, sets.reference.rows, subsets, floor_size, evaluation.seed).mean())
    sd = float(values.std()) if subsets > 1 else 0.0
    details = {"sd": sd, "n_reference": sets.reference.n, "n_floor": len(floor_samples)}
    rows = sets.samples[:INFLUENCES]
    effects = Effects.of(cubic(rows, sets.samples), cubic(rows, sets.reference.rows))
    of_all, of_subset = effects.variance(sets.n), effects.variance(size_used)
    of_pairs = 4 * effects.pairs / size_used * (1 / size_used - 1 / sets.reference.n)
    details |= stated(of_all + (of_subset - of_all + of_pairs) / subsets)
    protocol = f"{sets.protocol}, cubic kernel, {subsets} subsets of {size_used}"
    return Value(float(values.mean()), sets.n, protocol, floor=floor, details=details)


@metrics.register("cmmd", version=1, better="lower", of="samples", floor=False)
def cmmd(evaluation: Evaluation, *, images: Images = IMAGES, features: CLIP = None) -> Value:
    """CMMD: `gaussian_mmd` at bandwidth 10 in the features of CLIP, as published.

    Reference: Jayasumana et al., 2024.
    """
    return gaussian_mmd(evaluation, images=images, features=features or "clip")


@metrics.register("gaussian_mmd", version=1, better="lower", of="samples", floor=False)
def gaussian_mmd(
    evaluation: Evaluation, *, images: Images = IMAGES, bandwidth: Positive = 10.0, features: Extractor = None
) -> Value:
    """1000 times the squared MMD of a Gaussian kernel on features of unit length: the estimator of `cmmd`.

    Biased upward by about 1000 (1/n + 1/m) / bandwidth^2 at most. At the default bandwidth it is nearly 10 times the
    squared distance of the means: it hardly sees covariances.

    Args:
        bandwidth: width of the kernel exp(-|x - y|^2 / (2 bandwidth^2)).

    Reference: Jayasumana et al., 2024.
    """
    sets = feature_sets(evaluation, features, images, n_max=MAX_IMAGES)
    real, held_out = (normalize(each[:MAX_IMAGES], dim=1) for each in (sets.reference.rows, sets.floor_samples))
    samples = normalize(sets.samples, dim=1)
    value = 1000 * squared_gaussian_mmd(samples, real, bandwidth)
    floor = 1000 * squared_gaussian_mmd(held_out, real, bandwidth) if len(held_out) == sets.n else None
    within, between = (gaussian(samples[:INFLUENCES], each, bandwidth) for each in (samples, real))
    variance = Effects.of(within, between).variance(sets.n)
    details = {"n_reference": len(real), **stated(1000**2 * variance)}
    protocol = f"{sets.network}, n={sets.n} against {len(real)} {images.split} images, bandwidth {bandwidth:g}"
    return Value(value, sets.n, protocol, floor=floor, details=details)


def squared_gaussian_mmd(x: Float[Tensor, "n k"], y: Float[Tensor, "m k"], bandwidth: float) -> float:
    """Return the biased estimate of the squared MMD for the kernel exp(-|x - y|^2 / (2 bandwidth^2))."""
    return mean_gaussian(x, x, bandwidth) + mean_gaussian(y, y, bandwidth) - 2 * mean_gaussian(x, y, bandwidth)


def mean_gaussian(x: Float[Tensor, "n k"], y: Float[Tensor, "m k"], bandwidth: float) -> float:
    """Return the mean of that kernel over all pairs of a row of x and one of y."""
    blocks = squared_distance_blocks(x, y)
    return sum(float((block / (-2 * bandwidth**2)).exp_().sum()) for block in blocks) / (len(x) * len(y))


def gaussian(x: Float[Tensor, "n k"], y: Float[Tensor, "m k"], bandwidth: float) -> Float64[Tensor, "n m"]:
    """Return that kernel of all pairs of a row of x and one of y."""
    return torch.cat([(block / (-2 * bandwidth**2)).exp_() for block in squared_distance_blocks(x, y)])


def gaussian_means(x: Float[Tensor, "n k"], y: Float[Tensor, "m k"], bandwidth: float) -> Float64[Tensor, " n"]:
    """Return the mean of that kernel over pairs of each row of x with all rows of y."""
    return torch.cat([(block / (-2 * bandwidth**2)).exp_().mean(1) for block in squared_distance_blocks(x, y)])


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


def cubic(x: Float[Tensor, "n k"], y: Float[Tensor, "m k"]) -> Float64[Tensor, "n m"]:
    """Return that kernel of all pairs of a row of x and one of y."""
    return ((x.double() @ y.double().T) / x.shape[1] + 1).pow_(3)


class Effects(NamedTuple):
    """What the squared MMD of samples to given real points varies by.

    Args:
        single: variance of h(x) = E k(x, X) - E k(x, Y), half the effect of a sample x.
        pairs: variance of k(x, x') after the means over x and over x' are subtracted.
    """

    single: float
    pairs: float

    @classmethod
    def of(cls, within: Float64[Tensor, "r n"], between: Float64[Tensor, "r m"]) -> "Effects":
        """Estimate them from the kernel of the first r of n samples with all of them, and with the real points."""
        r, n = within.shape
        square = within[:, :r]
        own = square.diagonal()
        mean = (within.sum(1) - own) / (n - 1)
        by_row = (square.sum(1) - own) / (r - 1)
        centered = (square - by_row[:, None] - by_row + by_row.mean()).fill_diagonal_(0)
        pairs = float(centered.square().sum()) / (r * (r - 3)) if r > 3 else 0.0
        # A mean over n - 1 pairs varies around E k(x, X) by their share.
        return cls(max(float((mean - between.mean(1)).var()) - pairs / (n - 1), 0.0), pairs)

    def variance(self, n: int) -> float:
        """Return the variance of the distance of n samples (Hoeffding's decomposition)."""
        return 4 * self.single / n + 2 * self.pairs / (n * (n - 1))


def kernel_between(p: Float64[np.ndarray, "n k"], q: Float64[np.ndarray, "m k"]) -> float:
    """Return the mean of the kernel over all pairs of a row of p and one of q."""
    # NumPy computes only half of the product of a matrix with its own transpose, which is symmetric; torch all of it.
    kernel = (p @ q.T).ravel()
    kernel /= p.shape[1]
    kernel += 1
    return float(kernel @ np.square(kernel)) / (len(p) * len(q))


def kernel_within(p: Float64[np.ndarray, "n k"]) -> float:
    """Return the mean of the kernel over all pairs of different rows."""
    n, diagonal = len(p), np.square(p).sum(1) / p.shape[1] + 1
    return (kernel_between(p, p) * n**2 - float(diagonal @ np.square(diagonal))) / (n * (n - 1))
