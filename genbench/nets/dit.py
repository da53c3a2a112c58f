"""The transformer for images (DiT): patches as tokens, conditioned by adaptive norms that start at zero."""

from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor, nn

from genbench.core import Event
from genbench.errors import ConfigError
from genbench.nets.embedding import Conditioned, Time, TimeEmbedding, frequencies, label_embedding
from genbench.nets.patches import Patches
from genbench.registry import nets
from genbench.settings import Count, Layers

TIME_SIZE = 256
"""Cosines and sines of a time."""


class Block(nn.Module):
    """h + g1 attention(a1 norm(h) + b1), then + g2 mlp(a2 norm(h) + b2); a, b, g are functions of the condition."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.condition = nn.Linear(width, 6 * width)

    def forward(self, h: Float[Tensor, "b n width"], c: Float[Tensor, "b width"]) -> Float[Tensor, "b n width"]:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.condition(c)[:, None].chunk(6, -1)
        parts = self.qkv(modulate(self.norm(h), shift1, scale1)).unflatten(2, (3, self.heads, -1))
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        h = h + gate1 * self.out(mixed)
        return h + gate2 * self.down(F.gelu(self.up(modulate(self.norm(h), shift2, scale2)), approximate="tanh"))


def modulate(
    h: Float[Tensor, "b n width"], shift: Float[Tensor, "b 1 width"], scale: Float[Tensor, "b 1 width"]
) -> Float[Tensor, "b n width"]:
    """Return h (1 + scale) + shift."""
    return h * (1 + scale) + shift


@nets.register("dit")
class DiT(Conditioned):
    """Transformer over patches for images and latents (DiT); the defaults are S/2, 32.9 M parameters for 1,000 classes.

    Positions are fixed, and there is no causal order:

    h = Linear(patches) + positions;  h = blocks(h, c);  c = SiLU(time (+ interval) + class)
    output = Linear(norm(h) (1 + scale(c)) + shift(c)), zero at initialization

    DiT-B has width 768 and 12 heads; L has depth 24, width 1024 and 16 heads; XL has depth 28, width 1152 and 16 heads.
    On CPUs, use depth 4, width 64 and 4 heads for 16 tokens.

    Args:
        patch: side of a patch in pixels.
        width: size of a token, a multiple of 4 and of `heads`.
        depth: number of blocks.
        heads: number of attention heads.

    Raises:
        ConfigError: if samples are not images, or sizes do not divide.

    Reference: Peebles and Xie, 2023, "Scalable diffusion models with transformers"; Ma et al., 2024, "SiT".
    """

    positions: Tensor

    def __init__(
        self,
        event: Event,
        classes: int = 0,
        times: int = 1,
        *,
        patch: Count = 2,
        width: Annotated[int, Ge(4)] = 384,
        depth: Layers = 12,
        heads: Count = 6,
    ) -> None:
        if not event.is_image:
            raise ConfigError(f"dit needs images (channels, height, width), not samples of shape {event.shape}")
        if width % heads or width % 4:
            raise ConfigError(f"dit.width={width} must be a multiple of 4 and of dit.heads={heads}")
        super().__init__()
        self.patches = Patches(event.shape, patch)
        self.enter = nn.Linear(self.patches.size, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.condition, self.leave = nn.Linear(width, 2 * width), nn.Linear(width, self.patches.size)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
        for layer in (self.leave, self.condition, *(block.condition for block in self.blocks)):
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
        self.time = time_embedding(width)
        self.interval = time_embedding(width) if times == 2 else None
        self.label = label_embedding(classes, width)
        if self.label is not None:
            nn.init.normal_(self.label.weight, std=0.02)
        self.register_buffer("positions", grid_positions(self.patches, width), persistent=False)

    def forward(
        self,
        t: Time,
        x: Float[Tensor, "b c h w"],
        label: Int[Tensor, " b"] | None = None,
        interval: Time | None = None,
    ) -> Float[Tensor, "b c h w"]:
        """Return one image per sample; None stands for no label."""
        c = self.embedding(len(x), t, label, interval)
        h = self.enter(self.patches.split(x)) + self.positions
        for block in self.blocks:
            h = block(h, c)
        shift, scale = self.condition(c)[:, None].chunk(2, -1)
        return self.patches.join(self.leave(modulate(self.norm(h), shift, scale)))


def time_embedding(width: int) -> TimeEmbedding:
    """Return an embedding of times with small weights; unlike in DiT's code, biases start as torch draws them."""
    embedding = TimeEmbedding(TIME_SIZE, width)
    for layer in (embedding[0], embedding[2]):
        nn.init.normal_(layer.weight, std=0.02)  # type: ignore[arg-type]
    return embedding


def grid_positions(patches: Patches, width: int) -> Float[Tensor, "tokens width"]:
    """Return cosines and sines of the row and of the column of each token."""
    return torch.cat([frequencies(axis, width // 2) for axis in patches.grid.float().unbind(1)], 1)
