"""DDPM++, written down from the sources of EDM and py-meanflow: names and shapes of weights, and what they compute."""

import math

import torch
import torch.nn.functional as F

CHANNELS, MULTIPLIERS, BLOCKS, ATTENTION, SIDE, CLASSES = 64, (1, 2), 1, (4,), 8, 3
SIZES = {"channels": CHANNELS, "multipliers": MULTIPLIERS, "blocks": BLOCKS, "attention": ATTENTION}


def layout():
    """Return {name: (channels in, channels out, resampling, attention)} of the blocks, in the order of computation."""
    found, widths = {}, [CHANNELS * multiplier for multiplier in MULTIPLIERS]
    skips = [width := CHANNELS]
    for level, out in enumerate(widths):
        side = SIDE >> level
        if level:
            found[f"enc.{side}x{side}_down"] = (width, width, "down", False)
            skips.append(width)
        for i in range(BLOCKS):
            found[f"enc.{side}x{side}_block{i}"] = (width, out, "", side in ATTENTION)
            skips.append(width := out)
    for level in reversed(range(len(widths))):
        side = SIDE >> level
        if level == len(widths) - 1:
            found[f"dec.{side}x{side}_in0"] = (width, width, "", True)
            found[f"dec.{side}x{side}_in1"] = (width, width, "", False)
        else:
            found[f"dec.{side}x{side}_up"] = (width, width, "up", False)
        for i in range(BLOCKS + 1):
            found[f"dec.{side}x{side}_block{i}"] = (
                *(width + skips.pop(), width := widths[level]), "", side in ATTENTION and i == BLOCKS,
            )  # fmt: skip
    return found


def kernel(row):
    """Return the two-dimensional filter of a row."""
    row = torch.tensor(row)
    return (row[:, None] * row / row.sum() ** 2)[None, None]


def released(row, frequencies, times, classes=0, augment=9):
    """Return random weights with the published names and shapes.

    Args:
        row: the filter of resampling in one direction.
        frequencies: sines and cosines of each time.
    """
    stream, state = torch.Generator().manual_seed(0), {}

    def layer(name, *shape):
        fan = math.prod(shape[1:])
        state[f"{name}.weight"] = torch.randn(shape, generator=stream) / fan**0.5
        state[f"{name}.bias"] = 0.1 * torch.randn(shape[0], generator=stream)

    def norm(name, channels):
        state[f"{name}.weight"] = 1 + 0.1 * torch.randn(channels, generator=stream)
        state[f"{name}.bias"] = 0.1 * torch.randn(channels, generator=stream)

    inputs, size = frequencies * times, 4 * CHANNELS
    if classes:
        layer("map_label", inputs, classes)
    state["map_augment.weight"] = torch.randn(inputs, augment, generator=stream)
    layer("map_layer0", size, inputs)
    layer("map_layer1", size, size)
    layer(f"enc.{SIDE}x{SIDE}_conv", CHANNELS, 3, 3, 3)
    for name, (inner, outer, resampling, attention) in layout().items():
        norm(f"{name}.norm0", inner)
        layer(f"{name}.conv0", outer, inner, 3, 3)
        layer(f"{name}.affine", outer, size)
        norm(f"{name}.norm1", outer)
        layer(f"{name}.conv1", outer, outer, 3, 3)
        if inner != outer or resampling:
            layer(f"{name}.skip", outer, inner, 1, 1)
        if resampling:
            state[f"{name}.conv0.resample_filter"] = state[f"{name}.skip.resample_filter"] = kernel(row)
        if attention:
            norm(f"{name}.norm2", outer)
            layer(f"{name}.qkv", 3 * outer, outer, 1, 1)
            layer(f"{name}.proj", outer, outer, 1, 1)
    norm(f"dec.{SIDE}x{SIDE}_aux_norm", CHANNELS * MULTIPLIERS[0])
    layer(f"dec.{SIDE}x{SIDE}_aux_conv", 3, CHANNELS * MULTIPLIERS[0], 3, 3)
    return state


