"""A causal transformer over tokens of real numbers, with rotary or learned positions, a prefix and a cache."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

THETA = 10_000.0
"""Longest wavelength of the rotary embedding, in units of 2 pi tokens (Su et al., 2021)."""

Positions = Literal["rope", "learned"]
Norm = Literal["layer", "rms"]


@dataclass(frozen=True)
class Architecture:
    """What every layer of a causal transformer shares.

    Args:
        width: numbers a token has inside.
        head: numbers of one attention head; divides the width.
        positions: "rope" rotates queries and keys, "learned" adds a vector to every input.
        norm: LayerNorm, or RMSNorm.
        final_norm: whether a norm precedes the output.
        inject: how a condition enters: "prefix" puts its tokens before the first, "add" adds its one token to all.
        init: deviation of what is learned about places, at the start.
        checkpoint: whether training recomputes the activations of a layer instead of keeping them.
    """

    width: int
    head: int
    positions: Positions
    norm: Norm
    final_norm: bool
    inject: Literal["prefix", "add"]
    init: float
    checkpoint: bool


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.head = shape.head
        self.qkv = nn.Linear(shape.width, 3 * shape.width)
        self.out = nn.Linear(shape.width, shape.width)

    def forward(
        self, h: Float[Tensor, "b t width"], rotation: Float[Tensor, "2 t head"] | None
    ) -> Float[Tensor, "b t width"]:
        """Mix every token with those before it."""
        q, k, v = heads(self.qkv(h), self.head, rotation)
        return self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """One pre-norm layer: attention, then a GELU perceptron of four times the width."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.norm1 = _norm(shape)
        self.attention = Attention(shape)
        self.norm2 = _norm(shape)
        self.up = nn.Linear(shape.width, 4 * shape.width)
        self.down = nn.Linear(4 * shape.width, shape.width)

    def forward(
        self, h: Float[Tensor, "b t width"], rotation: Float[Tensor, "2 t head"] | None
    ) -> Float[Tensor, "b t width"]:
        """Return the tokens after this layer."""
        h = h + self.attention(self.norm1(h), rotation)
        return h + self.down(F.gelu(self.up(self.norm2(h))))


class LayerCache:
    """A layer that takes in a few tokens at a time: keys and values are allocated once and written in place.

    It computes what the layer computes, from the layer's own weights. They are looked up here once, since on
    one token the look-ups and calls of modules take as long as their arithmetic.

    Args:
        layer: the layer.
        positions: number of positions there will be.
    """

    def __init__(self, layer: Layer, positions: int) -> None:
        self.positions = positions
        self.head = layer.attention.head
        self.norms = (_function(layer.norm1), _function(layer.norm2))
        linears = (layer.attention.qkv, layer.attention.out, layer.up, layer.down)
        self.weights = [(linear.weight, linear.bias) for linear in linears]
        self.memory: tuple[Tensor, Tensor] | None = None

    def __call__(
        self,
        h: Float[Tensor, "b t width"],
        rotation: Float[Tensor, "2 t head"] | None,
        mask: Bool[Tensor, "t seen"] | None,
        at: int,
    ) -> Float[Tensor, "b t width"]:
        """Return what the layer makes of the tokens at positions at .. at+t-1; those before are known already."""
        norm1, norm2 = self.norms
        qkv, out, up, down = self.weights
        t = h.shape[1]
        q, k, v = heads(F.linear(norm1(h), *qkv), self.head, rotation)
        if self.memory is None:  # at the first tokens, since only they know the dtype that autocast chose
            shape = (*k.shape[:2], self.positions, self.head)
            self.memory = (k.new_empty(shape), v.new_empty(shape))
        keys, values = self.memory
        keys.narrow(2, at, t).copy_(k)
        values.narrow(2, at, t).copy_(v)
        seen = keys.narrow(2, 0, at + t), values.narrow(2, 0, at + t)
        mixed = F.scaled_dot_product_attention(q, *seen, attn_mask=mask)
        h = h + F.linear(mixed.transpose(1, 2).flatten(2), *out)
        return h + F.linear(F.gelu(F.linear(norm2(h), *up)), *down)


@dataclass
class Cache:
    """What a transformer remembers of the tokens it has seen.

    Args:
        layers: keys and values by layer.
        offset: number of prefix positions before the first token.
        added: the condition to add to every input, for nets that take it so.
    """

    layers: list[LayerCache]
    offset: int
    added: Float[Tensor, "b 1 width"] | None


