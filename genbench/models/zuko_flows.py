"""The neural spline flow of zuko: a normalizing flow of vectors, the likelihood baseline."""

import importlib.util
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from genbench.core import Batch, Data, Event, Model, Samples, Source, require_normal
from genbench.errors import ConfigError, Unsupported
from genbench.registry import models
from genbench.settings import Count, Layers


class Example(NamedTuple):
    """A batch of standardized data.

    Args:
        log_scale: log-determinant of the scale that was divided out, one per sample: members of an ensemble differ in
            it.
    """

    x: Float[Tensor, "b d"]
    label: Int[Tensor, " b"]
    log_scale: Float[Tensor, " b"]


@models.register("nsf", version=1, amplifies_rounding=True)
class NeuralSplineFlow(Model):
    """Neural spline flow: autoregressive monotonic splines on [-5, 5], the identity outside (package zuko).

    z = transform((x - mean) / std);  log p(x) = log N(z; 0, I) + log |det dz/dx|;  loss = -log p(x) / d

    Durkan et al., 2019, "Neural spline flows", https://arxiv.org/abs/1906.04032.

    Args:
        transforms: number of autoregressive transformations, in alternating order of the coordinates.
        bins: pieces of each rational-quadratic spline.
        hidden: widths of the hidden layers of the networks that compute the transformations.
        conditional: whether the model is trained on labels, whose one-hot code is the context.

    Raises:
        Unsupported: for images, and for sources other than N(0, I).
        ConfigError: if zuko is not installed.
    """

    not_compiled = "the transformations of zuko do not compile into one graph"

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        event: Event,
        source: Source,
        *,
        transforms: Layers = 3,
        bins: Count = 8,
        hidden: tuple[Count, ...] = (64, 64),
        conditional: bool = False,
    ) -> None:
        if not event.is_vector:
            raise Unsupported("flows of zuko are for vectors")
        require_normal(source, event, "a normalizing flow")
        if conditional and not event.classes:
            raise ConfigError("model.conditional=true needs data with classes; the data has none")
        if importlib.util.find_spec("zuko") is None:
            raise ConfigError("model nsf needs the package zuko: pip install 'genbench[zuko]'")
        import zuko

        super().__init__()
        context = event.classes if conditional else 0
        flow = zuko.flows.NSF(event.dims, context, bins=bins, transforms=transforms, hidden_features=hidden)
        self.event, self.source, self.conditional = event, source, conditional
        self.transform = flow.transform
        self.register_buffer("mean", torch.zeros(event.dims))
        self.register_buffer("std", torch.ones(event.dims))

    @classmethod
    def stackable(cls, event: Event, settings: Mapping[str, Any]) -> bool:
        return True

    def prepare(self, data: Data, seed: int) -> None:
        std, mean = torch.std_mean(data.train.batch(0, 8192, seed).x, 0)
        if bool((std == 0).any()):
            raise Unsupported("a coordinate of the data is constant, so that the data has no density")
        self.std.copy_(std)
        self.mean.copy_(mean)

    def draw(self, batch: Batch, generator: torch.Generator) -> Example:
        log_scale = self.std.log().sum().expand(len(batch.x))
        return Example((batch.x - self.mean) / self.std, batch.label, log_scale)

    def loss(self, example: Example) -> dict[str, Tensor]:
        label = example.label if self.conditional else None
        log_density = self._log_prob(example.x, label) - example.log_scale
        return {"loss": -log_density.mean() / self.event.dims}

    def sample(self, x0: Float[Tensor, "b d"], *, label: Int[Tensor, " b"] | None = None) -> Samples:
        """Invert the flow, with one evaluation of every network per coordinate."""
        return Samples(self._map(label).inv(x0) * self.std + self.mean, self.event.dims)

    def log_prob(self, x: Float[Tensor, "b d"], *, label: Int[Tensor, " b"] | None = None) -> Float[Tensor, " b"]:
        return self._log_prob((x - self.mean) / self.std, label) - self.std.log().sum()

    def _log_prob(self, x: Float[Tensor, "b d"], label: Int[Tensor, " b"] | None) -> Float[Tensor, " b"]:
        """Return the log-density of standardized data."""
        z, change = self._map(label).call_and_ladj(x)
        return self.source.log_prob(z) + change

    def _map(self, label: Tensor | None) -> Any:
        return self.transform(None if label is None else F.one_hot(label, self.event.classes).float())
