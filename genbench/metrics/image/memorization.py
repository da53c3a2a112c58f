"""Memorization: whether samples are closer to training images than test images are."""

import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation, Value, standard_error
from genbench.metrics.extractors.build import Extractor
from genbench.metrics.image.feature_sets import Images, Real, Samples, feature_sets
from genbench.metrics.image.kid import squared_gaussian_mmd
from genbench.metrics.image.neighbors import nearest, squared_distance_blocks
from genbench.metrics.image.precision_recall import MAX_IMAGES
from genbench.metrics.image.real_images import real_images
from genbench.registry import metrics
from genbench.settings import Fraction

GRID_ROWS, NEIGHBORS = 10, 9
"""Of the image grid: samples, and nearest training images next to each."""


@metrics.register("memorisation", version=1, better="none", of="samples", floor=False, curve=False)
def memorisation(
    evaluation: Evaluation,
    *,
    n: Samples = None,
    share: Fraction = 0.01,
    n_real: Real = 50_000,
    features: Extractor = None,
) -> list[Value]:
    """Share of samples that are closer to a training image than all but 1 % of test images are.

    For images independent of the training images it is 1 %, its floor. More are copies; fewer are bad samples.
    `ratio` is the median distance of samples to their nearest training image, relative to that of test images: 1 for
    independent images, less for copies. Bad samples may read either: blurred ones lie near the center of the features,
    and so close to everything. Read it next to a distance between the distributions, never alone. The samples closest
    to training images are shown with these in an image grid, `neighbours.png`.

    Args:
        share: share of test images that count as close.

    Raises:
        Unsupported: if the network is not available, or there are fewer than 1/share test images.

    Reference: Meehan et al., 2020 (held-out distances as the baseline).
    """
    sets = feature_sets(evaluation, features, Images(n=n, n_real=n_real), n_max=MAX_IMAGES)
    test, train = sets.held_out.rows, sets.reference.rows
    if not 0 < share < 1 or len(test) * share < 1:
        raise Unsupported(f"{len(test)} test images are too few to know the nearest {share:.2%} of them")
    distance, _ = nearest(sets.samples, train)
    test_distance, _ = nearest(test, train)
    limit = test_distance.quantile(share)
    evaluation.image_grids["neighbours"] = _grid(evaluation, sets.samples, distance, train)
    protocol = f"{sets.network}, n={sets.n} against {sets.reference.n} train and {len(test)} test images"
    median, test_median = float(distance.median()), float(test_distance.median())
    details = {"limit": float(limit), "median": median, "median_test": test_median}
    close = distance < limit
    details |= standard_error(close)
    return [
        Value(
            float(close.double().mean()),
            sets.n,
            f"{protocol}, near: the nearest {share:.2%}",
            floor=share,
            details=details,
        ),
        Value(median / test_median, sets.n, protocol, part="ratio", floor=1.0, better="none"),
    ]


@metrics.register("copy_ratio", version=1, better="none", of="samples", floor=False, curve=False)
def copy_ratio(
    evaluation: Evaluation, *, n: Samples = None, n_real: Real = 10_000, features: Extractor = None
) -> Value:
    """T / (T + A) of the squared MMD of samples to test images (T) and to training images (A): 1 for copies of these.

    Near 1/2 for samples that are as far from either, 0 for copies of test images. The kernel is Gaussian; its bandwidth
    is a third of the median distance of test images to training images, and numbers of images are equal, so that
    neither set is favored. After PALATE, which fixes the bandwidth for DINOv2 and drops outliers.

    Raises:
        Unsupported: if the network is not available.

    Reference: PALATE (Dziarmaga et al., 2025).
    """
    sets = feature_sets(evaluation, features, Images(n=n, n_real=n_real), n_max=MAX_IMAGES)
    test, train = sets.held_out.rows, sets.reference.rows
    count = min(len(test), len(train))
    ratio, bandwidth = share_of_test(sets.samples, test[:count], train[:count])
    half = count // 2  # real images that are neither: the second half of the test images, against its first half
    floor = share_of_test(test[half:], test[:half], train[:half])[0] if half > 1 else None
    protocol = f"{sets.network}, n={sets.n} against {count} train and {count} test images, Gaussian kernel"
    return Value(ratio, sets.n, protocol, floor=floor, details={"bandwidth": bandwidth})


def share_of_test(
    x: Float[Tensor, "n k"], test: Float[Tensor, "m k"], train: Float[Tensor, "m k"]
) -> tuple[float, float]:
    """Return T / (T + A), and the bandwidth."""
    between = torch.cat(list(squared_distance_blocks(test, train)))
    bandwidth = float(between.median().sqrt()) / 3

    to_test, to_train = (squared_gaussian_mmd(x, real, bandwidth) for real in (test, train))
    return to_test / (to_test + to_train), bandwidth


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