def network(state, x, times, frequencies, one_hot=None, alternating=True):
    """Compute the network from its weights.

    Args:
        times: the numbers that are embedded, for each sample.
        alternating: whether the channels of queries, keys and values alternate (EDM) or follow each other (MeanFlow).
    """

    def conv(name, value):
        weight = state[f"{name}.weight"]
        return F.conv2d(value, weight, state[f"{name}.bias"], padding=weight.shape[2] // 2)

    def linear(name, value):
        return value @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(name, value):
        groups = min(32, value.shape[1] // 4)
        parts = value.reshape(len(value), groups, -1)
        parts = (parts - parts.mean(2, keepdim=True)) / (parts.var(2, unbiased=False, keepdim=True) + 1e-6).sqrt()
        scale, shift = (state[f"{name}.{kind}"][:, None, None] for kind in ("weight", "bias"))
        return parts.reshape(value.shape) * scale + shift

    def resample(name, value, way):
        f = state[f"{name}.resample_filter"]
        b, c, height, width = value.shape
        value, margin = value.reshape(b * c, 1, height, width), f.shape[2] // 2 - 1
        if way == "down":
            value = F.conv2d(F.pad(value, [margin] * 4), f)[:, :, ::2, ::2]
        if way == "up":  # zeros between the pixels, then the filter, four times
            spread = value.new_zeros(b * c, 1, 2 * height, 2 * width)
            spread[:, :, ::2, ::2] = value
            value = 4 * F.conv2d(F.pad(spread, [margin + 1, margin, margin + 1, margin]), f)
        return value.reshape(b, c, *value.shape[2:])

    def attend(name, value):
        b, c, height, width = value.shape
        qkv = conv(f"{name}.qkv", norm(f"{name}.norm2", value)).flatten(2)
        q, k, v = (qkv[:, i::3] for i in range(3)) if alternating else qkv.chunk(3, 1)
        weights = torch.softmax(q.transpose(1, 2) @ k / c**0.5, 2)
        return conv(f"{name}.proj", (v @ weights.transpose(1, 2)).reshape(b, c, height, width))

    steps = torch.arange(frequencies // 2) / (frequencies // 2 - 1)
    angles = [time[:, None] * (1 / 10_000) ** steps for time in times]
    e = torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], 1)
    if one_hot is not None:
        e = e + linear("map_label", one_hot * one_hot.shape[1] ** 0.5)
    e = F.silu(linear("map_layer1", F.silu(linear("map_layer0", e))))
    h = conv(f"enc.{SIDE}x{SIDE}_conv", x)
    skips = [h]
    for name, (inner, outer, way, attention) in layout().items():
        if h.shape[1] != inner:
            h = torch.cat([h, skips.pop()], 1)
        inside, beside = F.silu(norm(f"{name}.norm0", h)), h
        if way:
            inside, beside = (resample(f"{name}.conv0", value, way) for value in (inside, beside))
        inside = conv(f"{name}.conv0", inside) + linear(f"{name}.affine", e)[:, :, None, None]
        inside = conv(f"{name}.conv1", F.silu(norm(f"{name}.norm1", inside)))
        h = (inside + (conv(f"{name}.skip", beside) if way or inner != outer else beside)) * 0.5**0.5
        h = (h + attend(name, h)) * 0.5**0.5 if attention else h
        skips += [h] if name.startswith("enc") else []
    return conv(f"dec.{SIDE}x{SIDE}_aux_conv", F.silu(norm(f"dec.{SIDE}x{SIDE}_aux_norm", h)))


def edm_denoiser(state, y, noise, frequencies, one_hot=None):
    """Compute EDM's denoiser at a noise level for each sample, for data of standard deviation 0.5."""
    s, size = 0.5, noise[:, None, None, None]
    total = (size**2 + s**2).sqrt()
    return s**2 / total**2 * y + size * s / total * network(state, y / total, [noise.log() / 4], frequencies, one_hot)
