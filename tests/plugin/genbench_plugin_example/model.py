"""A model in one page: the affine flow of a diagonal Gaussian."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from genbench.core import Batch, Event, Model, Samples, Source
from genbench.registry import models
from genbench.settings import Positive


class Example(NamedTuple):
    """One training step: the data, unchanged."""

    x: Float[Tensor, "b *event"]


class DiagonalAffine(Model):
    """x = exp(s) x0 + m, trained by exact likelihood: log p(x) = log mu((x - m) exp(-s)) - sum s."""

    def __init__(self, event: Event, source: Source, *, scale: float) -> None:
        super().__init__()
        self.event, self.source = event, source
        self.mean = nn.Parameter(torch.zeros(event.shape))
        self.log_scale = nn.Parameter(torch.full(event.shape, scale).log())

    def draw(self, batch: Batch, generator: torch.Generator) -> Example:
        """Draw nothing: likelihood needs no noise."""
        return Example(batch.x)

    def loss(self, example: Example) -> dict[str, Tensor]:
        """Return the negative log-likelihood per dimension."""
        return {"loss": -self.log_prob(example.x).mean() / self.event.dims}

    def sample(
        self,
        x0: Float[Tensor, "b *event"],
        *,
        label: Int[Tensor, " b"] | None = None,
        temperature: Positive = 1.0,
    ) -> Samples:
        """Scale and shift the noise.

        Args:
            temperature: what the noise is multiplied by first.
        """
        return Samples(temperature * x0 * self.log_scale.exp() + self.mean, 1.0)

    def log_prob(self, x: Float[Tensor, "b *event"], *, label: Int[Tensor, " b"] | None = None) -> Float[Tensor, " b"]:
        """Return the log-density in nats, summed over the event, in model space."""
        return self.source.log_prob((x - self.mean) * (-self.log_scale).exp()) - self.log_scale.sum()


@models.register("example-affine", version=1)
def affine(event: Event, source: Source, *, scale: Positive = 1.0) -> DiagonalAffine:
    """Affine flow of a diagonal Gaussian, trained by exact likelihood.

    Args:
        scale: standard deviation to start from.
    """
    return DiagonalAffine(event, source, scale=scale)
