"""Speed of transformer flows: sampling with a preallocated cache, with a concatenating cache, and by Jacobi iteration;
training compared with a plain transformer of the same shape.

First trains a flow of 256 tokens (32x32 patches of two photographs from scikit-learn, patch 2) and states its
likelihood: on untrained weights Jacobi decoding would be fast for the wrong reason.
"""

import copy
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from harness import Row, Sides
from sklearn.datasets import load_sample_images
from torch import Tensor, nn

from genbench.core import Batch, Event, Normal
from genbench.metrics.sampling import noise
from genbench.models.starflow.autoregressive import Block
from genbench.models.starflow.transformer_flow import TransformerFlow
from genbench.nets.transformer import Layer, rotate
from genbench.registry import models
from genbench.settings import bind, call
from genbench.space import Pixels

EVENT = Event((3, 32, 32), bin=2 / 256)
SETTINGS = {"patch": 2, "width": 64, "head": 32, "blocks": [2, 2, 2, 2], "clip": 4.0}
"""256 tokens of 12 numbers. Without clipping, samples of a TARFlow trained this briefly overflow."""

EXACT = 8
"""Number of samples of a batch that are compared with the inverse in float64."""

STEPS = 300
"""Number of training steps."""


class Patches:
    """Random 32x32 patches of photographs at half their size, in [-1, 1]."""

    def __init__(self) -> None:
        photos = [torch.from_numpy(image.copy()).permute(2, 0, 1) for image in load_sample_images().images]
        halves = [F.avg_pool2d(photo.float(), 2).round() for photo in photos]
        self.images = [Pixels(256).encode(half) for half in halves]

    def batch(self, n: int, generator: torch.Generator) -> Batch:
        """Draw n patches."""
        patches = []
        for _ in range(n):
            image = self.images[int(torch.randint(len(self.images), (), generator=generator))]
            top, left = (int(torch.randint(side - 31, (), generator=generator)) for side in image.shape[1:])
            patches.append(image[:, top : top + 32, left : left + 32])
        return Batch(torch.stack(patches), torch.zeros(n, dtype=torch.long))


def trained() -> TransformerFlow:
    """Train a TARFlow."""
    torch.manual_seed(0)
    build = models["tarflow"].build
    model = call(build, EVENT, Normal(EVENT.shape), settings=bind(build, SETTINGS, "tarflow"))
    data, generator = Patches(), torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.95), weight_decay=1e-4)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        model.loss(model.draw(data.batch(16, generator), generator))["loss"].backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rate.step()
    return model


def bits_per_dim(model: TransformerFlow) -> float:
    """Return bits/dim on 64 newly drawn patches."""
    generator = torch.Generator().manual_seed(1)
    x = model.draw(Patches().batch(64, generator), generator).x
    with torch.no_grad():
        nats = -model.log_prob(x).mean().item()
    return nats / EVENT.dims / math.log(2) + 7


@torch.no_grad()
def concatenating(model: TransformerFlow, x0: Tensor) -> Tensor:
    """Invert the flow token by token with a cache that grows by concatenation, as usual implementations do."""
    tokens = model.flow.patches
    u = tokens.split(x0)
    for block in model.flow.blocks:
        u = _invert(block, u)
    return tokens.join(u)


def _invert(block: Block, z: Tensor) -> Tensor:
    net = block.net
    z = z.flip(1) if block.flip else z
    decoded = [z[:, :1]] if block.copied else [block.start.expand(len(z), -1, -1)]
    caches: list[tuple[Tensor, Tensor] | None] = [None] * len(net.layers)
    for i in range(block.steps):
        h = net.proj_in(decoded[-1])
        rotation = None
        if net.architecture.positions == "learned":
            h = h + net.position[i]
        else:
            rotation = net.rotation[:, i : i + 1]
        for j, layer in enumerate(net.layers):
            h, caches[j] = _layer(layer, h, rotation, caches[j])
        mu, log_sigma = block._affine(net.proj_out(net.norm(h)))
        k = i + block.copied
        decoded.append(mu + log_sigma.exp() * z[:, k : k + 1])
    u = torch.cat(decoded[1 - block.copied :], 1)
    return u.flip(1) if block.flip else u


