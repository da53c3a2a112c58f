"""FID, and Frechet distances on other features: to real images, whose statistics are kept.

Of a published FID everything counts: network, resizing, number of samples, and that it is against training images.
"""

from typing import Annotated, Any

import torch
from jaxtyping import Float
from torch import Tensor

from genbench.errors import ConfigError, Unsupported
from genbench.metrics.evaluation import Evaluation, Value
from genbench.metrics.extractors.choice import Extractor
from genbench.metrics.image.feature_sets import Comparison, Real, Samples, Split, compare
from genbench.metrics.image.features import Moments
from genbench.metrics.image.frechet import frechet, frechet_few, frechet_to
from genbench.metrics.image.published_statistics import Published, published
from genbench.metrics.image.reference_statistics import Statistics
from genbench.registry import extractors, metrics
from genbench.seeds import generator
from genbench.settings import Count, Nested, OnDisk

Own = "settings of the network: weights (a file), sha256 (of a file that is not the published one)"
Legacy = Annotated[dict[str, Any] | str | None, Nested(extractors, allowed=("inception-legacy",)), Own]
Clean = Annotated[dict[str, Any] | str | None, Nested(extractors, allowed=("inception-clean",)), Own]
DINOv2 = Annotated[dict[str, Any] | str | None, Nested(extractors, allowed=("dinov2",)), f"{Own}, code (a checkout)"]
Lite = Annotated[dict[str, Any] | str | None, Nested(extractors, allowed=("efficientnet_lite0",)), "the network"]
File = Annotated[
    str | None,
    OnDisk(),
    "a file of statistics to compare with instead of real images: of genbench, or an .npz with mu and sigma, as "
    "clean-fid publishes them",
]
Inception = Annotated[
    dict[str, Any] | str | None,
    Nested(extractors, allowed=("inception-legacy", "inception-clean", "inception-fidelity", "inception-torchmetrics")),
    "which Inception: a name, or a table with its settings; by default inception-legacy",
]


@metrics.register("fid-legacy", version=1, better="lower", of="samples", floor=False)
def fid_legacy(
    evaluation: Evaluation,
    *,
    n: Samples = None,
    split: Split = "train",
    n_real: Real = 50_000,
    statistics: File = None,
    features: Legacy = None,
) -> Value:
    """FID with the resizing of TensorFlow, as most papers report it: 50,000 samples against training images.

    Reference: Heusel et al., 2017.
    """
    return _distance(compare(evaluation, features or "inception-legacy", split, n, real=n_real), statistics)


@metrics.register("fid-clean", version=1, better="lower", of="samples", floor=False)
def fid_clean(
    evaluation: Evaluation,
    *,
    n: Samples = None,
    split: Split = "train",
    n_real: Real = 50_000,
    statistics: File = None,
    features: Clean = None,
) -> Value:
    """FID with clean resizing: 50,000 samples against training images.

    Reference: Parmar et al., 2022.
    """
    return _distance(compare(evaluation, features or "inception-clean", split, n, real=n_real), statistics)


@metrics.register("fd-dinov2", version=1, better="lower", of="samples", floor=False)
def fd_dinov2(
    evaluation: Evaluation,
    *,
    n: Samples = None,
    split: Split = "train",
    n_real: Real = 50_000,
    statistics: File = None,
    features: DINOv2 = None,
) -> Value:
    """Frechet distance in the features of DINOv2. Not an FID.

    Reference: Stein et al., 2023.
    """
    return _distance(compare(evaluation, features or "dinov2", split, n, real=n_real), statistics)


@metrics.register("fd-efficientnet_lite0", version=1, better="lower", of="samples", floor=False)
def fd_efficientnet_lite0(
    evaluation: Evaluation, *, n: Samples = None, split: Split = "train", n_real: Real = 50_000, features: Lite = None
) -> Value:
    """Frechet distance in the features of EfficientNet-Lite0, which needs no download. Not an FID."""
    return _distance(compare(evaluation, features or "efficientnet_lite0", split, n, real=n_real))


