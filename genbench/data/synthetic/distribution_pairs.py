"""Tasks whose source is a distribution other than N(0, I)."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from genbench.core import Batch, Data, Source, Truth
from genbench.data.splits import Draw
from genbench.data.synthetic.gaussians import Mixture
from genbench.data.synthetic.toy import EIGHT_STD, ring, standardized_moons, tutorial_moons
from genbench.data.vectors import unlabeled, vectors
from genbench.errors import Unsupported
from genbench.registry import datasets
from genbench.settings import Count, Positive

BRANCH_STD = 0.3

CONDITIONS = 64
"""Number of conditions over which the distance of `branches` from its source is averaged."""


@dataclass(frozen=True)
class SampledSource(Source):
    """A source without a known density."""

    name: str
    draw: Draw
    shape: tuple[int, ...] = (2,)

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n *event"]:
        return self.draw(n, generator).x

    def log_prob(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, " b"]:
        raise Unsupported(f"the density of the source ({self.name}) is not known")


@datasets.register("8gaussians-moons", version=1, headline="w2")
def eight_gaussians_to_moons() -> Data:
    """From eight Gaussians (radius 5, std 0.562) to moons (3 x - 1): the task of torchcfm's tutorials.

    The density of the source is exact. The runner of torchcfm uses another scale.

    Reference: Tong et al., 2023.
    """
    return vectors("8gaussians-moons", tutorial_moons, classes=2, source=ring(8, 5.0, EIGHT_STD))


@datasets.register("moons-8gaussians", version=1, headline="w2")
def moons_to_eight_gaussians(*, scale: Literal["tutorial", "runner"] = "tutorial") -> Data:
    """From moons to eight Gaussians, on one of torchcfm's two scales.

    The density of the source is not known, so models have no likelihood. Validation and test samples are stratified by
    mode.

    Args:
        scale: "tutorial" is moons of 3 x - 1 and Gaussians of radius 5 with std 0.562; "runner", the scale
            of the published tables, is moons of std 7 over both coordinates and Gaussians of radius 12 with std 1.5.

    Reference: Tong et al., 2023.
    """
    target, moons = (
        (ring(8, 5.0, EIGHT_STD), tutorial_moons) if scale == "tutorial" else (ring(8, 12.0, 1.5), standardized_moons)
    )
    truth = Truth(log_prob=target.log_prob, modes=target.means)
    source = SampledSource("moons", moons)
    return vectors("moons-8gaussians", target.draw, classes=8, stratified=target.stratified, source=source, truth=truth)


@datasets.register("gaussians-5gaussians", version=1, headline="w2")
def gaussians_to_five_gaussians(
    *,
    modes: Count = 3,
    inner: Positive = 2.0,
    outer: Positive = 5.0,
    std: Positive = EIGHT_STD,
) -> Data:
    """From Gaussians on a circle to five Gaussians on a wider one around it, with exact densities.

    This is the toy task of W-CFM from a mixture to five Gaussians. We found no published scale: do not compare values
    with the paper's. Validation and test samples are stratified by mode.

    Args:
        modes: number of Gaussians of the source.
        inner: distance of their centers from the origin.
        outer: distance of the five centers from the origin.
        std: standard deviation of each Gaussian in each coordinate.

    Reference: Calvo-Ordonez et al., 2025.
    """
    source, target = ring(modes, inner, std), ring(5, outer, std)
    return vectors(
        "gaussians-5gaussians",
        target.draw,
        classes=5,
        stratified=target.stratified,
        source=source,
        truth=Truth(log_prob=target.log_prob, modes=target.means),
    )


class NoiseWithCondition(Source):
    """x ~ N(0, I) in 2D, and the condition c ~ U(-1, 1) as the third coordinate."""

    shape = (3,)

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n 3"]:
        x = torch.randn(n, 2, generator=generator, device=generator.device)
        return torch.cat([x, _conditions(n, generator)], 1)

    def log_prob(self, x: Float[Tensor, "b 3"]) -> Float[Tensor, " b"]:
        return _log_uniform(x[:, 2]) - x[:, :2].square().sum(1) / 2 - math.log(2 * math.pi)


@datasets.register("branches", version=1, headline="conditional_w2")
def branches() -> Data:
    """Two branches in 2D along a continuous condition c ~ U(-1, 1), the third coordinate, with exact density.

    x | c ~ (N((3c, 1.5 + c), 0.09 I) + N((3c, -1.5 - c), 0.09 I)) / 2

    Optimal transport that ignores c pairs each c with noise whose first coordinate depends on c. For a given c, the
    model is then trained on a small part of N(0, I), but sampled from all of it.
    """
    truth = Truth(log_prob=_log_prob, w2_squared=_w2_squared)
    return vectors("branches", _draw, dims=3, conditions=1, source=NoiseWithCondition(), truth=truth)


def _conditions(n: int, generator: torch.Generator) -> Float[Tensor, "n 1"]:
    return 2 * torch.rand(n, 1, generator=generator, device=generator.device) - 1


def _center(c: Float[Tensor, "*b 1"]) -> Float[Tensor, "*b 2"]:
    """Return the center of the upper branch."""
    return torch.cat([3 * c, 1.5 + c], -1)


def _draw(n: int, generator: torch.Generator) -> Batch:
    c = _conditions(n, generator)
    x = _center(c)
    x[:, 1] *= 2.0 * torch.randint(2, (n,), generator=generator, device=generator.device) - 1
    noise = torch.randn(n, 2, generator=generator, device=generator.device)
    return unlabeled(torch.cat([x + BRANCH_STD * noise, c], 1))


def _log_prob(x: Float[Tensor, "b 3"]) -> Float[Tensor, " b"]:
    upper = _center(x[:, 2:])
    squares = [(x[:, :2] - upper * upper.new_tensor([1.0, side])).square().sum(1) for side in (1, -1)]
    each = torch.stack(squares) / (-2 * BRANCH_STD**2) - math.log(2 * math.pi * BRANCH_STD**2)
    return each.logsumexp(0) - math.log(2) + _log_uniform(x[:, 2])


def _log_uniform(c: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    return torch.where(c.abs() <= 1, -math.log(2), -torch.inf).to(c)


def _w2_squared() -> float:
    """Return the mean over conditions of the squared distance from N(0, I) to the branches there."""
    centers = [_center(c) for c in (2 * (torch.arange(CONDITIONS) + 0.5) / CONDITIONS - 1)[:, None, None]]
    laws = [Mixture(torch.cat([up, up * up.new_tensor([1.0, -1.0])]), torch.full((2,), BRANCH_STD)) for up in centers]
    squared = [law.w2_squared() for law in laws]
    return sum(value for value in squared if value is not None) / CONDITIONS


@datasets.register("tori", version=1, headline="sliced_w2")
def tori(*, outer: Positive = 3.0) -> Data:
    """From the uniform distribution on the torus of two unit circles, in 4D, to a torus of two wider circles.

    The optimal plan multiplies each point by `outer`, W2^2 = 2 (outer - 1)^2. All points of a torus have the same
    distances to the other torus, so W-CFM's weights leave both distributions as they are, with any kernel of a
    distance. Without a tilt, W-CFM learns entropic optimal transport exactly.

    Args:
        outer: radius of the two circles of the data.
    """
    return vectors(
        "tori",
        lambda n, generator: unlabeled(outer * _torus(n, generator).x),
        dims=4,
        source=SampledSource("torus", _torus, (4,)),
        truth=Truth(w2_squared=lambda: 2 * (outer - 1) ** 2),
    )


def _torus(n: int, generator: torch.Generator) -> Batch:
    angle = 2 * math.pi * torch.rand(n, 2, generator=generator, device=generator.device)
    return unlabeled(torch.stack([angle.cos(), angle.sin()], 2).flatten(1))
