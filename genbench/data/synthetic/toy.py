"""Distributions in the plane, each on a stated published scale.

All draws are independent: the generators of scikit-learn and torchdyn order their samples along an arc and give
equal counts to the arcs; here the position on the arc is uniform and the arc is tossed for each sample.
"Runner" and "tutorials" are those of torchcfm, the library of Tong et al. (2023), which differ.
"""

import itertools
import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from genbench.core import Batch, Data, Truth
from genbench.data.synthetic.mixture import Mixture
from genbench.data.vectors import unlabeled, vectors
from genbench.errors import ConfigError
from genbench.registry import datasets
from genbench.settings import Count, NonNegative, Positive
from genbench.storage import memory

EIGHT_STD = 0.1**0.25
"""Standard deviation of the tutorials' 8gaussians: they pass the square root of a variance .1 as a covariance."""


@datasets.register("moons", version=1, headline="w2")
def moons(*, scale: Literal["runner", "tutorial"] = "runner") -> Data:
    """Two interleaving half circles; the label is the arc.

    Args:
        scale: "runner" is 2 x - (1, 0) with Gaussian noise .05 before scaling; "tutorial" is 3 x - 1 with a shift
            along the diagonal, uniform in [0, .2], before scaling.

    Reference: Tong et al., 2023.
    """
    return vectors("moons", runner_moons if scale == "runner" else tutorial_moons, classes=2)


def runner_moons(n: int, generator: torch.Generator) -> Batch:
    """Draw moons on the scale of torchcfm's runner."""
    x, label = _arcs(n, generator)
    x = 2 * (x + 0.05 * _normal(n, 2, generator))
    return Batch(x - x.new_tensor([1.0, 0.0]), label)


def tutorial_moons(n: int, generator: torch.Generator) -> Batch:
    """Draw moons on the scale of torchcfm's tutorials."""
    x, label = _arcs(n, generator)
    return Batch(3 * (x + 0.2 * _uniform(n, generator)[:, None]) - 1, label)


def standardized_moons(n: int, generator: torch.Generator) -> Batch:
    """Draw moons as the runner of torchcfm has them in its pair of distributions.

    Gaussian noise .1, then mean 0 and standard deviation 7 over both coordinates taken together, with the moments of
    the distribution where the runner takes those of its sample: the two axes keep their proportion.
    """
    x, label = _arcs(n, generator)
    # An arc has the moments E sin = 2 / pi, E cos = 0 and E sin^2 = E cos^2 = 1/2.
    mean, square = 3 / 8, 13 / 16 - 1 / (2 * math.pi) + 0.1**2
    return Batch(7 * (x + 0.1 * _normal(n, 2, generator) - mean) / math.sqrt(square - mean**2), label)


@datasets.register("8gaussians", version=1, headline="w2")
def eight_gaussians(*, modes: Count = 8, radius: Positive = 5.0, std: Positive = EIGHT_STD) -> Data:
    """Gaussians evenly spaced on a circle, with exact density and field; the label is the mode.

    The default is the scale of torchcfm's tutorials; `std=1` is that of its runner; `std=.316` is common elsewhere.
    Validation and test samples are stratified by mode, with equal counts up to the remainder: counts that fluctuate
    would hide all but the largest differences in a distance between samples.

    Args:
        modes: number of Gaussians.
        radius: distance of their centers from the origin.
        std: standard deviation of each in each coordinate.

    Reference: Tong et al., 2023.
    """
    mixture = ring(modes, radius, std)
    truth = Truth(log_prob=mixture.log_prob, modes=mixture.means, velocity=mixture.velocity)
    return vectors("8gaussians", mixture.draw, classes=modes, stratified=mixture.stratified, truth=truth)


def ring(modes: int, radius: float, std: float) -> Mixture:
    """Return the mixture of equal Gaussians on a circle, the first one on the first axis."""
    memory.require(40 * modes, f"modes={modes}")
    angle = torch.arange(modes, dtype=torch.float64) * (2 * math.pi / modes)
    return Mixture(radius * torch.stack([angle.cos(), angle.sin()], 1), torch.full((modes,), std))


