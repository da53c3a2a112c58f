"""A causal transformer over real-valued tokens, with rotary or learned positions, a prefix and a cache."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute

THETA = 10_000.0
"""Base of the rotary frequencies (Su et al., 2021)."""

Positions = Literal["rope", "learned"]
Norm = Literal["layer", "rms"]


@dataclass(frozen=True)
class Architecture:
    """Settings that all layers of a causal transformer share.

    Args:
        width: size of a token inside the transformer.
        head_dim: size of an attention head; divides the width.
        positions: "rope" rotates queries and keys, "learned" adds a vector to every input.
        final_norm: norm before the output, if any.
        inject: how the condition enters: "prefix" puts its tokens before the first, "add" adds its one token to all.
        init: standard deviation of learned positions at initialization.
        checkpoint: whether training recomputes the activations of each layer instead of keeping them.
        pairs: number of rotated pairs of each axis of the data, and of the prefix if there is one; None lets pairs
            alternate between the axes that a transformer has.
    """

    width: int
    head_dim: int
    positions: Positions
    norm: Norm
    final_norm: Norm | None
    inject: Literal["prefix", "add"]
    init: float
    checkpoint: bool
    pairs: tuple[int, ...] | None = None


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.head_dim = architecture.head_dim
        self.qkv = nn.Linear(architecture.width, 3 * architecture.width)
        self.out = nn.Linear(architecture.width, architecture.width)

    def forward(
        self, h: Float[Tensor, "b t width"], rotation: Float[Tensor, "2 t head_dim"] | None
    ) -> Float[Tensor, "b t width"]:
        q, k, v = split_heads(self.qkv(h), self.head_dim, rotation)
        return self.out(causal_attention(q, k, v).transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """A pre-norm layer: attention, then a GELU perceptron of four times the width."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.norm1 = _norm(architecture.norm, architecture.width)
        self.attention = Attention(architecture)
        self.norm2 = _norm(architecture.norm, architecture.width)
        self.up = nn.Linear(architecture.width, 4 * architecture.width)
        self.down = nn.Linear(4 * architecture.width, architecture.width)

    def forward(
        self, h: Float[Tensor, "b t width"], rotation: Float[Tensor, "2 t head_dim"] | None
    ) -> Float[Tensor, "b t width"]:
        h = h + self.attention(self.norm1(h), rotation)
        return h + self.down(F.gelu(self.up(self.norm2(h))))


class LayerCache:
    """Runs a layer on a few new tokens at a time; keys and values are allocated once and written in place.

    Its weights are looked up once: for a single token, look-ups and calls of modules take as long as the arithmetic.

    Args:
        positions: number of prefix positions and tokens of a sequence.
        temperature: divides the attention logits of each sample; None for 1.
    """

    def __init__(self, layer: Layer, positions: int, temperature: Float[Tensor, " b"] | None = None) -> None:
        self.positions = positions
        self.head_dim = layer.attention.head_dim
        self.norms = (_norm_function(layer.norm1), _norm_function(layer.norm2))
        linears = (layer.attention.qkv, layer.attention.out, layer.up, layer.down)
        self.weights = [(linear.weight, linear.bias) for linear in linears]
        self.memory: tuple[Tensor, Tensor] | None = None
        self.temperature = temperature

    def __call__(
        self,
        h: Float[Tensor, "b t width"],
        rotation: Float[Tensor, "2 t head_dim"] | None,
        mask: Bool[Tensor, "t seen"] | None,
        at: int,
    ) -> Float[Tensor, "b t width"]:
        """Return the output at positions at .. at+t-1; all earlier positions are in the cache."""
        norm1, norm2 = self.norms
        qkv, out, up, down = self.weights
        t = h.shape[1]
        q, k, v = split_heads(F.linear(norm1(h), *qkv), self.head_dim, rotation)
        if self.temperature is not None:
            q = q / self.temperature.to(q)[:, None, None, None]
        if self.memory is None:  # allocated here because the dtype depends on autocast
            shape = (*k.shape[:2], self.positions, self.head_dim)
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
    """Keys and values of the tokens of one sequence.

    Args:
        offset: number of prefix positions before the first token.
        added: the condition that is added to every input (`inject="add"`).
    """

    layers: list[LayerCache]
    offset: int
    added: Float[Tensor, "b 1 width"] | None


