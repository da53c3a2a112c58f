"""Memorization: whether samples are closer to training images than test images are."""

import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation, Value, standard_error, wilson
from genbench.metrics.extractors.feature_extractor import Extractor
from genbench.metrics.image.feature_sets import Images, Real, Samples, feature_sets
from genbench.metrics.image.precision_recall import MAX_IMAGES, nearest
from genbench.metrics.image.reference_statistics import real_images
from genbench.registry import metrics
from genbench.settings import Fraction

GRID_ROWS, NEIGHBORS = 10, 9
"""Rows of the image grid: samples, and nearest training images next to each."""


@metrics.register(
    "memorization",
    version=1,
    better="none",
    bounds={"": (0, 1), "ratio": (0, None)},
    of="samples",
    floor=False,
    curve=False,
    halves=True,
)
def memorization(
    evaluation: Evaluation,
    *,
    n: Samples = None,
    share: Fraction = 0.01,
    n_real: Real = 50_000,
    features: Extractor = None,
) -> list[Value]:
    """Share of samples that are closer to a training image than all but 1 % of test images are.

    For images independent of the training images it is 1 %, its floor. A larger share indicates copies, a smaller share
    bad samples. `ratio` is the median distance of samples to their nearest training image, divided by the same
    median for test images: 1 for independent images, less for copies. Blurred samples lie close to everything and
    may look like copies: also read a distance between the distributions. Validation images count as training
    images. The image grid `neighbours.png` shows the closest samples with their training images. Test images that
    copy training images are left out; the detail `duplicates` counts them.

    Args:
        share: share of test images that count as close.

    Reference: Meehan et al., 2020 (held-out distances as the baseline).
    """
    sets = feature_sets(evaluation, features, Images(n=n, n_real=n_real), n_max=MAX_IMAGES)
    test, train = sets.held_out.rows, sets.reference.rows
    key = ("nearest", sets.reference.source, sets.held_out.source)
    test_distance = evaluation.cached_for_task(key, lambda: nearest(test, train)[0])
    test_distance = test_distance[test_distance > 0]
    if not 0 < share < 1 or len(test_distance) * share < 1:
        raise Unsupported(f"{len(test_distance)} test images are too few to know the nearest {share:.2%} of them")
    distance, _ = nearest(sets.samples, train)
    limit = test_distance.quantile(share)
    evaluation.image_grids["neighbours"] = _grid(evaluation, sets.samples, distance, train)
    protocol = f"{sets.extractor.protocol}, n={sets.n} against {sets.reference.n} train and {len(test)} test images"
    median, test_median = float(distance.median()), float(test_distance.median())
    details = {"limit": float(limit), "median": median, "median_test": test_median}
    if len(test_distance) < len(test):
        details["duplicates"] = len(test) - len(test_distance)
    close = distance < limit
    share_close = float(close.double().mean())
    details |= standard_error(close) | wilson(share_close, sets.n)
    return [
        Value(share_close, sets.n, f"{protocol}, near: the nearest {share:.2%}", floor=share, details=details),
        Value(median / test_median, sets.n, protocol, part="ratio", floor=1.0, better="none"),
    ]


def _grid(
    evaluation: Evaluation, samples: Float[Tensor, "n k"], distance: Float64[Tensor, " n"], train: Float[Tensor, "m k"]
) -> UInt8[Tensor, "images c h w"]:
    """Return raw images row by row: the samples closest to training images, each followed by its neighbors."""
    first = distance.argsort()[:GRID_ROWS]
    distances = torch.cdist(samples[first].double(), train.double())
    neighbors = distances.topk(min(NEIGHBORS, len(train)), largest=False).indices
    real = real_images(evaluation.data, "train", len(train))
    shown = evaluation.data.space.decode(evaluation.x[first])
    return torch.cat([torch.cat([image[None], real[rows]]) for image, rows in zip(shown, neighbors, strict=True)])
