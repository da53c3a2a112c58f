"""Memorisation: whether samples are nearer to training images than images that nobody trained on."""

import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation, Value
from genbench.metrics.extractors.choice import Extractor
from genbench.metrics.image import reference_statistics
from genbench.metrics.image.feature_sets import Real, compare
from genbench.metrics.image.neighbors import closest
from genbench.metrics.image.precision_recall import MOST, Samples
from genbench.registry import metrics
from genbench.settings import Fraction

ROWS, BESIDE = 10, 9
"""Of the page: samples, and nearest training images beside each."""


@metrics.register("memorisation", version=1, better="none", of="samples", floor=False, curve=False)
def memorisation(
    evaluation: Evaluation,
    *,
    n: Samples = None,
    share: Fraction = 0.01,
    n_real: Real = 50_000,
    features: Extractor = None,
) -> list[Value]:
    """Share of samples that are nearer to a training image than all but 1 % of test images are.

    Of images that owe nothing to training it is 1 %: that is its floor. More are copies; none at all are bad samples.
    `ratio` is the median distance of samples to their nearest training image, relative to that of test images: 1 for
    fresh images, less for copies. Bad samples may read either: blurred ones lie near the middle of the features, and
    so near to everything. Read it beside a distance between the distributions, never alone. The samples nearest to
    training images are shown with their neighbours on a page, `neighbours.png`.

    Args:
        share: of test images that count as near.

    Raises:
        Unsupported: if the network cannot be had, or there are fewer than 1/share test images.

    Reference: Meehan et al., 2020 (distances of a held-out sample as the yardstick).
    """
    sides = compare(evaluation, features, "train", n, most=MOST, real=n_real)
    others, train = sides.held.rows, sides.real.rows
    if not 0 < share < 1 or len(others) * share < 1:
        raise Unsupported(f"{len(others)} test images are too few to know the nearest {share:.2%} of them")
    distance, _ = closest(sides.samples, train)
    usual, _ = closest(others, train)
    limit = usual.quantile(share)
    evaluation.image_grids["neighbours"] = _page(evaluation, sides.samples, distance, train)
    protocol = f"{sides.network}, n={sides.n} against {sides.real.n} train and {len(others)} test images"
    details = {"limit": float(limit), "median": float(distance.median()), "median_test": float(usual.median())}
    near = float((distance < limit).double().mean())
    ratio = float(distance.median() / usual.median())
    return [
        Value(near, sides.n, f"{protocol}, near: the nearest {share:.2%}", floor=share, details=details),
        Value(ratio, sides.n, protocol, part="ratio", floor=1.0, better="none"),
    ]


def _page(
    evaluation: Evaluation, samples: Float[Tensor, "n k"], distance: Float64[Tensor, " n"], train: Float[Tensor, "m k"]
) -> UInt8[Tensor, "images c h w"]:
    """Return raw images row by row: the samples nearest to training images, each followed by its neighbours."""
    first = distance.argsort()[:ROWS]
    near = torch.cdist(samples[first].double(), train.double()).topk(min(BESIDE, len(train)), largest=False).indices
    real = reference_statistics.images(evaluation.data, "train", len(train))
    chosen = evaluation.data.space.decode(evaluation.x[first])
    return torch.cat([torch.cat([image[None], real[places]]) for image, places in zip(chosen, near, strict=True)])
