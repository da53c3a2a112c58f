"""Autoregressive flows: affine maps of tokens whose coefficients a causal transformer reads off earlier tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from genbench.models.starflow.guidance import Affine, Guidance
from genbench.models.starflow.jacobi_decoding import Decoded, Decoder
from genbench.models.starflow.patches import Tokens
from genbench.nets.transformer import Architecture, CausalTransformer

Order = Literal["identity", "flip"]

SOFTPLUS_AT_1 = 0.541324854612918
"""softplus of this is 1."""


@dataclass(frozen=True)
class Form:
    """How a block turns outputs of its network into an affine map.

    Args:
        first: "start" feeds a learned token first, so that every token is transformed; "shift" feeds token 0 first,
            which is copied.
        scale: sigma = exp(o) or softplus(o + c), c such that sigma(0) = 1.
        clip: bound a of the soft clip a tanh(o / a) on both halves of the output; None does not clip.
    """

    first: Literal["start", "shift"]
    scale: Literal["exp", "softplus"]
    clip: float | None


class Block(nn.Module):
    """One affine autoregressive map of tokens (Zhai et al., 2024; Gu et al., 2025).

    u = order(x);   (mu_i, sigma_i) = net(u_0 .. u_{i-1});   z_i = (u_i - mu_i) / sigma_i;   undo the order
    log |det| = - sum log sigma

    Args:
        tokens: how samples are cut.
        layers: layers of the transformer.
        order: order in which tokens are seen.
        form: from network outputs to mu and sigma.
        conditioned: whether it sees the condition.
        shape: what all layers share.
    """

    def __init__(
        self, tokens: Tokens, layers: int, *, order: Order, form: Form, conditioned: bool, shape: Architecture
    ) -> None:
        super().__init__()
        self.flip = order == "flip"
        self.form = form
        self.copied = 0 if form.first == "start" else 1
        self.steps = tokens.count - self.copied
        # An input takes the place of the token it predicts; places count in the order of decoding.
        grid = tokens.grid[self.copied :]
        self.net = CausalTransformer(
            tokens.size, 2 * tokens.size, layers, grid=grid, conditioned=conditioned, shape=shape
        )
        if form.first == "start":
            self.start = nn.Parameter(1e-2 * torch.randn(1, 1, tokens.size))

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
        """Map noise to data, by the given decoding, with guidance where the block is conditioned."""
        z = z.flip(1) if self.flip else z
        first, rest = self._first(z), z[:, self.copied :]
        if not self.net.conditioned:
            prefix = guidance = None
        if guidance is not None:
            prefix = torch.cat([_some(prefix), guidance.null])
        cache = self.net.start(prefix)

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
        o = outputs.to(torch.promote_types(outputs.dtype, torch.float32))  # products of exponentials need the bits
        if self.form.clip is not None:
            o = self.form.clip * torch.tanh(o / self.form.clip)
        o, mu = o.chunk(2, -1)
        return Affine(mu, o if self.form.scale == "exp" else F.softplus(o + SOFTPLUS_AT_1).log())


class Latents(NamedTuple):
    """The noise a flow finds for data, the log-determinant, and the mean square of what lies between two blocks."""

    z: Float[Tensor, "b *event"]
    log_det: Float[Tensor, " b"]
    between: Float[Tensor, ""]


class Flow(nn.Module):
    """A stack of blocks between data and noise.

    Args:
        tokens: how samples are cut.
        layers: layers of each block, in the order of sampling.
        order: orders of the blocks, in the order of sampling, repeated as often as needed.
        form: from network outputs to mu and sigma.
        conditioned: which blocks see the condition: none, the first in sampling (the deep one), or all.
        shape: what all layers share.
    """

    def __init__(
        self,
        tokens: Tokens,
        layers: Sequence[int],
        *,
        order: Sequence[Order],
        form: Form,
        conditioned: Literal["none", "first", "all"],
        shape: Architecture,
    ) -> None:
        super().__init__()
        self.tokens = tokens
        self.blocks: Sequence[Block] = nn.ModuleList(  # type: ignore[assignment]
            Block(
                tokens,
                depth,
                order=order[i % len(order)],
                form=form,
                conditioned=conditioned == "all" or (conditioned == "first" and i == 0),
                shape=shape,
            )
            for i, depth in enumerate(layers)
        )

    def forward(self, x: Float[Tensor, "b *event"], prefix: Float[Tensor, "b p width"] | None = None) -> Latents:
        """Map data to noise."""
        u = self.tokens.split(x)
        log_det = u.new_zeros(len(u))
        between = []
        for block in reversed(self.blocks):
            u, change = block(u, prefix if block.net.conditioned else None)
            log_det = log_det + change
            between.append(u.square().mean())
        mean_square = torch.stack(between[:-1]).mean() if len(between) > 1 else u.new_zeros(())
        return Latents(self.tokens.join(u), log_det, mean_square)

    def inverse(
        self,
        z: Float[Tensor, "b *event"],
        prefix: Float[Tensor, "b p width"] | None,
        decode: Decoder,
        guidance: Guidance | None = None,
    ) -> tuple[Float[Tensor, "b *event"], float]:
        """Map noise to data: (x, evaluations).

        One evaluation is the whole network once over all tokens of a sample: a layer that looks at one token
        counts 1 / (layers * tokens), so that sequential decoding takes one evaluation whatever the number of tokens
        (though as many network calls as tokens a block), and Jacobi decoding the mean number of sweeps.
        """
        u = self.tokens.split(z)
        spent = 0
        total = 0
        for block in self.blocks:
            depth = block.net.depth
            u, evaluated = block.inverse(u, prefix, decode, guidance)
            spent += depth * evaluated
            total += depth * block.steps
        return self.tokens.join(u), spent / total


def _some(prefix: Tensor | None) -> Tensor:
    if prefix is None:
        raise ValueError("guidance needs a condition to move towards")
    return prefix
