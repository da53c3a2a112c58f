"""Tasks whose source is a distribution other than N(0, I), on the scale of torchcfm's tutorials."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from genbench.core import Data, Truth
from genbench.data.splits import Draw
from genbench.data.toy import EIGHT_STD, ring, tutorial_moons
from genbench.data.vectors import vectors
from genbench.errors import Unsupported
from genbench.registry import datasets


@dataclass(frozen=True)
class Drawn:
    """A source of which only draws are known.

    Args:
        name: how messages call it.
        draw: draws labelled samples.
        shape: of one sample.
    """

    name: str
    draw: Draw
    shape: tuple[int, ...] = (2,)

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n *event"]:
        """Draw n independent samples, on the generator's device."""
        return self.draw(n, generator).x

    def log_prob(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, " b"]:
        """Raise Unsupported: the density has no closed form."""
        raise Unsupported(f"the density of the source ({self.name}) is not known")


@datasets.register("8gaussians-moons", version=1)
def eight_gaussians_to_moons() -> Data:
    """From eight Gaussians (radius 5, std .562) to moons (3 x - 1): the task of torchcfm's tutorials.

    The density of the source is exact. The runner of the same library uses another scale.

    Reference: Tong et al., 2023.
    """
    return vectors("8gaussians-moons", tutorial_moons, classes=2, source=ring(8, 5.0, EIGHT_STD))


@datasets.register("moons-8gaussians", version=1)
def moons_to_eight_gaussians() -> Data:
    """From moons (3 x - 1) to eight Gaussians (radius 5, std .562), on the scale of torchcfm's tutorials.

    The density of the source is not known, so neither is a likelihood. Published tables of this task are on the
    scale of the runner of the same library (8 Gaussians of radius 12 with std 1.5, moons standardised to std 7).
    Validation and test samples are stratified by mode.

    Reference: Tong et al., 2023.
    """
    target = ring(8, 5.0, EIGHT_STD)
    truth = Truth(log_prob=target.log_prob, modes=target.means)
    source = Drawn("moons", tutorial_moons)
    return vectors("moons-8gaussians", target.draw, classes=8, stratified=target.stratified, source=source, truth=truth)