class CausalTransformer(nn.Module):
    """Output i depends on the condition and on inputs 0..i; it is zero at initialization.

    Args:
        grid: coordinates of each token along the axes of the data, for rotary positions.
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
        architecture: Architecture,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.conditioned = conditioned
        self.inject = architecture.inject if conditioned else None
        self.proj_in = nn.Linear(inputs, architecture.width)
        self.depth = layers
        self.layers: Sequence[Layer] = nn.ModuleList(  # type: ignore[assignment]
            Layer(architecture) for _ in range(layers)
        )
        kind = architecture.final_norm
        self.norm = nn.Identity() if kind is None else _norm(kind, architecture.width)
        self.proj_out = nn.Linear(architecture.width, outputs)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)
        self.tokens = len(grid)
        pairs = architecture.pairs
        self.axes = len(pairs) if pairs else grid.shape[1] + (self.inject == "prefix")
        self.side = int(grid.max()) + 1 if grid.numel() and not grid.is_meta else 1
        if architecture.positions == "learned":
            self.position = nn.Parameter(architecture.init * torch.randn(len(grid), architecture.width))
        else:
            # Prefix tokens lie on an additional axis, where data tokens lie at 0.
            places = F.pad(grid, (0, self.axes - grid.shape[1]))
            self.register_buffer("rotation", rotary_embedding(places, architecture.head_dim, pairs), persistent=False)

    def forward(
        self, tokens: Float[Tensor, "b t inputs"], prefix: Float[Tensor, "b p width"] | None = None
    ) -> Float[Tensor, "b t outputs"]:
        """Return the outputs at all tokens, in one pass."""
        t = tokens.shape[1]
        h = self._embed(tokens, 0)
        if self.inject == "add" and prefix is not None:
            h = h + prefix
        prefix_tokens = self._prefix_tokens(prefix)
        if prefix_tokens is not None:
            h = torch.cat([prefix_tokens, h], 1)
        rotation = self._rotation(0, t, prefix_tokens)
        for layer in self.layers:
            if self.architecture.checkpoint and torch.is_grad_enabled():
                h = recompute(layer, h, rotation, use_reentrant=False)
            else:
                h = layer(h, rotation)
        return self.proj_out(self.norm(h[:, -t:]))

    def start(
        self, prefix: Float[Tensor, "b p width"] | None = None, temperature: Float[Tensor, " b"] | None = None
    ) -> Cache:
        """Return the cache of a new sequence, which contains the prefix."""
        prefix_tokens = self._prefix_tokens(prefix)
        offset = 0 if prefix_tokens is None else prefix_tokens.shape[1]
        layers = [LayerCache(layer, offset + self.tokens, temperature) for layer in self.layers]
        cache = Cache(layers, offset, prefix if self.inject == "add" else None)
        if prefix_tokens is not None:
            self._run_layers(prefix_tokens, self._rotation(0, 0, prefix_tokens), cache, 0)
        return cache

    def step(self, tokens: Float[Tensor, "b t inputs"], cache: Cache, at: int) -> Float[Tensor, "b t outputs"]:
        """Return the outputs at tokens at .. at+t-1 and add these to the cache, which contains all earlier tokens."""
        h = self._embed(tokens, at)
        if cache.added is not None:
            h = h + cache.added
        h = self._run_layers(h, self._rotation(at, at + tokens.shape[1], None), cache, cache.offset + at)
        return self.proj_out(self.norm(h))

    def _run_layers(self, h: Tensor, rotation: Tensor | None, cache: Cache, at: int) -> Tensor:
        t = h.shape[1]
        mask = None if t == 1 else torch.ones(t, at + t, dtype=torch.bool, device=h.device).tril(at)
        for layer in cache.layers:
            h = layer(h, rotation, mask, at)
        return h

    def _embed(self, tokens: Tensor, at: int) -> Tensor:
        h = self.proj_in(tokens).to(tokens.dtype)  # the residual stream keeps its precision under autocast
        return h + self.position[at : at + tokens.shape[1]] if self.architecture.positions == "learned" else h

    def _prefix_tokens(self, prefix: Tensor | None) -> Tensor | None:
        if self.conditioned and prefix is None:
            raise ValueError("a conditioned transformer needs a condition, such as the null condition")
        return prefix if self.inject == "prefix" else None

    def _rotation(self, start: int, end: int, prefix_tokens: Tensor | None) -> Tensor | None:
        if self.architecture.positions == "learned":
            return None
        rotation = self.rotation[:, start:end]
        if prefix_tokens is None:
            return rotation
        count = prefix_tokens.shape[1]
        dtype = torch.promote_types(rotation.dtype, torch.float32)
        places = torch.zeros(count, self.axes, dtype=dtype, device=rotation.device)
        pairs = self.architecture.pairs
        steps = torch.arange(count, device=rotation.device)
        places[:, -1] = steps - count if pairs is None else steps * self.side / count
        return torch.cat([rotary_embedding(places, self.architecture.head_dim, pairs).to(rotation), rotation], 1)


def causal_attention(
    q: Float[Tensor, "b h t d"], k: Float[Tensor, "b h t d"], v: Float[Tensor, "b h t d"]
) -> Float[Tensor, "b h t d"]:
    """Return for each token the mixture of values up to it, by softmax of the scaled products of queries and keys.

    Under vmap the fused kernel, which has no batching rule, would run once per sample: products are explicit there.
    """
    if not torch._C._functorch.is_batchedtensor(q):  # type: ignore[attr-defined]
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    t = q.shape[2]
    if t == 1:
        return v.contiguous()  # a part of larger rows would be multiplied sample by sample, each with its own weights
    future = torch.ones(t, t, dtype=torch.bool, device=q.device).triu(1)
    scores = (q @ k.transpose(2, 3)) * q.shape[3] ** -0.5
    return scores.masked_fill(future, -torch.inf).softmax(-1) @ v


def split_heads(
    qkv: Float[Tensor, "b t three_width"], head_dim: int, rotation: Float[Tensor, "2 t head_dim"] | None
) -> tuple[Float[Tensor, "b h t head_dim"], Float[Tensor, "b h t head_dim"], Float[Tensor, "b h t head_dim"]]:
    """Split into queries, keys and values of each head; rotate queries and keys."""
    parts = qkv.unflatten(2, (3, -1, head_dim)).permute(2, 0, 3, 1, 4)
    q, k, v = parts.unbind()
    if rotation is not None:
        q, k = rotate(parts[:2], rotation).unbind()
    return q, k, v


def rotary_embedding(
    places: Num[Tensor, "t axes"], head_dim: int, pairs: Sequence[int] | None = None
) -> Float[Tensor, "2 t head_dim"]:
    """Return the cosines and signed sines that rotate the pairs of a head at each place (Su et al., 2021).

    Along each axis the wavelengths grow geometrically toward THETA.

    Args:
        places: coordinates of each token.
        pairs: number of consecutive pairs of each axis; by default pair i belongs to axis i mod axes.
    """
    axes = places.shape[1]
    if pairs is None:
        pair = torch.arange(head_dim // 2, device=places.device)
        axis, exponent = pair % axes, pair // axes / max(1, -(-(head_dim // 2) // axes))
    else:
        axis = torch.cat([torch.full((count,), i, device=places.device) for i, count in enumerate(pairs)])
        dtype = places.dtype if places.is_floating_point() else torch.get_default_dtype()
        exponent = torch.cat([torch.arange(count, dtype=dtype, device=places.device) / count for count in pairs])
    angle = places[:, axis] * THETA**-exponent
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.cat([cos, cos], 1), torch.cat([-sin, sin], 1)])


def rotate(
    x: Float[Tensor, "*b t head_dim"], rotation: Float[Tensor, "2 t head_dim"]
) -> Float[Tensor, "*b t head_dim"]:
    """Rotate the pairs (i, i + head_dim/2) of every head."""
    cos, sin = rotation.to(x.dtype)
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


def _norm(kind: Norm, width: int) -> nn.LayerNorm | nn.RMSNorm:
    return nn.LayerNorm(width) if kind == "layer" else nn.RMSNorm(width, eps=1e-6)


def _norm_function(norm: nn.LayerNorm | nn.RMSNorm) -> Callable[[Tensor], Tensor]:
    shape, weight = norm.normalized_shape, norm.weight
    if isinstance(norm, nn.RMSNorm):
        return lambda h: torch.rms_norm(h, shape, weight, norm.eps)
    bias, eps = norm.bias, norm.eps
    return lambda h: torch.layer_norm(h, shape, weight, bias, eps)