class CausalTransformer(nn.Module):
    """Output i depends on the condition and on inputs 0..i; it is zero at initialisation.

    Args:
        inputs: numbers in an input token.
        outputs: numbers in an output token.
        layers: number of layers.
        grid: coordinates of each token along the axes of the data, for rotary positions.
        conditioned: whether it takes a condition.
        shape: what the layers share.
    """

    rotation: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        layers: int,
        *,
        grid: Int[Tensor, "tokens axes"],
        conditioned: bool,
        shape: Architecture,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.conditioned = conditioned
        self.inject = shape.inject if conditioned else None
        self.proj_in = nn.Linear(inputs, shape.width)
        self.depth = layers
        self.layers: Sequence[Layer] = nn.ModuleList(  # type: ignore[assignment]
            Layer(shape) for _ in range(layers)
        )
        self.norm = _norm(shape) if shape.final_norm else nn.Identity()
        self.proj_out = nn.Linear(shape.width, outputs)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)
        self.tokens = len(grid)
        self.axes = grid.shape[1] + (self.inject == "prefix")
        if shape.positions == "learned":
            self.position = nn.Parameter(shape.init * torch.randn(len(grid), shape.width))
        else:
            # One more axis tells prefix tokens apart: they sit at -P..-1 along it, and data at 0.
            places = F.pad(grid, (0, self.axes - grid.shape[1]))
            self.register_buffer("rotation", angles(places, shape.head), persistent=False)

    def forward(
        self, tokens: Float[Tensor, "b t inputs"], prefix: Float[Tensor, "b p width"] | None = None
    ) -> Float[Tensor, "b t outputs"]:
        """Return the output at every token, in one pass."""
        t = tokens.shape[1]
        h = self._embed(tokens, 0)
        if self.inject == "add" and prefix is not None:
            h = h + prefix
        before = self._before(prefix)
        if before is not None:
            h = torch.cat([before, h], 1)
        rotation = self._rotation(0, t, before)
        for layer in self.layers:
            if self.shape.checkpoint and torch.is_grad_enabled():
                h = checkpoint(layer, h, rotation, use_reentrant=False)
            else:
                h = layer(h, rotation)
        return self.proj_out(self.norm(h[:, -t:]))

    def start(self, prefix: Float[Tensor, "b p width"] | None = None) -> Cache:
        """Return the cache for a new sequence, with the prefix already in it."""
        before = self._before(prefix)
        offset = 0 if before is None else before.shape[1]
        layers = [LayerCache(layer, offset + self.tokens) for layer in self.layers]
        cache = Cache(layers, offset, prefix if self.inject == "add" else None)
        if before is not None:
            self._run(before, self._rotation(0, 0, before), cache, 0)
        return cache

    def step(self, tokens: Float[Tensor, "b t inputs"], cache: Cache, at: int) -> Float[Tensor, "b t outputs"]:
        """Return the output at tokens at .. at+t-1, which enter the cache; those before are in it already."""
        h = self._embed(tokens, at)
        if cache.added is not None:
            h = h + cache.added
        h = self._run(h, self._rotation(at, at + tokens.shape[1], None), cache, cache.offset + at)
        return self.proj_out(self.norm(h))

    def _run(self, h: Tensor, rotation: Tensor | None, cache: Cache, at: int) -> Tensor:
        t = h.shape[1]
        mask = None if t == 1 else torch.ones(t, at + t, dtype=torch.bool, device=h.device).tril(at)
        for layer in cache.layers:
            h = layer(h, rotation, mask, at)
        return h

    def _embed(self, tokens: Tensor, at: int) -> Tensor:
        h = self.proj_in(tokens).to(tokens.dtype)  # autocast or not, the residual stream keeps its bits
        return h + self.position[at : at + tokens.shape[1]] if self.shape.positions == "learned" else h

    def _before(self, prefix: Tensor | None) -> Tensor | None:
        if self.conditioned and prefix is None:
            raise ValueError("a conditioned transformer needs its condition; the null condition is one")
        return prefix if self.inject == "prefix" else None

    def _rotation(self, start: int, end: int, before: Tensor | None) -> Tensor | None:
        if self.shape.positions == "learned":
            return None
        rotation = self.rotation[:, start:end]
        if before is None:
            return rotation
        places = torch.zeros(before.shape[1], self.axes, dtype=torch.long, device=rotation.device)
        places[:, -1] = torch.arange(-before.shape[1], 0)
        return torch.cat([angles(places, self.shape.head).to(rotation), rotation], 1)


def heads(
    qkv: Float[Tensor, "b t three_width"], head: int, rotation: Float[Tensor, "2 t head"] | None
) -> tuple[Float[Tensor, "b h t head"], Float[Tensor, "b h t head"], Float[Tensor, "b h t head"]]:
    """Split into queries, keys and values of every head; rotate the first two."""
    parts = qkv.unflatten(2, (3, -1, head)).permute(2, 0, 3, 1, 4)
    q, k, v = parts.unbind()
    if rotation is not None:
        q, k = rotate(parts[:2], rotation).unbind()
    return q, k, v


def angles(places: Int[Tensor, "t axes"], head: int) -> Float[Tensor, "2 t head"]:
    """Return the cosines and signed sines by which each place rotates the pairs of a head (Su et al., 2021).

    The pairs are dealt out to the axes in turn; along every axis the wavelengths grow geometrically up to THETA.
    """
    axes = places.shape[1]
    pair = torch.arange(head // 2, device=places.device)
    frequency = THETA ** -(pair // axes / max(1, -(-(head // 2) // axes)))
    angle = places[:, pair % axes] * frequency
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.cat([cos, cos], 1), torch.cat([-sin, sin], 1)])


def rotate(x: Float[Tensor, "*b t head"], rotation: Float[Tensor, "2 t head"]) -> Float[Tensor, "*b t head"]:
    """Rotate the pairs (i, i + head/2) of every head."""
    cos, sin = rotation.to(x.dtype)
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


def _norm(shape: Architecture) -> nn.LayerNorm | nn.RMSNorm:
    return nn.LayerNorm(shape.width) if shape.norm == "layer" else nn.RMSNorm(shape.width, eps=1e-6)


def _function(norm: nn.LayerNorm | nn.RMSNorm) -> Callable[[Tensor], Tensor]:
    shape, weight = norm.normalized_shape, norm.weight
    if isinstance(norm, nn.RMSNorm):
        return lambda h: torch.rms_norm(h, shape, weight, norm.eps)
    bias, eps = norm.bias, norm.eps
    return lambda h: torch.layer_norm(h, shape, weight, bias, eps)
