"""Frechet distances between Gaussians: |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2), and their bias."""

from collections.abc import Iterable

import torch
from jaxtyping import Float, Float64
from torch import Tensor

NEAR_ZERO = -0.1
"""Lower bound of a computed distance: for almost equal moments, rounding gives values below 0."""


class Moments:
    """Mean and covariance of vectors that come in batches, in float64, the same for any batch size.

    Batches are merged by sums of deviations from the mean, without cancellation.

    Reference: Chan et al., 1979.
    """

    def __init__(self, batches: Iterable[Float[Tensor, "_ k"]] = ()) -> None:
        self.n = 0
        self.mean = torch.zeros(0, dtype=torch.float64)
        self._scatter = torch.zeros(0, 0, dtype=torch.float64)
        for batch in batches:
            self.add(batch)

    @classmethod
    def of(cls, n: int, mean: Float64[Tensor, " k"], covariance: Float64[Tensor, "k k"]) -> "Moments":
        """Return the moments of n vectors whose mean and covariance are known."""
        moments = cls()
        moments.n, moments.mean, moments._scatter = n, mean, covariance * (n - 1)
        return moments

    def add(self, batch: Float[Tensor, "b k"]) -> None:
        x = batch.double()
        mean = x.mean(0)
        if self.n == 0:
            self.mean, self._scatter = torch.zeros_like(mean), torch.zeros(len(mean), len(mean), dtype=torch.float64)
        n, total = len(x), self.n + len(x)
        shift, centered = mean - self.mean, x - mean
        self._scatter = self._scatter + centered.T @ centered + torch.outer(shift, shift) * (self.n * n / total)
        self.mean = self.mean + shift * (n / total)
        self.n = total

    @property
    def covariance(self) -> Float64[Tensor, "k k"]:
        return self._scatter / (self.n - 1)


def frechet(a: Moments, b: Moments) -> float:
    """Return the distance for more samples than features.

    With S1 = L L^T, S1 S2 has the eigenvalues of the symmetric L^T S2 L.
    """
    root, failed = torch.linalg.cholesky_ex(a.covariance)
    if failed:  # features that never vary: any root R R^T = S1 will do
        values, vectors = torch.linalg.eigh(a.covariance)
        root = vectors * values.clamp(min=0).sqrt()
    cross = torch.linalg.eigvalsh(root.T @ b.covariance @ root).clamp(min=0).sqrt().sum()
    apart = (a.mean - b.mean).square().sum()
    return float(apart + a.covariance.trace() + b.covariance.trace() - 2 * cross)


def influence(x: Float[Tensor, "n k"], a: Moments, b: Moments) -> Float64[Tensor, " n"]:
    """Return the influence of each vector of x, whose moments are a, on the distance from a to b, up to a constant.

    It is the dual potential 2 (m1 - m2) (x - m1) + (x - m1) (I - T) (x - m1), where T = L^-T (L^T S2 L)^(1/2) L^-1 maps
    one Gaussian to the other; 0 for all x if the covariance is singular.

    Reference: Rippl et al., 2016.
    """
    root, failed = torch.linalg.cholesky_ex(a.covariance)
    if failed:
        return x.new_zeros(len(x), dtype=torch.float64)
    values, vectors = torch.linalg.eigh(root.T @ b.covariance @ root)
    parts = []
    for rows in x.split(4096):
        centered = rows.double() - a.mean
        white = torch.linalg.solve_triangular(root, centered.T, upper=False)
        moved = (vectors.T @ white).square().T @ values.clamp(min=0).sqrt()
        parts.append(2 * centered @ (a.mean - b.mean) + centered.square().sum(1) - moved)
    return torch.cat(parts)


def influence_of_few(x: Float[Tensor, "n k"], to: Moments) -> Float64[Tensor, " n"]:
    """Return `influence` for fewer samples than features.

    Instead of the map, (x_i - m1) T (x_i - m1) = (n - 1) (A^(1/2))_ii for the matrix A = Xc S2 Xc^T / (n - 1), which is
    also the derivative of tr A^(1/2) by the weight of a sample.
    """
    mean, a = _centered(x)
    values, vectors = torch.linalg.eigh(a @ to.covariance @ a.T)
    cross = vectors.square() @ values.clamp(min=0).sqrt()
    return 2 * (x.double() - mean) @ (mean - to.mean) + (len(x) - 1) * (a.square().sum(1) - cross)


def frechet_of_few(x: Float[Tensor, "n k"], y: Float[Tensor, "m k"]) -> float:
    """Return the distance for fewer samples than features, where both covariances are singular.

    It computes tr (S1 S2)^(1/2) as the nuclear norm of Xc Yc^T / sqrt((n-1)(m-1)). The roots of the eigenvalues of
    S1 S2 would be less exact: where an eigenvalue is 0, its root amplifies the rounding error.
    """
    (x_mean, a), (y_mean, b) = _centered(x), _centered(y)
    cross = torch.linalg.svdvals(a @ b.T).sum()
    return float((x_mean - y_mean).square().sum() + a.square().sum() + b.square().sum() - 2 * cross)


def frechet_from_few(x: Float[Tensor, "n k"], to: Moments) -> float:
    """Return the distance from fewer samples than features to the moments of more samples than features.

    S1 S2 has the eigenvalues of the n x n matrix Xc S2 Xc^T / (n-1).
    """
    mean, a = _centered(x)
    cross = torch.linalg.eigvalsh(a @ to.covariance @ a.T).clamp(min=0).sqrt().sum()
    return float((mean - to.mean).square().sum() + a.square().sum() + to.covariance.trace() - 2 * cross)


def _centered(x: Float[Tensor, "n k"]) -> tuple[Float64[Tensor, " k"], Float64[Tensor, "n k"]]:
    """Return the mean m and the rows (x - m) / sqrt(n - 1), whose products are covariances."""
    x = x.double()
    return x.mean(0), (x - x.mean(0)) / (len(x) - 1) ** 0.5


def bias_constant(moments: Moments) -> float:
    """Return K, where K (1/n + 1/m) is the mean distance between samples of sizes n and m of one distribution.

    K = tr S + sum over i, j of (1 + delta_ij) l_i l_j / (2 (l_i + l_j)) for the eigenvalues l of the covariance:
    exact for Gaussian features in the limit of many samples, too low for heavier tails.
    """
    values = torch.linalg.eigvalsh(moments.covariance).clamp(min=0)
    values = values[values > 1e-12 * values[-1]]
    pairs = values[:, None] * values / (values[:, None] + values)
    return float(values.sum() + (pairs.sum() + pairs.diagonal().sum()) / 2)
