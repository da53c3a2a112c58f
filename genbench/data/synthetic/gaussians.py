"""Gaussians and Gaussian mixtures in any dimension, with exact density and field."""

import torch

from genbench.core import Data, Truth
from genbench.data.synthetic.mixture import Gaussian, Mixture
from genbench.data.vectors import vectors
from genbench.errors import ConfigError
from genbench.registry import datasets
from genbench.settings import Count, Fraction, Positive, Size
from genbench.storage import memory


@datasets.register("gaussian", version=1, headline="energy_distance")
def gaussian(
    *, dims: Count = 2, mean: float = 0.0, std: Positive = 0.5, spread: Positive = 1.0, correlation: Fraction = 0.0
) -> Data:
    """One Gaussian in any dimension, with exact density, field and distance from N(0, I).

    Args:
        dims: number of coordinates.
        mean: mean of every coordinate.
        std: standard deviation of the coordinates, in the geometric mean.
        spread: standard deviation of the last coordinate over that of the first, geometrically spaced between.
        correlation: correlation of every two coordinates.

    Raises:
        ConfigError: if the correlation is 1.
    """
    if correlation == 1:
        raise ConfigError("gaussian.correlation: 1.0 is wrong: it must be below 1, or there is no density")
    memory.require(40 * dims**2, f"gaussian.dims={dims}")  # the covariance and its eigenvectors, also in float64
    stds = std * spread ** torch.linspace(-0.5, 0.5, dims, dtype=torch.float64) if dims > 1 else torch.tensor([std])
    shape = correlation * torch.ones(dims, dims) + (1 - correlation) * torch.eye(dims)
    law = Gaussian(torch.full((dims,), mean), stds[:, None] * shape * stds)
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

    The distance from N(0, I) is exact if all centers lie on a line, as those of one or two modes do.

    Validation and test samples are stratified by mode, in proportion to the weights up to the remainder: counts
    that fluctuate would hide all but the largest differences in a distance between samples.

    Args:
        dims: number of coordinates.
        modes: number of Gaussians.
        std: standard deviation of each in each coordinate.
        spread: the centers are drawn from N(0, spread^2 I).
        placement: seed of that draw.
        means: the centers, instead of drawn ones.
        weights: the modes' probabilities up to a common factor; all equal by default.

    Raises:
        ConfigError: if there are not `modes` means of `dims` coordinates, or not `modes` weights.
    """
    if means is not None and (len(means) != modes or any(len(center) != dims for center in means)):
        raise ConfigError(f"mixture.means: write {modes} centres (modes) of {dims} coordinates (dims)")
    if weights is not None and len(weights) != modes:
        raise ConfigError(f"mixture.weights: write {modes} of them (modes), not {len(weights)}")
    memory.require(32 * modes * dims, f"mixture.modes={modes} of mixture.dims={dims}")
    stream = torch.Generator().manual_seed(placement)
    centers = spread * torch.randn(modes, dims, generator=stream) if means is None else torch.tensor(means)
    law = Mixture(centers, torch.full((modes,), std), None if weights is None else torch.tensor(weights))
    truth = Truth(log_prob=law.log_prob, modes=law.means, w2_squared=law.w2_squared, velocity=law.velocity)
    law_of_modes = {"stratified": law.stratified, "weights": law.weights}
    return vectors("mixture", law.draw, dims=dims, classes=modes, **law_of_modes, truth=truth)
