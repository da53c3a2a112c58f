"""2D distributions, each on a stated published scale.

All draws are independent: the generators of scikit-learn and torchdyn order their samples along an arc and give
equal counts to the arcs; here the position on the arc is uniform, and each sample draws its arc at random.
"Runner" and "tutorials" refer to torchcfm, the library of Tong et al. (2023); their scales differ.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from genbench.core import Batch, Data, Truth
from genbench.data.splits import Draw
from genbench.data.synthetic.gaussians import Mixture, stratified_labels
from genbench.data.vectors import vectors
from genbench.registry import datasets
from genbench.settings import Count, Positive
from genbench.storage import memory

EIGHT_STD = 0.1**0.25
"""Standard deviation of the tutorials' 8gaussians: they pass the square root of a variance 0.1 as a covariance."""
RING_RADII = torch.tensor([0.75, 1.5, 2.25, 3.0])
RING_STD = 0.08
"""Radii of the rings, and the standard deviation of their noise in each coordinate."""
EDGE = 2**-21
"""Width of the border that belongs to a dark square of the board: float32 rounds samples to it."""


@datasets.register("moons", version=1, headline="w2")
def moons(*, scale: Literal["runner", "tutorial"] = "runner") -> Data:
    """Two interleaving half circles; the label is the arc.

    Args:
        scale: "runner" is 2 x - (1, 0) with Gaussian noise 0.05 before scaling; "tutorial" is 3 x - 1 with a shift
            along the diagonal, uniform in [0, 0.2], before scaling.

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

    After Gaussian noise 0.1, both coordinates together are scaled to mean 0 and standard deviation 7, so that the axes
    keep their proportion. The moments are the distribution's; the runner takes its sample's.
    """
    x, label = _arcs(n, generator)
    # An arc has the moments E sin = 2 / pi, E cos = 0 and E sin^2 = E cos^2 = 1/2.
    mean, square = 3 / 8, 13 / 16 - 1 / (2 * math.pi) + 0.1**2
    return Batch(7 * (x + 0.1 * _normal(n, 2, generator) - mean) / math.sqrt(square - mean**2), label)


