"""Frechet distances between images in the features of a network, each named after that network.

Only a distance on Inception's features is an FID.
"""

import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from genbench.errors import Unsupported
from genbench.metrics.classifiers.digits_cnn import classifier
from genbench.metrics.evaluation import Evaluation, Value
from genbench.metrics.image.features import Features, Moments, extract
from genbench.registry import metrics
from genbench.settings import Count


@metrics.register("fd-digits_cnn", version=1, better="lower", of="samples")
def fd_digits_cnn(evaluation: Evaluation, *, n: Count | None = None) -> Value:
    """Frechet distance to test images in the features of a small classifier of 8x8 digits. Not an FID.

    It is biased upward, the more the fewer images: `bias` is an estimate for Gaussian features, and the floor, that
    of training images, has nearly the same.

    Args:
        n: samples; by default all there are. The test split is always taken whole.

    Raises:
        Unsupported: if the data is not 8x8 digits.

    Reference: Heusel et al., 2017.
    """
    return to_test(classifier(evaluation.data), evaluation, n)


def to_test(features: Features, evaluation: Evaluation, n: int | None) -> Value:
    """Measure the Frechet distance of samples to the whole test split in the features of a network."""
    samples = evaluation.decoded(n or len(evaluation.x))
    test = evaluation.data.test
    return between(features, samples, evaluation.data.space.decode(evaluation.reference(test.size or len(samples)).x))


def between(features: Features, samples: UInt8[Tensor, "n c h w"], test: UInt8[Tensor, "m c h w"]) -> Value:
    """Measure the Frechet distance of raw images to raw test images in the features of a network."""
    x, y = extract(features, samples), extract(features, test)
    if min(len(x), len(y)) < 2:
        raise Unsupported("a covariance needs at least 2 images")
    few = min(len(x), len(y)) <= x.shape[1]
    there = Moments([y])
    value = frechet_few(x, y) if few else frechet(Moments([x]), there)
    return Value(
        value,
        len(x),
        f"{features.name} {features.sha256[:8]}, resize {features.resize}, n={len(x)} against {len(y)} test images",
        details={"bias": bias(there, len(x), len(y)), "n_reference": len(y)},
    )


def frechet(a: Moments, b: Moments) -> float:
    """Return |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2), for more samples than features.

    With S1 = L L^T, the eigenvalues of S1 S2 are those of the symmetric L^T S2 L.
    """
    root, failed = torch.linalg.cholesky_ex(a.covariance)
    if failed:  # features that never vary: any root R R^T = S1 will do
        values, vectors = torch.linalg.eigh(a.covariance)
        root = vectors * values.clamp(min=0).sqrt()
    cross = torch.linalg.eigvalsh(root.T @ b.covariance @ root).clamp(min=0).sqrt().sum()
    apart = (a.mean - b.mean).square().sum()
    return float(apart + a.covariance.trace() + b.covariance.trace() - 2 * cross)


def frechet_few(x: Float64[Tensor, "n k"], y: Float64[Tensor, "m k"]) -> float:
    """Return the same distance for fewer samples than features, where the covariances are singular.

    tr (S1 S2)^(1/2) is then the nuclear norm of Xc Yc^T / sqrt((n-1)(m-1)), without a root of rounding errors.
    """
    a, b = x.double() - x.double().mean(0), y.double() - y.double().mean(0)
    a, b = a / (len(a) - 1) ** 0.5, b / (len(b) - 1) ** 0.5
    cross = torch.linalg.svdvals(a @ b.T).sum()
    apart = (x.double().mean(0) - y.double().mean(0)).square().sum()
    return float(apart + a.square().sum() + b.square().sum() - 2 * cross)


def frechet_to(x: Float64[Tensor, "n k"], there: Moments) -> float:
    """Return the same distance from fewer samples than features to the moments of more samples than features.

    The eigenvalues of S1 S2 are those of the n x n matrix Xc S2 Xc^T / (n-1).
    """
    mean = x.double().mean(0)
    a = (x.double() - mean) / (len(x) - 1) ** 0.5
    cross = torch.linalg.eigvalsh(a @ there.covariance @ a.T).clamp(min=0).sqrt().sum()
    apart = (mean - there.mean).square().sum()
    return float(apart + a.square().sum() + there.covariance.trace() - 2 * cross)


def bias(moments: Moments, n: int, m: int) -> float:
    """Estimate the distance that two samples of one distribution, of n and m, read on average: K (1/n + 1/m)."""
    return bias_constant(moments) * (1 / n + 1 / m)


def bias_constant(moments: Moments) -> float:
    """Return the K of the bias.

    K = tr S + sum over i, j of (1 + delta_ij) l_i l_j / (2 (l_i + l_j)) for the eigenvalues l of
    the covariance: exact for Gaussian features in the limit of many samples, too low for heavier tails.
    """
    values = torch.linalg.eigvalsh(moments.covariance).clamp(min=0)
    values = values[values > 1e-12 * values[-1]]
    pairs = values[:, None] * values / (values[:, None] + values)
    constant = values.sum() + (pairs.sum() + pairs.diagonal().sum()) / 2
    return float(constant)
