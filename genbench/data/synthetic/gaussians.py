"""Gaussians and their mixtures in any dimension: exact densities and fields, samples stratified by mode."""

import math
from functools import cached_property

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from genbench.core import Batch, Data, Source, Truth
from genbench.data.vectors import unlabeled, vectors
from genbench.errors import ConfigError
from genbench.numerics.weighted_pairs import ONE, GaussianSum, weighted_velocity
from genbench.registry import datasets
from genbench.settings import Count, Fraction, Positive, Size
from genbench.storage import memory

BLOCK = 2**26
"""Largest number of entries (samples x modes x coordinates) that a density holds in memory at once."""

POINTS = 2**15 + 1
"""Number of points of the integral of a distance along a line."""


class Mixture(Source):
    """A mixture of isotropic Gaussians, sum_k w_k N(m_k, s_k^2 I), in any dimension.

    Args:
        weights: the modes' probabilities; all equal by default.
    """

    def __init__(
        self,
        means: Float[Tensor, "modes d"],
        stds: Float[Tensor, " modes"],
        weights: Float[Tensor, " modes"] | None = None,
    ) -> None:
        modes = len(means)
        self.means = means.float()
        self.stds = stds.float()
        self.weights = torch.full((modes,), 1 / modes) if weights is None else (weights / weights.sum()).float()
        self.shape = (means.shape[1],)

    def w2_squared(self) -> float | None:
        """Squared 2-Wasserstein distance from N(0, I); None unless all centers lie on a line and all widths are equal.

        Source and mixture are then products of their laws along the line, where transport is monotone, and across:

        W2^2 = 1 + E y^2 - 2 integral phi(Phi^-1(F(y))) dy + |c|^2 + (d - 1) (s - 1)^2

        for the coordinate y along the line, its distribution function F, and the distance |c| of the line from 0.
        """
        means, s, weights = self.means.double(), float(self.stds[0]), self.weights.double()
        offsets = means - means[0]
        longest = offsets[offsets.norm(dim=1).argmax()]
        length = float(longest.norm())
        axis = longest / length if length else torch.eye(means.shape[1], dtype=torch.float64)[0]
        along = means @ axis
        across = means - along[:, None] * axis
        if (across - across[0]).norm(dim=1).max() > 1e-5 * length or (self.stds != self.stds[0]).any():
            return None
        y = torch.linspace(float(along.min()) - 9 * s, float(along.max()) + 9 * s, POINTS, dtype=torch.float64)
        below = torch.zeros_like(y)
        for weight, center in zip(weights, along, strict=True):
            below += weight * torch.special.ndtr((y - center) / s)
        z = torch.special.ndtri(below.clamp(1e-300, 1))
        overlap = float(torch.trapezoid(torch.exp(-z.square() / 2), y)) / math.sqrt(2 * math.pi)
        line = 1 + float(weights @ (along.square() + s**2)) - 2 * overlap
        return line + float(across[0].square().sum()) + (means.shape[1] - 1) * (s - 1) ** 2

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n d"]:
        return self.draw(n, generator).x

    def draw(self, n: int, generator: torch.Generator) -> Batch:
        """Draw n independent samples labeled by their mode."""
        uniform = torch.rand(n, generator=generator, device=generator.device)
        borders = self.weights.cumsum(0)[:-1].to(generator.device)
        return self._around(torch.bucketize(uniform, borders, right=True), generator)

    def stratified(self, n: int, generator: torch.Generator) -> Batch:
        """Draw n samples with the expected count in every mode, up to the remainder, in random order.

        In independent draws, mode counts fluctuate. The fluctuation alone raises a distance between two samples of one
        mixture from 0.14 to 0.6 (8gaussians, n = 1024), by more than good models differ.
        """
        return self._around(stratified_labels(self.weights, n, generator), generator)

    def log_prob(self, x: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        parts = x.split(max(1, BLOCK // self.means.numel()))
        return torch.cat([self._joint(rows, self.means, self.stds).logsumexp(-1) for rows in parts])

    def velocity(
        self, t: Float[Tensor, ""], x: Float[Tensor, "b d"], kernel: GaussianSum = ONE
    ) -> Float[Tensor, "b d"]:
        """Return the exact field from N(0, I) to the mixture, on pairs weighted by the kernel."""
        return weighted_velocity(t, x, self.weights, self.means, self.stds[:, None].expand_as(self.means), kernel)

    def _around(self, label: Int[Tensor, " n"], generator: torch.Generator) -> Batch:
        noise = torch.randn(len(label), *self.shape, generator=generator, device=generator.device)
        return Batch(self.means.to(noise)[label] + self.stds.to(noise)[label, None] * noise, label)

    def _joint(
        self, x: Float[Tensor, "b d"], means: Float[Tensor, "modes d"], stds: Float[Tensor, " modes"]
    ) -> Float[Tensor, "b modes"]:
        means, stds = means.to(x), stds.to(x)
        square = (x[:, None] - means).square().sum(-1) / stds**2
        scale = self.shape[0] * (stds.log() + 0.5 * math.log(2 * math.pi))
        return self.weights.to(x).log() - scale - square / 2


def stratified_labels(weights: Float[Tensor, " modes"], n: int, generator: torch.Generator) -> Int[Tensor, " n"]:
    """Return n labels with the expected count of each, up to the remainder, in random order.

    Args:
        weights: the probabilities of the labels.
    """
    expected = weights.double() * n
    counts = (expected + 1e-6).floor().long()
    # Ties between remainders are broken at random, so that no mode is favored over many draws.
    rest = expected - counts + 1e-9 * torch.rand(len(counts), generator=generator, dtype=torch.float64)
    counts[rest.topk(n - int(counts.sum())).indices] += 1
    label = torch.repeat_interleave(torch.arange(len(counts)), counts)
    return label[torch.randperm(n, generator=generator)]


class Gaussian(Source):
    """N(m, C), C_ij = s_i s_j (r + (1 - r) [i = j]), in any dimension, with its distance from N(0, I).

    Args:
        stds: standard deviation s of each coordinate.
        correlation: correlation r of every two coordinates.
    """

    def __init__(self, mean: Float[Tensor, " d"], stds: Float[Tensor, " d"], correlation: float) -> None:
        self._mean, self._widths, self._correlation = mean.double(), stds, correlation
        self.shape = (len(mean),)

    @cached_property
    def _spectrum(self) -> tuple[Float64[Tensor, "d d"], Float64[Tensor, " d"]]:
        """Eigenvectors of the covariance, and roots of its eigenvalues; takes minutes in 20,000 dimensions."""
        d, correlation = self.shape[0], self._correlation
        shape = correlation * torch.ones(d, d) + (1 - correlation) * torch.eye(d)
        # In float64: the density, the distance and the field are functions of eigenvalues.
        values, axes = torch.linalg.eigh((self._widths[:, None] * shape * self._widths).double())
        return axes, values.sqrt()

    @cached_property
    def _factor(self) -> Float[Tensor, "d d"]:
        axes, stds = self._spectrum
        return (axes * stds).T.float()

    def w2_squared(self) -> float:
        """Squared 2-Wasserstein distance from N(0, I)."""
        return float(self._mean.square().sum() + (self._spectrum[1] - 1).square().sum())

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n d"]:
        noise = torch.randn(n, *self.shape, generator=generator, device=generator.device)
        return noise @ self._factor.to(noise) + self._mean.to(noise)

    def draw(self, n: int, generator: torch.Generator) -> Batch:
        """Draw n independent samples, all labeled 0."""
        return unlabeled(self.sample(n, generator))

    def log_prob(self, x: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        axes, stds = self._spectrum
        white = (x - self._mean.to(x)) @ (axes / stds).to(x)
        scale = float(stds.log().sum()) + 0.5 * self.shape[0] * math.log(2 * math.pi)
        return -white.square().sum(-1) / 2 - scale

    def velocity(
        self, t: Float[Tensor, ""], x: Float[Tensor, "b d"], kernel: GaussianSum = ONE
    ) -> Float[Tensor, "b d"]:
        """Return the exact field from N(0, I) to this Gaussian, on pairs weighted by the kernel."""
        axes, stds = self._spectrum
        mean, axes = (self._mean @ axes)[None], axes.to(x)
        return weighted_velocity(t, x @ axes, torch.ones(1), mean, stds[None], kernel) @ axes.T


@datasets.register("gaussian", version=1, headline="energy_distance")
def gaussian(
    *, dims: Count = 2, mean: float = 0.0, std: Positive = 0.5, spread: Positive = 1.0, correlation: Fraction = 0.0
) -> Data:
    """One Gaussian in any dimension, with exact density, field and distance from N(0, I).

    Args:
        dims: number of coordinates.
        mean: mean of every coordinate.
        std: geometric mean of the coordinates' standard deviations.
        spread: ratio of the last coordinate's standard deviation to the first one's; those between are geometrically
            spaced.
        correlation: correlation of every two coordinates.

    Raises:
        ConfigError: if the correlation is above 0.999999.
    """
    if correlation > 1 - 1e-6:
        raise ConfigError(f"gaussian.correlation: {correlation} is wrong: it is at most 0.999999 in single precision")
    memory.require(40 * dims**2, f"gaussian.dims={dims}")  # the covariance and its eigenvectors, also in float64
    stds = std * spread ** torch.linspace(-0.5, 0.5, dims, dtype=torch.float64) if dims > 1 else torch.tensor([std])
    law = Gaussian(torch.full((dims,), mean), stds, correlation)
    truth = Truth(
        log_prob=law.log_prob,
        modes=torch.full((1, dims), mean),
        w2_squared=law.w2_squared,
        velocity=law.velocity,
    )
    return vectors("gaussian", law.draw, dims=dims, truth=truth)


@datasets.register("mixture", version=1, headline="energy_distance")
def mixture(
    *,
    dims: Count = 2,
    modes: Count = 8,
    std: Positive = 0.5,
    spread: Positive = 2.0,
    placement: Size = 0,
    means: tuple[tuple[float, ...], ...] | None = None,
    weights: tuple[Positive, ...] | None = None,
) -> Data:
    """A mixture of isotropic Gaussians in any dimension, with exact density and field; the label is the mode.

    The distance from N(0, I) is exact if all centers lie on a line, as one or two centers always do.

    Validation and test samples are stratified by mode, in proportion to the weights up to the remainder: counts
    that fluctuate would hide all but the largest differences in a distance between samples.

    Args:
        dims: number of coordinates.
        modes: number of Gaussians.
        std: standard deviation of each Gaussian in each coordinate.
        spread: the centers are drawn from N(0, spread^2 I).
        placement: seed of that draw.
        means: the centers, instead of drawn ones.
        weights: the modes' probabilities up to a common factor; all equal by default.

    Raises:
        ConfigError: if there are not `modes` means of `dims` coordinates, or not `modes` weights, or if means come with
            settings of drawn centers.
    """
    if means is not None and (spread, placement) != (2.0, 0):
        raise ConfigError("mixture.means: omit data.spread and data.placement, which place drawn centers")
    if means is not None and (len(means) != modes or any(len(center) != dims for center in means)):
        raise ConfigError(f"mixture.means: write {modes} centers (data.modes) of {dims} coordinates (data.dims)")
    if weights is not None and len(weights) != modes:
        raise ConfigError(f"mixture.weights: write {modes} weights, one per mode (data.modes), not {len(weights)}")
    memory.require(32 * modes * dims, f"mixture.modes={modes} of mixture.dims={dims}")
    stream = torch.Generator().manual_seed(placement)
    centers = spread * torch.randn(modes, dims, generator=stream) if means is None else torch.tensor(means)
    law = Mixture(centers, torch.full((modes,), std), None if weights is None else torch.tensor(weights))
    truth = Truth(log_prob=law.log_prob, modes=law.means, w2_squared=law.w2_squared, velocity=law.velocity)
    law_of_modes = {"stratified": law.stratified, "weights": law.weights}
    return vectors("mixture", law.draw, dims=dims, classes=modes, **law_of_modes, truth=truth)
