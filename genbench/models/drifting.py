"""Drifting models: one-step generators, trained to move their samples along a drift toward the data."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import torch
from annotated_types import MinLen
from jaxtyping import Float, Int
from torch import Tensor

from genbench.core import Batch, Event, Model, Normal, Samples, Source
from genbench.errors import ConfigError
from genbench.nets.presets import Net, build
from genbench.registry import models
from genbench.settings import Count, Positive


class Example(NamedTuple):
    """One training step.

    Args:
        x: data.
        noise: where the generator starts.
    """

    x: Float[Tensor, "b *event"]
    noise: Float[Tensor, "b *source"]


def drift(
    x: Float[Tensor, "b d"],
    data: Float[Tensor, "n d"],
    temperatures: Sequence[float],
    generated: Float[Tensor, "m d"] | None = None,
) -> Float[Tensor, "temperatures b d"]:
    """Return the drift of points x at each temperature: attraction by data minus repulsion by generated samples.

    V(x) = sum_jk a(x, y_j) a(x, g_k) (y_j - g_k),    a = sqrt(softmax over all y and g * softmax over x)

    Both softmaxes have the logits -|x - y| / (temperature s), where s is the mean distance. Swapping data and
    generated samples flips the sign of V, so V is 0 if both are equal.

    Args:
        temperatures: in units of the mean distance.
        generated: None for the points x themselves, each of which does not repel itself.
    """
    others = x if generated is None else generated
    # Products of matrices would round small distances.
    distance = torch.cdist(x, torch.cat([data, others]), compute_mode="donot_use_mm_for_euclid_dist")
    alone = torch.eye(len(x), len(others), dtype=torch.bool, device=x.device) & (generated is None)
    alone = torch.cat([alone.new_zeros(len(x), len(data)), alone], 1)
    distance = distance.masked_fill(alone, torch.inf) / (distance.sum() / (distance.numel() - alone.sum()))
    fields = []
    for temperature in temperatures:
        logits = distance / -temperature
        affinity = (logits - (logits.logsumexp(1, keepdim=True) + logits.logsumexp(0)) / 2).exp()
        near, rest = affinity.split([len(data), len(others)], 1)
        near_sum, rest_sum = near.sum(1, keepdim=True), rest.sum(1, keepdim=True)
        attraction = rest_sum * (near @ data - near_sum * x)
        repulsion = near_sum * (rest @ others - rest_sum * x)
        fields.append(attraction - repulsion)
    return torch.stack(fields)


@models.register("drifting", version=1)
class Drifting(Model):
    """One-step generation by a network whose samples drift in training: data attracts them, they repel each other.

    x = f(noise);  loss = E mean (x - stopgrad(x + V(x)))^2;  V = sum over temperatures of V_T / rms V_T

    The field V is estimated between the data and the samples of a batch (`drift`). With plan.accumulate or several
    devices, each part of a batch has a field of its own. Labels are not used. Unlike a flow map, the generator knows
    neither a path nor a time, so it has no density and no paths.

    Deng et al., 2026, "Generative modeling via drifting", https://arxiv.org/abs/2602.04770, who train on images in the
    features of an encoder; here, distances are between samples. The field follows their 2D notebook. Their code for
    images also raises each affinity to at least 0.001, which in 2D would let far points dominate.

    Args:
        temperatures: temperatures of the kernels, in units of the mean distance.
        normalize: whether the field of each temperature is divided by its root mean square. The authors normalize
            for images, not for their 2D examples.
        noise: number of coordinates of the noise, for vectors; by default the number of coordinates of a sample.

    Raises:
        ConfigError: if `noise` is set for images or another source than N(0, I), or if it is below the number of
            coordinates of a sample.
    """

    self_targeted = True
    full_precision = True

    def __init__(
        self,
        event: Event,
        source: Source,
        *,
        net: Net = None,
        temperatures: Annotated[tuple[Positive, ...], MinLen(1)] = (0.02, 0.05, 0.2),
        normalize: bool = True,
        noise: Count | None = None,
    ) -> None:
        if noise is not None and (not event.is_vector or noise < event.dims or not isinstance(source, Normal)):
            raise ConfigError(f"model.noise={noise}: only for vectors from N(0, I); must be at least {event.dims}")
        super().__init__()
        self.event, self.source = event, source if noise is None else Normal((noise,))
        self.temperatures, self.normalize = temperatures, normalize
        self.net = build(event if noise is None else Event((noise,)), 0, net)

    @classmethod
    def stackable(cls, event: Event, settings: Mapping[str, Any]) -> bool:
        net = settings.get("net")  # methods of users may have no such setting, or another one of this name
        return isinstance(net, Mapping) and net.get("name") == "mlp"

    def draw(self, batch: Batch, generator: torch.Generator) -> Example:
        return Example(batch.x, self.source.sample(len(batch.x), generator))

    def generate(self, noise: Float[Tensor, "b *source"]) -> Float[Tensor, "b *event"]:
        """Return f(noise); outputs of the network beyond the coordinates of a sample are not used."""
        out = self.net(noise.new_zeros(()), noise)
        return out[:, : self.event.dims] if self.event.is_vector else out

    def loss(self, example: Example) -> dict[str, Tensor]:
        if len(example.x) < 2:
            raise ConfigError("plan.batch_size: drifting needs 2 samples or more, as samples repel each other")
        x = self.generate(example.noise).flatten(1)
        fields = drift(x.detach(), example.x.flatten(1), self.temperatures)
        if self.normalize:
            fields = fields / fields.square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-12)
        return {"loss": (x - (x + fields.sum(0)).detach()).square().mean()}

    def sample(self, x0: Float[Tensor, "b *source"], *, label: Int[Tensor, " b"] | None = None) -> Samples:
        return Samples(self.generate(x0), 1.0)
