"""An affine flow: a model whose samples, density and velocity are known in closed form."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from genbench.core import Batch, Event, Model, Samples, Source, Transport
from genbench.models.flow_matching.couplings.base import Coupled, Independent


class AffineFlow(Model, Transport, Coupled):
    """x = s x0 + m for each coordinate: straight paths, exact density, independent pairs.

    The path x_t = (1 - t) x0 + t x has the velocity v(t, x) = (s - 1) (x - t m) / (1 - t + t s) + m.
    """

    def __init__(self, event: Event, source: Source) -> None:
        super().__init__()
        self.event, self.source, self.coupling = event, source, Independent()
        self.log_scale = nn.Parameter(torch.full(event.shape, -0.3))
        self.shift = nn.Parameter(torch.full(event.shape, 0.1))

    def draw(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Draw nothing: likelihood needs no noise."""
        return batch

    def loss(self, example: Batch) -> dict[str, Tensor]:
        """Return the negative log-likelihood per dimension."""
        return {"loss": -self.log_prob(example.x).mean() / self.event.dims}

    def sample(self, x0: Float[Tensor, "b *event"], *, label: Int[Tensor, " b"] | None = None) -> Samples:
        """Scale and shift the noise."""
        return Samples(x0 * self.log_scale.exp() + self.shift, 1.0)

    def log_prob(self, x: Float[Tensor, "b *event"], *, label: Int[Tensor, " b"] | None = None) -> Float[Tensor, " b"]:
        """Return log p(x) = log source((x - m) / s) - sum log s in nats."""
        return self.source.log_prob((x - self.shift) / self.log_scale.exp()) - self.log_scale.sum()

    def velocity(
        self, t: Float[Tensor, ""], x: Float[Tensor, "b *event"], label: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b *event"]:
        """Return the velocity of the straight paths."""
        scale = self.log_scale.exp()
        return (scale - 1) * (x - t * self.shift) / (1 - t + t * scale) + self.shift
