"""Neural spline flows of zuko: normalizing flows of vectors, the likelihood baseline."""

import importlib.util
from typing import Annotated, Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from genbench.core import Batch, Data, Event, Model, Normal, Samples, Source
from genbench.errors import ConfigError, Unsupported
from genbench.registry import models
from genbench.settings import Count


class Example(NamedTuple):
    """A batch of data."""

    x: Float[Tensor, "b d"]
    label: Int[Tensor, " b"]


@models.register("nsf", version=1)
class NeuralSplineFlow(Model):
    """Neural spline flow, a normalizing flow with exact likelihood for vectors (package zuko).

    z = transform((x - mean) / std);  log p(x) = log N(z; 0, I) + log |det dz/dx|;  loss = -log p(x) / d

    The transform consists of autoregressive monotonic splines, with one-hot labels as context. They act on [-5, 5] and
    are the identity outside, so that data is standardized first.
    Durkan et al., 2019, "Neural spline flows", https://arxiv.org/abs/1906.04032.

    Args:
        transforms: number of autoregressive transformations, in alternating order of the coordinates.
        bins: pieces of each rational-quadratic spline.
        hidden: widths of the hidden layers of the networks that compute the knots.

    Raises:
        Unsupported: for images, and for sources other than N(0, I).
        ConfigError: if zuko is not installed.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        event: Event,
        source: Source,
        *,
        transforms: Count = 3,
        bins: Count = 8,
        hidden: tuple[Count, ...] = (64, 64),
        conditional: Annotated[bool, "whether the model is trained on labels"] = False,
    ) -> None:
        if len(event.shape) != 1:
            raise Unsupported("a spline flow is for vectors")
        if not isinstance(source, Normal):
            raise Unsupported("a normalizing flow starts from N(0, I) of the shape of its data")
        if conditional and not event.classes:
            raise ConfigError("model.conditional=true needs data with classes; this data has none")
        if importlib.util.find_spec("zuko") is None:
            raise ConfigError("model nsf needs the package zuko: pip install 'genbench[zuko]'")
        import zuko

        super().__init__()
        context = event.classes if conditional else 0
        flow = zuko.flows.NSF(event.dims, context, transforms=transforms, bins=bins, hidden_features=hidden)
        self.event, self.source, self.conditional = event, source, conditional
        self.transform = flow.transform
        self.register_buffer("mean", torch.zeros(event.dims))
        self.register_buffer("std", torch.ones(event.dims))

    def prepare(self, data: Data, seed: int) -> None:
        """Estimate mean and standard deviation of every coordinate from 8192 training samples."""
        std, mean = torch.std_mean(data.train.batch(0, 8192, seed).x, 0)
        if bool((std == 0).any()):
            raise Unsupported("a coordinate of the data is constant, so that the data has no density")
        self.std.copy_(std)
        self.mean.copy_(mean)

    def draw(self, batch: Batch, generator: torch.Generator) -> Example:
        """Return the batch; nothing is random."""
        return Example(*batch)

    def loss(self, example: Example) -> dict[str, Tensor]:
        """Return the negative log-likelihood per dimension, in nats."""
        label = example.label if self.conditional else None
        return {"loss": -self.log_prob(example.x, label=label).mean() / self.event.dims}

    def sample(self, x0: Float[Tensor, "b d"], *, label: Int[Tensor, " b"] | None = None) -> Samples:
        """Invert the flow, with one evaluation of every network per coordinate."""
        return Samples(self._map(label).inv(x0) * self.std + self.mean, self.event.dims)

    def log_prob(self, x: Float[Tensor, "b d"], *, label: Int[Tensor, " b"] | None = None) -> Float[Tensor, " b"]:
        """Return the exact log-density in nats."""
        z, change = self._map(label).call_and_ladj((x - self.mean) / self.std)
        return self.source.log_prob(z) + change - self.std.log().sum()

    def _map(self, label: Tensor | None) -> Any:
        return self.transform(None if label is None else F.one_hot(label, self.event.classes).float())
