"""Sliced Wasserstein distances of features (MIND): they need fewer images than a Frechet distance."""

from typing import Annotated, Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional as F

from genbench.metrics.evaluation import Evaluation, Value, standard_error
from genbench.metrics.extractors.feature_extractor import Extractor
from genbench.metrics.image.feature_sets import IMAGES, FeatureSets, Images, feature_sets
from genbench.metrics.wasserstein import sliced_influence, sorted_projections
from genbench.registry import extractors, metrics
from genbench.seeds import generator
from genbench.settings import Count, Nested

DIRECTIONS_SEED = 2020
"""Seed of the directions in the published implementation."""
BLOCK = 100
"""Directions at once."""

Directions = Annotated[Count, "number of random lines; published values use 100 to 1024"]
Inception = Annotated[
    dict[str, Any] | str | None,
    Nested(extractors, allowed=("inception-legacy", "inception-clean", "inception-fidelity")),
    "which Inception: a name, or a table with its settings; by default inception-legacy",
]


@metrics.register("mind", version=1, better="lower", bounds=(0, None), of="samples", floor=False)
def mind(
    evaluation: Evaluation, *, images: Images = IMAGES, directions: Directions = 1000, features: Inception = None
) -> Value:
    """Monge Inception distance: 3 d times the mean squared W2 of features on random lines.

    For Gaussians of equal isotropic covariance, it equals three times the FID. The floor falls with the number of
    samples. According to the paper, 5,000 images are enough.

    Reference: MIND (arXiv 2605.06797).
    """
    return _distance(evaluation, feature_sets(evaluation, features or "inception-legacy", images), directions)


@metrics.register("monge_distance", version=1, better="lower", bounds=(0, None), of="samples", floor=False)
def monge_distance(
    evaluation: Evaluation, *, images: Images = IMAGES, directions: Directions = 1000, features: Extractor = None
) -> Value:
    """The distance of `mind` on any features; the name MIND implies Inception's."""
    return _distance(evaluation, feature_sets(evaluation, features, images), directions)


def _distance(evaluation: Evaluation, sets: FeatureSets, directions: int) -> Value:
    real = sets.reference.rows
    n, lines = min(sets.n, len(real)), random_lines(directions, real.shape[1])
    x, y = (_part(each, n, evaluation.seed) for each in (sets.samples, real))
    sorted_y = sorted_projections(y, lines)

    def to_real(other: Float[Tensor, "m k"]) -> float:
        return _to_sorted(_part(other, n, evaluation.seed), sorted_y, lines)

    # The distance falls with the number of samples: the floor needs as many images.
    floor = sets.floor(evaluation, ("monge", directions), to_real, least=n)
    error = standard_error(sliced_influence(x, sorted_y, lines), scale=3 * x.shape[1])
    details = {"n_reference": sets.reference.n, "n_used": n, **error}
    protocol = f"{sets.protocol}, {directions} directions"
    return Value(_to_sorted(x, sorted_y, lines), sets.n, protocol, floor=floor, details=details)


def sliced_distance(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], directions: int, seed: int) -> float:
    """Return 3 d / (n M) times the sum over M directions of squared differences of sorted projections.

    A random part of the larger set is used; the directions are always the same.
    """
    n, lines = min(len(x), len(y)), random_lines(directions, x.shape[1])
    x, y = (_part(each, n, seed) for each in (x, y))
    return _to_sorted(x, sorted_projections(y, lines), lines)


def random_lines(directions: int, dims: int) -> Float64[Tensor, "directions d"]:
    """Return unit vectors, always the same ones."""
    stream = torch.Generator().manual_seed(DIRECTIONS_SEED)
    return F.normalize(torch.randn(directions, dims, generator=stream), dim=1).double()


def _part(x: Float[Tensor, "m d"], n: int, seed: int) -> Float64[Tensor, "n d"]:
    return (x if len(x) == n else x[torch.randperm(len(x), generator=generator(seed, "mind"))[:n]]).double()


def _to_sorted(x: Float64[Tensor, "n d"], sorted_y: Float64[Tensor, "m n"], lines: Float64[Tensor, "m d"]) -> float:
    pairs = zip(lines.split(BLOCK), sorted_y.split(BLOCK), strict=True)
    total = sum(float((sorted_projections(x, some) - y).square().sum()) for some, y in pairs)
    return 3 * x.shape[1] * total / sorted_y.numel()