def _layer(
    layer: Layer, h: Tensor, rotation: Tensor | None, cache: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    b, t, width = h.shape
    attention = layer.attention
    q, k, v = (
        part.view(b, t, width // attention.head_dim, attention.head_dim).transpose(1, 2)
        for part in attention.qkv(layer.norm1(h)).chunk(3, -1)
    )
    if rotation is not None:
        q, k = rotate(q, rotation), rotate(k, rotation)
    if cache is not None:
        k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
    mixed = F.scaled_dot_product_attention(q, k, v)
    h = h + attention.out(mixed.transpose(1, 2).reshape(b, t, width))
    return h + layer.down(F.gelu(layer.up(layer.norm2(h)))), (k, v)


class Plain(nn.Module):
    """PyTorch's own pre-norm transformer with as many layers of the same shape."""

    def __init__(self, layers: int, width: int, heads: int, size: int) -> None:
        super().__init__()
        self.proj_in = nn.Linear(size, width)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.body = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.proj_out = nn.Linear(width, size)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the mean square of the output."""
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
        return self.proj_out(self.body(self.proj_in(tokens), mask=mask, is_causal=True)).square().mean()


def beside(model: TransformerFlow, batch: int) -> tuple[Any, Tensor, Plain]:
    """Return an example, its tokens, and a plain transformer with equally many layers of the same shape."""
    example = model.draw(Patches().batch(batch, torch.Generator().manual_seed(2)), torch.Generator().manual_seed(3))
    tokens = model.flow.patches.split(example.x)
    layers = sum(SETTINGS["blocks"])
    return example, tokens, Plain(layers, SETTINGS["width"], SETTINGS["width"] // SETTINGS["head"], tokens.shape[2])


def rows() -> list[Row]:
    """Return the rows of transformer flows."""

    @lru_cache
    def model() -> TransformerFlow:
        return trained()

    def inverse(batch: int, **decoding: object) -> Callable[[], Sides]:
        def sides() -> Sides:
            flow = model()
            x0 = noise(flow.source, batch, 0)
            few = min(batch, EXACT)
            exact = copy.deepcopy(flow).double().sample(x0[:few].double(), decode="sequential").x.float()
            error = float((flow.sample(x0, **decoding).x[:few] - exact).abs().max())
            note = f"batch {batch}; largest error {error:.1e}; {bits_per_dim(flow):.3f} bits/dim"
            return Sides(lambda: flow.sample(x0, **decoding), lambda: concatenating(flow, x0), (batch, batch), note)

        return sides

    def step() -> Sides:
        flow = model()
        example, tokens, plain = beside(flow, 16)

        def trains(module: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
            def step() -> None:
                module.zero_grad()
                loss().backward()

            return step

        ours = trains(flow, lambda: flow.loss(example)["loss"])
        return Sides(ours, trains(plain, lambda: plain(tokens)), note="forward and backward, batch 16; aim: 10 % more")

    work, peer = "TARFlow of 256 tokens, a sample", "a cache that concatenates"

    def row(name: str, how: str, batch: int, aim: float | None, **decoding: object) -> Row:
        sides = inverse(batch, **decoding)
        rounds = 5 if batch < 3 else 3
        return Row(
            name=f"tarflow-{name}-{batch}",
            work=f"{work}, {how}",
            peer=peer,
            sides=sides,
            aim=aim,
            rounds=rounds,
            threads=2,
        )

    batches = (1, 2, 16, 64)
    return [
        *(row("sequential", "token by token", batch, 1.3, decode="sequential") for batch in batches),
        *(row("jacobi", "Jacobi", batch, 3.0 if batch == 1 else None, decode="jacobi") for batch in batches),
        Row(
            name="tarflow-step",
            work="TARFlow of 256 tokens, training step",
            peer="a plain transformer of the same shape",
            sides=step,
            aim=1 / 1.1,
            threads=2,
        ),
    ]
