"""Distances between generated vectors and held-out ones, in raw units."""

import warnings
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from genbench.config import Count
from genbench.core import Data
from genbench.errors import RunFailed, Unsupported
from genbench.evaluate import Evaluation, Value
from genbench.registry import metrics
from genbench.seeds import generator

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import ot


@metrics.register("w2", version=1, better="lower", of="samples")
def w2(evaluation: Evaluation, *, n: Count = 2048) -> Value:
    """2-Wasserstein distance between samples and held-out data, by exact optimal transport.

    Peyre and Cuturi, 2019, https://arxiv.org/abs/1803.00567. Between two samples of one distribution it is far from
    0: read it against its floor.

    Args:
        n: samples on each side.
    """
    x, y = _vectors(evaluation, n)
    return Value(w2_squared(x, y) ** 0.5, n, "exact plan between empirical measures")


@metrics.register("sliced_w2", version=1, better="lower", of="samples")
def sliced_w2(evaluation: Evaluation, *, directions: Count = 256) -> Value:
    """Root mean square of the 2-Wasserstein distances along random directions, each exact by sorting.

    Bonneel et al., 2015, https://doi.org/10.1007/s10851-014-0506-3.

    Args:
        directions: number of directions, the same for every model and seed.
    """
    n = len(evaluation.x)
    x, y = _vectors(evaluation, n)
    axes = torch.randn(x.shape[1], directions, generator=generator(0, "sliced_w2"), dtype=torch.float64)
    axes /= axes.norm(dim=0)
    gap = (x @ axes).sort(0).values - (y @ axes).sort(0).values
    return Value(gap.square().mean().sqrt().item(), n, f"{directions} directions")


@metrics.register("energy_distance", version=1, better="lower", of="samples")
def energy_distance(evaluation: Evaluation, *, n: Count = 2048) -> Value:
    """Energy distance 2 E|x-y| - E|x-x'| - E|y-y'|, unbiased: it may be negative.

    Szekely and Rizzo, 2013, https://doi.org/10.1016/j.jspi.2013.03.018.

    Args:
        n: samples on each side.
    """
    xx, yy, xy = (square.sqrt() for square in _squares(evaluation, n))
    return Value((2 * xy.mean() - _off_diagonal(xx) - _off_diagonal(yy)).item(), n, "unbiased, squared form")


@metrics.register("mmd", version=1, better="lower", of="samples")
def mmd(evaluation: Evaluation, *, n: Count = 2048) -> Value:
    """Squared maximum mean discrepancy under a mean of three Gaussian kernels, unbiased: it may be negative.

    Gretton et al., 2012, https://jmlr.org/papers/v13/gretton12a.html. The bandwidths are half, one and two times the
    median distance between held-out samples, so that they never depend on the model.

    Args:
        n: samples on each side.
    """
    squares = _squares(evaluation, n)
    median = squares.yy[~torch.eye(n, dtype=torch.bool)].median()

    def kernel(square: Tensor) -> Tensor:
        widest = torch.exp(-square / (8 * median))
        return (widest + widest**4 + widest**16) / 3

    xx, yy, xy = (kernel(square) for square in squares)
    value = _off_diagonal(xx) + _off_diagonal(yy) - 2 * xy.mean()
    return Value(value.item(), n, "unbiased, Gaussian kernels of 1/2, 1, 2 median distances")


@metrics.register("mode_coverage", version=1, better="higher", of="samples")
def mode_coverage(evaluation: Evaluation, *, share: float = 0.1) -> Value:
    """Share of the known modes that receive at least a tenth of the samples that held-out data puts there.

    A sample belongs to the nearest centre. The total variation between the two distributions over modes is a detail.

    Args:
        share: of a mode's due below which it counts as missed.
    """
    modes = evaluation.data.truth.modes
    if modes is None:
        raise Unsupported("the modes of this data are not known")
    n = len(evaluation.x)
    counts = []
    for x in (evaluation.samples(n), evaluation.reference(n).x):
        nearest = torch.cdist(x.double(), modes.double()).argmin(1)
        counts.append(torch.bincount(nearest, minlength=len(modes)) / n)
    found, due = counts
    covered = (found[due > 0] >= share * due[due > 0]).double().mean().item()
    details = {"total_variation": (found - due).abs().sum().item() / 2}
    return Value(covered, n, f"nearest of {len(modes)} centres, at least {share:g} of its due", details=details)


def w2_squared(x: Float64[Tensor, "n d"], y: Float64[Tensor, "n d"]) -> float:
    """Return the squared 2-Wasserstein distance between two empirical measures.

    Raises:
        RunFailed: if the solver did not converge (POT's own limit is too low above 2048 points, where it only warns).
    """
    cost = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square().numpy()
    value, log = ot.emd2([], [], cost, numItermax=100_000_000, log=True)
    if log["warning"] is not None:
        raise RunFailed(f"optimal transport between {len(x)} points did not converge: {log['warning']}")
    return float(value)


class Squares(NamedTuple):
    """Squared distances among samples, among held-out data, and between them."""

    xx: Float64[Tensor, "n n"]
    yy: Float64[Tensor, "n n"]
    xy: Float64[Tensor, "n n"]


def _squares(evaluation: Evaluation, n: int) -> Squares:
    def compute() -> Squares:
        x, y = _vectors(evaluation, n)
        return Squares(*(torch.cdist(a, b).square() for a, b in ((x, x), (y, y), (x, y))))

    return evaluation.shared(("squares", n), compute)


def _off_diagonal(square: Float64[Tensor, "n n"]) -> Float64[Tensor, ""]:
    n = len(square)
    return (square.sum() - square.diagonal().sum()) / (n * (n - 1))


def _vectors(evaluation: Evaluation, n: int) -> tuple[Float64[Tensor, "n d"], Float64[Tensor, "n d"]]:
    """Return samples and held-out data as raw vectors. Raises Unsupported for images."""
    data: Data = evaluation.data
    if data.space.bin:
        raise Unsupported("a distance between pixels says little of images; a Frechet distance of features does")
    reference = data.space.decode(evaluation.reference(n).x)
    return evaluation.decoded(n).double().flatten(1), reference.double().flatten(1)