@datasets.register("circles", version=1, headline="w2")
def circles(*, factor: Positive = 0.5, noise: Positive = 0.05, scale: Positive = 3.5) -> Data:
    """Two concentric circles with Gaussian noise, with exact density; the label is the circle, outer first.

    The defaults are the scale of torchcfm's runner.

    Args:
        factor: inner radius over outer radius.
        noise: standard deviation of the noise, before scaling.
        scale: outer radius.

    Reference: Tong et al., 2023.
    """
    radii, std = torch.tensor([1.0, factor]) * scale, noise * scale

    def draw(n: int, generator: torch.Generator) -> Batch:
        label = _toss(n, 2, generator)
        x = radii.to(generator.device)[label, None] * _polar(2 * math.pi * _uniform(n, generator))
        return Batch(x + std * _normal(n, 2, generator), label)

    def log_prob(x: Float[Tensor, "b 2"]) -> Float[Tensor, " b"]:
        r = torch.linalg.vector_norm(x, dim=1)[:, None]
        rings = radii.to(x)
        # Mean of N(x; R u, std^2 I) over directions u: a Bessel function, here scaled by exp(-r R / std^2).
        each = torch.special.i0e(r * rings / std**2).log() - (r - rings).square() / (2 * std**2)
        return each.logsumexp(1) - math.log(2 * 2 * math.pi * std**2)

    return vectors("circles", draw, classes=2, truth=Truth(log_prob=log_prob))


@datasets.register("scurve", version=1, headline="w2")
def scurve(*, noise: NonNegative = 0.05, scale: Positive = 1.5) -> Data:
    """The S curve seen from its side.

    The defaults are the scale of torchcfm's runner.

    Args:
        noise: standard deviation of Gaussian noise, before scaling.
        scale: factor; the curve then lies in [-scale, scale] x [-2 scale, 2 scale].

    Reference: Tong et al., 2023.
    """

    def draw(n: int, generator: torch.Generator) -> Batch:
        angle = 3 * math.pi * (_uniform(n, generator) - 0.5)
        x = torch.stack([angle.sin(), angle.sign() * (angle.cos() - 1)], 1)
        return unlabeled(scale * (x + noise * _normal(n, 2, generator)))

    return vectors("scurve", draw)


@datasets.register("checkerboard", version=1, headline="w2")
def checkerboard(*, cells: Count = 4, side: Positive = 2.0) -> Data:
    """Uniform on every other square of a board, the lower left one included, with exact density.

    The defaults are FFJORD's: eight squares in [-4, 4] x [-4, 4].

    Args:
        cells: squares along one edge of the board.
        side: edge of a square.

    Raises:
        ConfigError: if there is one cell only.

    Reference: Grathwohl et al., 2019.
    """
    if cells < 2:
        raise ConfigError("checkerboard.cells: a board has at least 2 squares along an edge")
    memory.require(17 * cells**2, f"checkerboard.cells={cells}")
    column = torch.arange(cells)
    filled = ((column[:, None] + column) % 2 == 0).nonzero()
    log_area = math.log(len(filled) * side**2)

    def draw(n: int, generator: torch.Generator) -> Batch:
        corner = filled.to(generator.device)[_toss(n, len(filled), generator)]
        inside = torch.rand(n, 2, generator=generator, device=generator.device)
        return unlabeled(side * (corner + inside - cells / 2))

    def log_prob(x: Float[Tensor, "b 2"]) -> Float[Tensor, " b"]:
        place = x / side + cells / 2
        # A square includes its edges: rounding may put a sample on them.
        square = torch.stack(
            [(place + 1e-5 * place.new_tensor(s)).floor() for s in itertools.product((-1, 1), repeat=2)]
        )
        on_board = ((square >= 0) & (square < cells)).all(-1)
        support = (on_board & (square.sum(-1) % 2 == 0)).any(0)
        return torch.where(support, -log_area, -math.inf)

    return vectors("checkerboard", draw, truth=Truth(log_prob=log_prob))


