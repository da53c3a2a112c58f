"""Autoregressive flows: affine maps of tokens, parametrized by a causal transformer over earlier tokens."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from genbench.core import Event
from genbench.errors import ConfigError
from genbench.models.starflow.decoding import Affine, Decoded, Decoder, Guidance
from genbench.models.starflow.design import Design, Order
from genbench.nets.patches import Patches
from genbench.nets.transformer import Architecture, CausalTransformer

SOFTPLUS_OFFSET = 0.541324854612918
"""softplus(SOFTPLUS_OFFSET) = 1."""


class Block(nn.Module):
    """One affine autoregressive map of tokens (Zhai et al., 2024; Gu et al., 2025).

    u = order(x);   (mu_i, sigma_i) = net(u_0 .. u_{i-1});   z_i = (u_i - mu_i) / sigma_i;   undo the order
    log |det| = - sum log sigma
    """

    def __init__(
        self,
        patches: Patches,
        layers: int,
        *,
        order: Order,
        design: Design,
        conditioned: bool,
        architecture: Architecture,
    ) -> None:
        super().__init__()
        self.flip = order == "flip"
        self.scale, self.bound = design.scale, design.clip
        self.copied = 0 if design.first == "start" else 1
        self.steps = patches.count - self.copied
        # An input has the position of the token that it predicts; positions count in decoding order.
        grid = patches.grid[self.copied :]
        outputs = patches.size * (1 if design.scale == "unit" else 2)
        self.net = CausalTransformer(
            patches.size, outputs, layers, grid=grid, conditioned=conditioned, architecture=architecture
        )
        if not self.copied:
            self.start = nn.Parameter(1e-2 * torch.randn(1, 1, patches.size))

    def forward(
        self, x: Float[Tensor, "b n d"], prefix: Float[Tensor, "b p width"] | None = None
    ) -> tuple[Float[Tensor, "b n d"], Float[Tensor, " b"]]:
        """Map data to noise, all tokens in one pass: (z, log |det|)."""
        u = x.flip(1) if self.flip else x
        first, rest = self._first(u), u[:, self.copied :]
        inputs = torch.cat([first, rest[:, :-1]], 1)
        mu, log_sigma = self._affine(self.net(inputs, prefix))
        z = (rest - mu) * (-log_sigma).exp()
        if self.copied:
            z = torch.cat([first, z], 1)
        return (z.flip(1) if self.flip else z), -log_sigma.flatten(1).sum(1)

    def inverse(
        self,
        z: Float[Tensor, "b n d"],
        prefix: Float[Tensor, "b p width"] | None,
        decode: Decoder,
        guidance: Guidance | None = None,
    ) -> Decoded:
        """Map noise to data."""
        z = z.flip(1) if self.flip else z
        first, rest = self._first(z), z[:, self.copied :]
        prefix = prefix if self.net.conditioned else None
        temperature = None
        if guidance is not None:
            if prefix is not None and guidance.null is not None:
                prefix = torch.cat([prefix, guidance.null])
            if guidance.temperature != 1:
                temperature = z.new_ones(2 * len(z))
                temperature[len(z) :] = guidance.temperature
        cache = self.net.start(prefix, temperature)

        def step(inputs: Tensor, at: int) -> Affine:
            if guidance is None:
                return self._affine(self.net.step(inputs, cache, at))
            both = self._affine(self.net.step(torch.cat([inputs, inputs]), cache, at))
            given, null = (Affine(*half) for half in zip(*(part.chunk(2) for part in both), strict=True))
            weight = guidance.weight[self.copied + at : self.copied + at + inputs.shape[1]]
            return guidance.rule(given, null, weight.to(given.mu))

        u, evaluated = decode(rest, first, step)
        if self.copied:
            u = torch.cat([first, u], 1)
        return Decoded(u.flip(1) if self.flip else u, evaluated * (1 if guidance is None else 2))

    def _first(self, u: Tensor) -> Tensor:
        return u[:, :1] if self.copied else self.start.to(u.dtype).expand(len(u), -1, -1)

    def _affine(self, outputs: Tensor) -> Affine:
        # At least float32, also under autocast: errors of log sigma are exponentiated and multiplied up.
        o = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
        if self.bound is not None:
            o = self.bound * torch.tanh(o / self.bound)
        if self.scale == "unit":
            return Affine(o, torch.zeros_like(o))
        o, mu = o.chunk(2, -1)
        return Affine(mu, o if self.scale == "exp" else F.softplus(o + SOFTPLUS_OFFSET).log())


class Latents(NamedTuple):
    """Noise of data, its log-determinant, and the mean square of the tokens between blocks."""

    z: Float[Tensor, "b *event"]
    log_det: Float[Tensor, " b"]
    between: Float[Tensor, ""]


class Flow(nn.Module):
    """A sequence of blocks between data and noise.

    Args:
        layers: number of layers of each block, in sampling order.
    """

    def __init__(self, event: Event, layers: Sequence[int], design: Design) -> None:
        super().__init__()
        self.patches, architecture = design.patches(event), design.architecture(event)
        self.guided = len(layers) if design.conditioned == "all" else 1
        if self.patches.count == 1 and design.first == "shift":
            raise ConfigError(
                "model.first=shift would copy the only token: set model.first=start, or a smaller model.patch"
            )
        self.blocks: Sequence[Block] = nn.ModuleList(  # type: ignore[assignment]
            Block(
                self.patches,
                depth,
                order=design.order[i % len(design.order)],
                design=design,
                conditioned=design.labeled and (design.conditioned == "all" or i == 0),
                architecture=architecture,
            )
            for i, depth in enumerate(layers)
        )

    def forward(self, x: Float[Tensor, "b *event"], prefix: Float[Tensor, "b p width"] | None = None) -> Latents:
        u = self.patches.split(x)
        log_det = u.new_zeros(len(u))
        between = []
        for block in reversed(self.blocks):
            u, change = block(u, prefix if block.net.conditioned else None)
            log_det = log_det + change
            between.append(u.square().mean())
        mean_square = torch.stack(between[:-1]).mean() if len(between) > 1 else u.new_zeros(())
        return Latents(self.patches.join(u), log_det, mean_square)

    def inverse(
        self,
        z: Float[Tensor, "b *event"],
        prefix: Float[Tensor, "b p width"] | None,
        decode: Decoder,
        guidance: Guidance | None = None,
    ) -> tuple[Float[Tensor, "b *event"], float]:
        """Map noise to data: (x, evaluations). One layer on one token counts 1 / (layers * tokens) evaluations."""
        u = self.patches.split(z)
        spent = total = 0
        for i, block in enumerate(self.blocks):
            depth = block.net.depth
            u, evaluated = block.inverse(u, prefix, decode, guidance if i < self.guided else None)
            spent += depth * evaluated
            total += depth * block.steps
        return self.patches.join(u), spent / total
