"""SiT, written down from its public source: the names and shapes of its weights, and what it computes with them."""

import math

import torch
import torch.nn.functional as F

WIDTH, HEADS, DEPTH, PATCH, CHANNELS, CLASSES, SIDE = 32, 4, 2, 2, 4, 5, 8


def position_table(side=SIDE):
    """Return sines and cosines of the column and of the row of each token."""
    frequency = 10_000 ** (-torch.arange(WIDTH // 4, dtype=torch.float64) / (WIDTH // 4))
    row, column = torch.meshgrid(*[torch.arange(side // PATCH, dtype=torch.float64)] * 2, indexing="ij")
    angles = [place.flatten()[:, None] * frequency for place in (column, row)]
    return torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], 1).float()[None]


def released(side=SIDE, classes=CLASSES):
    """Return random weights with SiT's names and shapes."""
    stream = torch.Generator().manual_seed(0)

    def linear(name, rows, columns):
        shapes = {"weight": (rows, columns), "bias": (rows,)}
        return {f"{name}.{kind}": 0.2 * torch.randn(shape, generator=stream) for kind, shape in shapes.items()}

    state = {"pos_embed": position_table(side)}
    state |= linear("x_embedder.proj", WIDTH, CHANNELS * PATCH**2)
    state["x_embedder.proj.weight"] = state["x_embedder.proj.weight"].view(WIDTH, CHANNELS, PATCH, PATCH)
    state |= linear("t_embedder.mlp.0", WIDTH, 256) | linear("t_embedder.mlp.2", WIDTH, WIDTH)
    state["y_embedder.embedding_table.weight"] = torch.randn(classes + 1, WIDTH, generator=stream)
    for i in range(DEPTH):
        state |= linear(f"blocks.{i}.attn.qkv", 3 * WIDTH, WIDTH) | linear(f"blocks.{i}.attn.proj", WIDTH, WIDTH)
        state |= linear(f"blocks.{i}.mlp.fc1", 4 * WIDTH, WIDTH) | linear(f"blocks.{i}.mlp.fc2", WIDTH, 4 * WIDTH)
        state |= linear(f"blocks.{i}.adaLN_modulation.1", 6 * WIDTH, WIDTH)
    state |= linear("final_layer.linear", 2 * CHANNELS * PATCH**2, WIDTH)
    return state | linear("final_layer.adaLN_modulation.1", 2 * WIDTH, WIDTH)


def outputs(state, t, x, label):
    """Compute SiT's velocity from its weights."""

    def linear(name, value):
        return F.linear(value, state[f"{name}.weight"], state[f"{name}.bias"])

    def modulated(value, shift, scale):
        return F.layer_norm(value, (WIDTH,), eps=1e-6) * (1 + scale[:, None]) + shift[:, None]

    h = F.conv2d(x, state["x_embedder.proj.weight"], state["x_embedder.proj.bias"], stride=PATCH)
    h = h.flatten(2).transpose(1, 2) + state["pos_embed"]
    angle = t[:, None] * 10_000 ** (-torch.arange(128) / 128)
    time = linear("t_embedder.mlp.2", F.silu(linear("t_embedder.mlp.0", torch.cat([angle.cos(), angle.sin()], 1))))
    c = F.silu(time + state["y_embedder.embedding_table.weight"][label])
    for i in range(DEPTH):
        shift1, scale1, gate1, shift2, scale2, gate2 = linear(f"blocks.{i}.adaLN_modulation.1", c).chunk(6, 1)
        qkv = linear(f"blocks.{i}.attn.qkv", modulated(h, shift1, scale1)).view(len(x), -1, 3, HEADS, WIDTH // HEADS)
        q, k, v = (part.squeeze(2).transpose(1, 2) for part in qkv.split(1, 2))
        mixed = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(WIDTH // HEADS), -1) @ v
        h = h + gate1[:, None] * linear(f"blocks.{i}.attn.proj", mixed.transpose(1, 2).flatten(2))
        up = F.gelu(linear(f"blocks.{i}.mlp.fc1", modulated(h, shift2, scale2)), approximate="tanh")
        h = h + gate2[:, None] * linear(f"blocks.{i}.mlp.fc2", up)
    tokens = linear("final_layer.linear", modulated(h, *linear("final_layer.adaLN_modulation.1", c).chunk(2, 1)))
    grid = x.shape[-1] // PATCH
    image = tokens.view(len(x), grid, grid, PATCH, PATCH, 2 * CHANNELS).permute(0, 5, 1, 3, 2, 4)
    return image.reshape(len(x), 2 * CHANNELS, *x.shape[2:])[:, :CHANNELS]