@datasets.register("spirals", version=1, headline="w2")
def spirals(*, turns: Positive = 1.5, jitter: NonNegative = 0.5, noise: NonNegative = 0.1) -> Data:
    """Two spiral arms that are each other's mirror image in the origin; the label is the arm.

    The defaults are FFJORD's; the outer end has radius 2 pi turns / 3.

    Args:
        turns: turns of each arm around the origin.
        jitter: width of a uniform shift of each coordinate of the arm, before scaling by 1/3.
        noise: standard deviation of Gaussian noise, after scaling.

    Reference: Grathwohl et al., 2019.
    """

    def draw(n: int, generator: torch.Generator) -> Batch:
        label = _toss(n, 2, generator)
        angle = 2 * math.pi * turns * _uniform(n, generator).sqrt()  # even along the arm, not in angle
        arm = angle[:, None] * torch.stack([-angle.cos(), angle.sin()], 1)
        arm = arm + jitter * torch.rand(n, 2, generator=generator, device=generator.device)
        return Batch((1 - 2 * label)[:, None] * arm / 3 + noise * _normal(n, 2, generator), label)

    return vectors("spirals", draw, classes=2)


@datasets.register("pinwheel", version=1, headline="w2")
def pinwheel(
    *,
    arms: Count = 5,
    radial: Positive = 0.3,
    tangential: Positive = 0.1,
    rate: float = 0.25,
    scale: Positive = 2.0,
) -> Data:
    """Gaussians around a circle, twisted the more the farther out; the label is the arm.

    The defaults are FFJORD's.

    Args:
        arms: number of arms.
        radial: standard deviation along an arm, before scaling.
        tangential: standard deviation across an arm, before scaling.
        rate: strength of the twist, by rate exp(radius) radians.
        scale: distance of the arms' centers from the origin.

    Reference: Grathwohl et al., 2019.
    """

    def draw(n: int, generator: torch.Generator) -> Batch:
        label = _toss(n, arms, generator)
        noise = _normal(n, 2, generator)
        along, across = 1 + radial * noise[:, 0], tangential * noise[:, 1]
        direction = _polar(label * (2 * math.pi / arms) + rate * along.exp())
        cos, sin = direction.unbind(1)
        return Batch(scale * torch.stack([along * cos + across * sin, across * cos - along * sin], 1), label)

    return vectors("pinwheel", draw, classes=arms)


@datasets.register("swissroll", version=1, headline="w2")
def swissroll(*, noise: NonNegative = 1.0, scale: Positive = 0.2) -> Data:
    """A spiral of one and a half turns, the Swiss roll seen from its end.

    The defaults are FFJORD's.

    Args:
        noise: standard deviation of Gaussian noise, before scaling.
        scale: factor; radii run from 1.5 pi scale to 4.5 pi scale.

    Reference: Grathwohl et al., 2019.
    """

    def draw(n: int, generator: torch.Generator) -> Batch:
        angle = 1.5 * math.pi * (1 + 2 * _uniform(n, generator))
        return unlabeled(scale * (angle[:, None] * _polar(angle) + noise * _normal(n, 2, generator)))

    return vectors("swissroll", draw)


def _arcs(n: int, generator: torch.Generator) -> Batch:
    """Draw from two half circles of radius 1, the second one upside down at (1, 1/2)."""
    label = _toss(n, 2, generator)
    x = _polar(math.pi * _uniform(n, generator))
    return Batch(torch.where(label[:, None] == 0, x, x.new_tensor([1.0, 0.5]) - x), label)


def _polar(angle: Float[Tensor, " n"]) -> Float[Tensor, "n 2"]:
    return torch.stack([angle.cos(), angle.sin()], 1)


def _uniform(n: int, generator: torch.Generator) -> Float[Tensor, " n"]:
    return torch.rand(n, generator=generator, device=generator.device)


def _normal(n: int, d: int, generator: torch.Generator) -> Float[Tensor, "n d"]:
    return torch.randn(n, d, generator=generator, device=generator.device)


def _toss(n: int, sides: int, generator: torch.Generator) -> Tensor:
    return torch.randint(sides, (n,), generator=generator, device=generator.device)
