"""Speed of transformer flows: sampling with a preallocated cache, with a concatenating cache, and by Jacobi iteration;
training compared with a plain transformer of the same shape.

    python benchmarks/perf/tarflow.py [--model tarflow] [--threads 1] [--steps 300] [--weights FILE] > TABLE.md

First trains a flow of 256 tokens (32x32 patches of two photographs from scikit-learn, patch 2) and prints its
likelihood: on untrained weights Jacobi decoding would be fast for the wrong reason. Methods alternate within each
round, and ratios are medians over rounds, so that other load slows all of them equally. With one thread, CPU time is
measured, which other processes do not affect.
"""

import argparse
import copy
import math
import statistics
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
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
"""Default number of training steps."""

JACOBI = [(64, 8e-3), (32, 8e-3), (128, 8e-3), (64, 2e-3), (64, 3e-2)]
"""Windows and tolerances; the first pair is the default, and the only one measured on batches."""


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


def trained(name: str, steps: int, weights: Path | None) -> TransformerFlow:
    """Train the flow, or load weights saved by an earlier run with the same arguments."""
    torch.manual_seed(0)
    model = call(models[name].build, EVENT, Normal(EVENT.shape), settings=bind(models[name].build, SETTINGS, name))
    if weights and weights.exists():
        model.load_state_dict(torch.load(weights, weights_only=True))
    else:
        data, generator = Patches(), torch.Generator().manual_seed(0)
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.95), weight_decay=1e-4)
        rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps)
        for _ in range(steps):
            optimizer.zero_grad()
            model.loss(model.draw(data.batch(16, generator), generator))["loss"].backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            rate.step()
        if weights:
            torch.save(model.state_dict(), weights)
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


def rounds(methods: dict[str, Callable[[], object]], count: int) -> dict[str, list[float]]:
    """Time every method once per round, after a warm-up round."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in methods}
    for turn in range(count + 1):
        for name, method in methods.items():
            start = clock()
            method()
            if turn:
                times[name].append(clock() - start)
    return times


def ratio(times: dict[str, list[float]], slow: str, fast: str) -> float:
    """Return the median over rounds of the speed-up."""
    return statistics.median(a / b for a, b in zip(times[slow], times[fast], strict=True))


def sampling(model: TransformerFlow, batches: list[int], count: int) -> None:
    """Print samples/s, speed-ups and errors of the sampling methods."""
    x0 = noise(model.source, max(batches), 0)
    exact = EXACT
    truth = copy.deepcopy(model).double().sample(x0[:exact].double(), decode="sequential").x.float()
    heads = ("batch", "method", "samples/s", "against concatenating", "against sequential", "nfe", "largest error")
    print(f"\n| {' | '.join(heads)} |\n|{' ---: | --- |' + ' ---: |' * 5}")
    for batch in batches:
        z = x0[:batch]
        methods: dict[str, Callable] = {
            "concatenating": lambda z=z: (concatenating(model, z), 1.0),
            "concatenating, inference mode": lambda z=z: (torch.inference_mode()(concatenating)(model, z), 1.0),
            "sequential": lambda z=z: model.sample(z, decode="sequential"),
        }
        for window, tolerance in JACOBI[: None if batch == 1 else 1]:
            methods[f"jacobi, window {window}, tolerance {tolerance:g}"] = lambda z=z, w=window, t=tolerance: (
                model.sample(z, decode="jacobi", window=w, tolerance=t)
            )
        times = rounds(methods, count)
        for name, method in methods.items():
            x, nfe = method()
            n = min(batch, exact)
            error = (x[:n] - truth[:n]).abs().max().item()
            speed = batch / statistics.median(times[name])
            against = [ratio(times, slow, name) for slow in ("concatenating", "sequential")]
            cells = (f"{speed:.2f}", *(f"{a:.2f}" for a in against), f"{nfe:.2f}", f"{error:.1e}")
            print(f"| {batch} | {name} | {' | '.join(cells)} |", flush=True)


def beside(model: TransformerFlow, batch: int) -> tuple[Any, Tensor, Plain]:
    """Return an example, its tokens, and a plain transformer with equally many layers of the same shape."""
    example = model.draw(Patches().batch(batch, torch.Generator().manual_seed(2)), torch.Generator().manual_seed(3))
    tokens = model.flow.patches.split(example.x)
    layers = sum(SETTINGS["blocks"])
    return example, tokens, Plain(layers, SETTINGS["width"], SETTINGS["width"] // SETTINGS["head"], tokens.shape[2])


def training(model: TransformerFlow, batch: int, count: int) -> None:
    """Print the cost of a training step relative to a plain transformer."""
    example, tokens, plain = beside(model, batch)

    def step(module: nn.Module, loss: Callable[[], Tensor]) -> None:
        module.zero_grad()
        loss().backward()

    times = rounds(
        {
            "flow": lambda: step(model, lambda: model.loss(example)["loss"]),
            "plain": lambda: step(plain, lambda: plain(tokens)),
        },
        count,
    )
    flow, other = (statistics.median(times[name]) for name in ("flow", "plain"))
    print(f"\nTraining step, batch {batch}: flow {flow:.3f} s, plain transformer {other:.3f} s,", end=" ")
    print(f"flow / plain {ratio(times, 'flow', 'plain'):.2f}.")


def rows() -> list[Row]:
    """Return the rows of transformer flows."""

    @lru_cache
    def model() -> TransformerFlow:
        return trained("tarflow", STEPS, None)

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
        rounds = 5 if batch == 1 else 3
        return Row(
            name=f"tarflow-{name}-{batch}",
            work=f"{work}, {how}",
            peer=peer,
            sides=sides,
            aim=aim,
            rounds=rounds,
            threads=2,
        )

    batches = (1, 16, 64)
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


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tarflow", choices=["tarflow", "starflow"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 16, 64])
    parser.add_argument("--weights", type=Path, help="where to keep the trained weights")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = trained(arguments.model, arguments.steps, arguments.weights)
    settings = ", ".join(f"{name}={value}" for name, value in SETTINGS.items())
    clock = "processor time of one thread" if arguments.threads == 1 else f"{arguments.threads} threads"
    print(f"# Speed of {arguments.model}\n\n{settings}; 256 tokens; {bits_per_dim(model):.3f} bits/dim after", end=" ")
    print(
        f"{arguments.steps} training steps. Medians of {arguments.rounds} rounds, {clock}, torch {torch.__version__}."
    )
    training(model, 16, arguments.rounds)
    sampling(model, arguments.batches, arguments.rounds)


if __name__ == "__main__":
    main()