@datasets.register("8gaussians", version=1, headline="w2")
def eight_gaussians(*, modes: Count = 8, radius: Positive = 5.0, std: Positive = EIGHT_STD) -> Data:
    """Gaussians evenly spaced on a circle, with exact density and field; the label is the mode.

    The default is the scale of torchcfm's tutorials; its runner has `std=1`; `std=0.316` is common elsewhere.
    Validation and test samples are stratified by mode, with equal counts up to the remainder: counts that fluctuate
    would hide all but the largest differences in a distance between samples.

    Args:
        modes: number of Gaussians.
        radius: distance of their centers from the origin.
        std: standard deviation of each Gaussian in each coordinate.

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


@datasets.register("checkerboard", version=1, headline="sliced_w2")
def checkerboard() -> Data:
    """Uniform distribution on eight dark squares of a board on [-4, 4]^2, with exact density; the label is the square.

    Validation and test samples have equal counts in all squares, up to the remainder.

    Reference: Grathwohl et al., 2019, "FFJORD", https://arxiv.org/abs/1810.01367.
    """

    def log_prob(x: Float[Tensor, "b 2"]) -> Float[Tensor, " b"]:
        return torch.where(_is_dark(x - EDGE) | _is_dark(x + EDGE), -math.log(32), -math.inf)

    draw, stratified = _by_label(8, _squares)
    return vectors("checkerboard", draw, classes=8, stratified=stratified, truth=Truth(log_prob=log_prob))


def _is_dark(x: Float[Tensor, "b 2"]) -> Bool[Tensor, " b"]:
    return (x.abs() < 4).all(1) & (torch.floor(x / 2).sum(1) % 2 == 0)


def _squares(label: Int[Tensor, " n"], generator: torch.Generator) -> Float[Tensor, "n 2"]:
    """Draw from the dark squares: two in each row of the board."""
    row, place = label // 2, label % 2
    corner = torch.stack([2 * (2 * place + row % 2) - 4, 2 * row - 4], 1)
    return corner + 2 * torch.rand(len(label), 2, generator=generator, device=generator.device)


@datasets.register("pinwheel", version=1, headline="sliced_w2")
def pinwheel() -> Data:
    """Five curved arms around the origin, thin across and dense near their base; the label is the arm.

    An arm is N((1, 0), diag(0.3^2, 0.1^2)), turned by exp(x1) / 4 plus the arm's own angle, then scaled by 2.
    Validation and test samples have equal counts in all arms, up to the remainder.

    Reference: Johnson et al., 2016, https://arxiv.org/abs/1603.06277, on the scale of Grathwohl et al., 2019.
    """
    draw, stratified = _by_label(5, _arms)
    return vectors("pinwheel", draw, classes=5, stratified=stratified)


def _arms(label: Int[Tensor, " n"], generator: torch.Generator) -> Float[Tensor, "n 2"]:
    x = _normal(len(label), 2, generator)
    along, across = 1 + 0.3 * x[:, 0], 0.1 * x[:, 1]
    angle = label * (2 * math.pi / 5) + 0.25 * along.exp()
    cos, sin = angle.cos(), angle.sin()
    return 2 * torch.stack([along * cos + across * sin, across * cos - along * sin], 1)


@datasets.register("rings", version=1, headline="sliced_w2")
def rings() -> Data:
    """Four circles around the origin, each blurred by noise, with exact density; the label is the ring.

    Radii are 0.75, 1.5, 2.25 and 3, the noise 0.08 in each coordinate. Rings are equally probable, so the outer ones
    are less dense. Validation and test samples have equal counts in all rings, up to the remainder.

    Reference: Grathwohl et al., 2019, "FFJORD", https://arxiv.org/abs/1810.01367.
    """

    def log_prob(x: Float[Tensor, "b 2"]) -> Float[Tensor, " b"]:
        # A circle of radius R blurred by noise s has the density exp(-(r^2 + R^2) / 2 s^2) I0(r R / s^2) / (2 pi s^2).
        radius, each, variance = x.norm(dim=1, keepdim=True), RING_RADII.to(x), RING_STD**2
        near = -(radius - each).square() / (2 * variance) + torch.special.i0e(radius * each / variance).log()
        return near.logsumexp(1) - math.log(2 * math.pi * variance * len(each))

    draw, stratified = _by_label(len(RING_RADII), _circles)
    return vectors("rings", draw, classes=len(RING_RADII), stratified=stratified, truth=Truth(log_prob=log_prob))


def _circles(label: Int[Tensor, " n"], generator: torch.Generator) -> Float[Tensor, "n 2"]:
    angle = 2 * math.pi * _uniform(len(label), generator)
    circle = torch.stack([angle.cos(), angle.sin()], 1)
    return RING_RADII.to(circle)[label][:, None] * circle + RING_STD * _normal(len(label), 2, generator)


@datasets.register("spirals", version=1, headline="sliced_w2")
def spirals() -> Data:
    """Two arms that wind one and a half times around the origin, 180 degrees apart; the label is the arm.

    An arm has the points (u - a cos a, v + a sin a) / 3 with angles a up to 3 pi, a^2 and a shift (u, v) in
    [0, 1/2]^2 uniform; the other arm is this one times -1, and both have noise 0.1. Validation and test samples have
    equal counts in both arms, up to the remainder.

    Reference: Grathwohl et al., 2019, "FFJORD", https://arxiv.org/abs/1810.01367.
    """
    draw, stratified = _by_label(2, _spirals)
    return vectors("spirals", draw, classes=2, stratified=stratified)


def _spirals(label: Int[Tensor, " n"], generator: torch.Generator) -> Float[Tensor, "n 2"]:
    angle = 3 * math.pi * _uniform(len(label), generator).sqrt()
    shift = 0.5 * torch.rand(len(label), 2, generator=generator, device=generator.device)
    arm = (torch.stack([-angle * angle.cos(), angle * angle.sin()], 1) + shift) / 3
    return torch.where(label[:, None] == 0, arm, -arm) + 0.1 * _normal(len(label), 2, generator)


def _by_label(classes: int, draw: Callable[[Tensor, torch.Generator], Tensor]) -> tuple[Draw, Draw]:
    """Return independent draws with equally probable labels, and draws with equal counts of them.

    Args:
        draw: returns one point for each label.
    """

    def independent(n: int, generator: torch.Generator) -> Batch:
        label = torch.randint(classes, (n,), generator=generator, device=generator.device)
        return Batch(draw(label, generator), label)

    def stratified(n: int, generator: torch.Generator) -> Batch:
        label = stratified_labels(torch.full((classes,), 1 / classes), n, generator)
        return Batch(draw(label, generator), label)

    return independent, stratified


def _arcs(n: int, generator: torch.Generator) -> Batch:
    """Draw from two half circles of radius 1, the second one upside down at (1, 1/2)."""
    label = torch.randint(2, (n,), generator=generator, device=generator.device)
    angle = math.pi * _uniform(n, generator)
    x = torch.stack([angle.cos(), angle.sin()], 1)
    return Batch(torch.where(label[:, None] == 0, x, x.new_tensor([1.0, 0.5]) - x), label)


def _uniform(n: int, generator: torch.Generator) -> Float[Tensor, " n"]:
    return torch.rand(n, generator=generator, device=generator.device)


def _normal(n: int, d: int, generator: torch.Generator) -> Float[Tensor, "n d"]:
    return torch.randn(n, d, generator=generator, device=generator.device)