@metrics.register("fid-infinity", version=1, better="lower", of="samples", floor=False, curve=False)
def fid_infinity(
    evaluation: Evaluation,
    *,
    n: Samples = None,
    points: Count = 15,
    split: Split = "train",
    n_real: Real = 50_000,
    features: Inception = None,
) -> Value:
    """FID extrapolated to infinitely many samples: a line through its values at several n, against 1/n, at 0.

    Args:
        points: numbers of samples at which it is measured, evenly spaced from a tenth of n to n.

    Reference: Chong and Forsyth, 2020.
    """
    return _extrapolated(
        evaluation, compare(evaluation, features or "inception-legacy", split, n, real=n_real, needs=100), points
    )


@metrics.register("fd-infinity", version=1, better="lower", of="samples", floor=False, curve=False)
def fd_infinity(
    evaluation: Evaluation,
    *,
    n: Samples = None,
    points: Count = 15,
    split: Split = "train",
    n_real: Real = 50_000,
    features: Extractor = None,
) -> Value:
    """Frechet distance on any features, extrapolated to infinitely many samples like `fid-infinity`.

    Args:
        points: numbers of samples at which it is measured, evenly spaced from a tenth of n to n.

    Reference: Chong and Forsyth, 2020.
    """
    return _extrapolated(evaluation, compare(evaluation, features, split, n, real=n_real, needs=100), points)


def _distance(sides: Comparison, statistics: str | None = None) -> Value:
    """Return the distance, and that of held-out real images as its floor, brought to the same number of samples."""
    there = sides.real if statistics is None else published(statistics, sides.features)
    others, size = sides.others, sides.samples.shape[1]
    if len(there.moments.mean) != size:
        raise ConfigError(f"{statistics} is of another protocol: of {len(there.moments.mean)} features, not {size}")
    details: dict[str, float | None] = {"n_reference": there.n, "n_floor": len(others)}
    # A covariance of fewer images than features lacks directions: nothing is known of the bias in them.
    full = there.n is None or there.n > size
    details["bias"] = there.bias_constant * (1 / sides.n + (1 / there.n if there.n else 0.0)) if full else None
    # The bias is linear in 1/n: what the floor has too much of it, being of fewer images, is taken off.
    comparable = len(others) > 1 and (full or len(others) == sides.n)
    excess = there.bias_constant * (1 / len(others) - 1 / sides.n) if comparable else 0.0
    floor = between(others, there) - excess if comparable else None
    protocol = (
        sides.protocol if isinstance(there, Statistics) else f"{sides.network}, n={sides.n} against {there.source}"
    )
    return Value(between(sides.samples, there), sides.n, protocol, floor=floor, details=details)


def between(x: Float[Tensor, "n k"], real: Statistics | Published) -> float:
    """Return the Frechet distance of features to those of real images, by the form that suits their numbers."""
    if len(x) > x.shape[1]:
        return frechet(Moments(x.split(4096)), real.moments)
    if isinstance(real, Statistics) and real.n <= x.shape[1]:
        return frechet_few(x.double(), real.rows.double())
    return frechet_to(x.double(), real.moments)


def _extrapolated(evaluation: Evaluation, sides: Comparison, points: int) -> Value:
    if points < 2:
        raise Unsupported("a line needs 2 points at least")

    def limit(x: Tensor) -> tuple[float, float]:
        counts = torch.linspace(len(x) / 10, len(x), points).long().tolist()
        values = []
        for count in counts:
            order = torch.randperm(len(x), generator=generator(evaluation.seed, "infinity", count))
            values.append(between(x[order[:count]], sides.real))
        design = torch.stack([torch.ones(points), 1 / torch.tensor(counts)], 1).double()
        line = torch.linalg.lstsq(design, torch.tensor(values, dtype=torch.float64)).solution
        return float(line[0]), float(line[1])

    value, slope = limit(sides.samples)
    floor = limit(sides.others)[0] if len(sides.others) >= 100 else None
    protocol = f"{sides.protocol}, a line through {points} points to 1/n = 0"
    details = {"slope": slope, "n_reference": sides.real.n, "n_floor": len(sides.others)}
    return Value(value, sides.n, protocol, floor=floor, details=details)
