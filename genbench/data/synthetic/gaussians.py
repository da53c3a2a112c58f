"""Gaussians and Gaussian mixtures in any dimension, with exact density and field."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import LowRankMultivariateNormal

from genbench.core import Batch, Data, Truth
from genbench.data.synthetic.mixture import Gaussian, Mixture, blocks
from genbench.data.tables import DIMS
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
    return vectors("mixture", law.draw, dims=dims, classes=modes, stratified=law.stratified, truth=truth)


@datasets.register("tabular-twin", version=1, headline="nll")
def tabular_twin(
    *,
    of: Literal["power", "gas", "hepmass", "miniboone", "bsds300"] = "power",
    modes: Count = 5,
    placement: Size = 0,
) -> Data:
    """A mixture of Gaussians with correlated coordinates in the dimension of a table, whose density is known.

    Each mode is a factor analyzer, x = m + F u + e with two factors u ~ N(0, I) and independent noise e of variance
    .05. It shares with the table the number of coordinates, and that they vary by about 1, but no value:
    log-likelihoods of both are not comparable.

    Args:
        of: the table.
        modes: number of Gaussians, all of equal probability.
        placement: seed of the draw of m and F.

    Reference: Ghahramani and Hinton, 1996.
    """
    dims = DIMS[of]
    memory.require(16 * modes * dims, f"tabular-twin.modes={modes}")
    stream = torch.Generator().manual_seed(placement)
    # On average, half of the variance of a coordinate is between modes, and .45 is due to the two factors.
    centers = math.sqrt(0.5) * torch.randn(modes, dims, generator=stream)
    loadings = math.sqrt(0.45 / 2) * torch.randn(modes, dims, 2, generator=stream)
    noise = 0.05

    def draw(n: int, generator: torch.Generator) -> Batch:
        device = generator.device
        label = torch.randint(modes, (n,), generator=generator, device=device)
        common = torch.randn(n, 2, 1, generator=generator, device=device)
        independent = math.sqrt(noise) * torch.randn(n, dims, generator=generator, device=device)
        return Batch(centers.to(device)[label] + (loadings.to(device)[label] @ common).squeeze(2) + independent, label)

    def log_prob(x: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        # In float64, since a covariance of low rank is inverted.
        mean, factor = centers.to(x.device).double(), loadings.to(x.device).double()
        law = LowRankMultivariateNormal(mean, factor, torch.full_like(mean, noise))
        each = [law.log_prob(rows.double()[:, None]).logsumexp(1) for rows in blocks(x, modes)]
        return (torch.cat(each) - math.log(modes)).to(x.dtype)

    return vectors("tabular-twin", draw, dims=dims, classes=modes, truth=Truth(log_prob=log_prob))
