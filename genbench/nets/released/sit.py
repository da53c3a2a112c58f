"""Released weights of SiT: the network `dit` with other parameter names and another order of coordinates."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from genbench.nets.dit import grid_positions
from genbench.nets.patches import Patches

NAMES = (
    (r"^x_embedder\.proj\.", "enter."),
    (r"^t_embedder\.mlp\.", "time."),
    (r"^y_embedder\.embedding_table\.", "label."),
    (r"^final_layer\.linear\.", "leave."),
    (r"^final_layer\.adaLN_modulation\.1\.", "condition."),
    (r"\.adaLN_modulation\.1\.", ".condition."),
    (r"\.attn\.qkv\.", ".qkv."),
    (r"\.attn\.proj\.", ".out."),
    (r"\.mlp\.fc1\.", ".up."),
    (r"\.mlp\.fc2\.", ".down."),
)
"""Patterns in SiT's names, and their replacements."""


def weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of SiT as parameters of `DiT`.

    SiT's fixed positions are sines and cosines of the column, then of the row. Positions of `DiT` are cosines and sines
    of the row, then of the column. The coordinates of tokens are permuted accordingly; outputs do not change, because
    norms have no parameters. SiT also predicts variances; they are dropped, as in SiT's sampler.

    Raises:
        KeyError: if weights are missing.
        TypeError: if the positions are not SiT's.

    Source: github.com/willisma/SiT, models.py.
    """
    state = dict(state)
    positions, kernel = state.pop("pos_embed")[0], state["x_embedder.proj.weight"]
    width, channels, patch, _ = kernel.shape
    order = torch.arange(width).view(4, -1).flip(0).flatten()
    side = patch * round(len(positions) ** 0.5)
    expected = grid_positions(Patches((channels, side, side), patch), width)
    if positions.shape != expected.shape or (positions[:, order] - expected).abs().max() > 1e-4:
        raise TypeError("its positions are not SiT's fixed positions")
    outputs = torch.arange(len(state["final_layer.linear.bias"])).view(patch, patch, -1)[..., :channels]
    outputs = outputs.permute(2, 0, 1).flatten()  # there: row, column, channel; here: channel, row, column
    found = {}
    for name, value in state.items():
        for pattern, ours in NAMES:
            name = re.sub(pattern, ours, name)
        part, kind = name.split(".")[-2:]
        if part == "enter" and kind == "weight":
            value = value.flatten(1)
        if part == "leave":
            value = value[outputs]
        if part == "condition":  # shifts, scales and gates, one after the other
            value = value.unflatten(0, (-1, width))[:, order].flatten(0, 1)
        if part in ("enter", "out", "down"):  # they write tokens
            value = value[order]
        if part in ("qkv", "up", "leave") and kind == "weight":  # they read tokens
            value = value[:, order]
        found[name] = value
    return found
