"""Memorization: whether samples are closer to training images than test images are; likelihoods that detect copies."""

import math

import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor, nn

from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation, Value, standard_error, wilson
from genbench.metrics.extractors.feature_extractor import Extractor
from genbench.metrics.image.feature_sets import Images, Real, Samples, feature_sets
from genbench.metrics.image.precision_recall import MAX_IMAGES, ROWS, nearest, squared_distance_blocks
from genbench.metrics.image.reference_statistics import real_images
from genbench.registry import metrics
from genbench.seeds import generator
from genbench.settings import Fraction
from genbench.training.optimizer import Adam

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
    bad samples. `ratio` is the median distance of samples to their nearest training image, divided by the same median
    for test images: 1 for independent images, less for copies. Blurred samples lie close to everything and may look
    like copies: also read a distance between the distributions. The image grid `neighbours.png` shows the closest
    samples with their training images. Test images that copy training images are left out; the detail `duplicates`
    counts them.

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


@metrics.register(
    "fld",
    version=2,
    better="lower",
    bounds=(None, None),
    of="samples",
    floor=False,
    curve=False,
    novel=True,
    halves=True,
)
def fld(evaluation: Evaluation, *, n: Samples = None, n_real: Real = 50_000, features: Extractor = None) -> list[Value]:
    """Feature likelihood divergence: how much less likely test images are under the samples than under training images.

    Features are standardized by the test images. A mixture of Gaussians is centered on the samples, and its variances
    are fitted to the training images. The value is 100 (l - l0), where l is the negative log-likelihood of test images
    in nats per feature. For l0, the centers are as many training images as there are samples (at most half), and the
    variances are fitted to the others. Copies of training images get tiny variances and make no test image likely:
    quality, diversity and novelty count. `gap` is 100 (l of training images - l of test images): far below 0 for
    copies. Published values use DINOv2 (features=dinov2). The interval comes from random halves.

    Reference: Jiralerspong et al., 2023.
    """
    sets = feature_sets(evaluation, features, Images(n=n, n_real=n_real), n_max=MAX_IMAGES, n_min=4)
    test, train = sets.held_out.rows, sets.reference.rows
    mean, scale = (each.float() for each in (test.double().mean(0), test.double().std(0)))
    known = scale > 0  # a feature that never varies cannot be standardized
    if not known.any():
        raise Unsupported("all test images have the same features")
    x, test, train = (((each - mean) / scale)[:, known] for each in (sets.samples, test, train))
    stream = generator(evaluation.seed, "fld")

    def baseline_nats() -> tuple[float, Tensor]:
        order = torch.randperm(len(train), generator=stream)
        half = min(len(x), len(train) // 2)
        nats = CenteredMixture(train[order[:half]], train[order[half:]], stream).nats(test)
        return nats, stream.get_state()

    key = ("fld", sets.extractor.protocol, len(x), len(train), len(test))
    baseline, state = evaluation.cached_for_task(key, baseline_nats)
    mixture = CenteredMixture(x, train, stream.set_state(state))
    on_test, on_train = mixture.nats(test), mixture.nats(train)
    protocol = (
        f"{sets.extractor.protocol}, n={sets.n}, fitted to {len(train)} train images, nats of {len(test)} test images"
    )
    details = {"nats": on_test, "baseline": baseline}
    return [
        Value(100 * (on_test - baseline), sets.n, protocol, floor=0.0, details=details),
        Value(100 * (on_train - on_test), sets.n, protocol, part="gap", better="none"),
    ]


class CenteredMixture:
    """A mixture of equally likely isotropic Gaussians with given centers, its variances fitted to other points.

    Each variance starts at its best fit to the nearest point, and all are fitted by 50 epochs of Adam. Meanwhile a
    broad component, centered on the mean of the points at 0.9 of their distance, explains points far from all centers.

    Args:
        points: the variances are fitted to these.
        stream: shuffles the points.

    Reference: Jiralerspong et al., 2023, and its code.
    """

    EPOCHS, BATCH, RATE, NEARER = 50, 10_000, 0.5, 0.9

    def __init__(self, centers: Float[Tensor, "n k"], points: Float[Tensor, "m k"], stream: torch.Generator) -> None:
        points = points[torch.randperm(len(points), generator=stream)]
        self.centers = centers
        # Every epoch needs all distances: in single precision 2 GB for 10,000 centers and 50,000 points.
        squares = torch.empty(len(points), len(centers))
        for rows, block in zip(squares.split(ROWS), squared_distance_blocks(points, centers), strict=True):
            rows.copy_(block)
        from_mean = self.NEARER**2 * (points - points.mean(0)).square().sum(1, keepdim=True, dtype=torch.float64)
        self.log_variance = nn.Parameter(((squares.min(0).values.double() + 1e-3) / centers.shape[1]).log())
        broad = nn.Parameter(self.log_variance.new_zeros(1))
        optimizer = Adam([self.log_variance, broad])
        with torch.enable_grad():
            for _ in range(self.EPOCHS):
                for near, far in zip(squares.split(self.BATCH), from_mean.split(self.BATCH), strict=True):
                    for some, own in zip(near.split(ROWS), far.split(ROWS), strict=True):
                        parts = [self._log_parts(some.double(), self.log_variance) - math.log(len(centers))]
                        log_density = torch.cat([*parts, self._log_parts(own, broad)], 1).logsumexp(1)
                        (-log_density.sum() / (len(near) * centers.shape[1])).backward()
                    optimizer.step(self.RATE)
                    self.log_variance.data.clamp_(-40, 20)
        self.log_variance.requires_grad_(False)

    def nats(self, x: Float[Tensor, "n k"]) -> float:
        """Return the mean negative log-likelihood of points, in nats per dimension."""
        blocks = (self._log_parts(block, self.log_variance) for block in squared_distance_blocks(x, self.centers))
        log_density = torch.cat([block.logsumexp(1) for block in blocks]) - math.log(len(self.centers))
        return -float(log_density.mean()) / x.shape[1]

    def _log_parts(self, squares: Float[Tensor, "n m"], log_variance: Float[Tensor, " m"]) -> Float[Tensor, "n m"]:
        """Return the log-density of each component at squared distances from its center."""
        dims = self.centers.shape[1]
        return -0.5 * (squares / log_variance.exp() + dims * (log_variance + math.log(2 * math.pi)))


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
