"""Released weights: names and order of published parameters, converted to genbench's networks."""

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from genbench.nets.ddpmpp import filter_of, sines
from genbench.nets.dit import grid_positions
from genbench.nets.patches import Patches

TORCHCFM: tuple[tuple[str, str | Callable[[re.Match], str]], ...] = (
    (r"^module\.", ""),  # training on several GPUs adds it
    (r"^time_embed\.", "time."),
    (r"^input_blocks\.0\.0\.", "enter."),
    (r"^input_blocks\.(\d+)\.", lambda found: f"down.{int(found[1]) - 1}."),
    (r"^middle_block\.", "middle."),
    (r"^output_blocks\.", "up."),
    (r"^out\.0\.", "norm."),
    (r"^out\.2\.", "leave."),
    (r"\.in_layers\.0\.", ".norm1."),
    (r"\.in_layers\.2\.", ".conv1."),
    (r"\.emb_layers\.1\.", ".shift."),
    (r"\.out_layers\.0\.", ".norm2."),
    (r"\.out_layers\.3\.", ".conv2."),
    (r"\.skip_connection\.", ".skip."),
    (r"\.proj_out\.", ".out."),
    (r"\.op\.", ".conv."),
)
"""Patterns in torchcfm's names and their replacements, applied in this order."""


def torchcfm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of torchcfm's CIFAR-10 example as parameters of `UNet`.

    Convolutions over pixel sequences in its attention become 1x1 convolutions.

    Source: github.com/atong01/conditional-flow-matching, examples/images/cifar10.
    """
    renamed = {}
    for name, value in state.items():
        for pattern, ours in TORCHCFM:
            name = re.sub(pattern, ours, name)
        renamed[name] = value[..., None] if value.dim() == 3 else value
    return renamed


SIT = (
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


def sit(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
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
        for pattern, ours in SIT:
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


EDM_BLOCK = re.compile(r"(enc|dec)\.(\d+)x\d+_(block|down|up|in)(\d*)\.(\w+)\.(\w+)")
"""Names in blocks: the way, the resolution, the kind and number of the block, the layer, and the parameter."""

EDM_LAYERS = {
    **{"norm0": "norm1", "conv0": "conv1", "affine": "shift", "norm1": "norm2", "conv1": "conv2", "skip": "skip"},
    **{"norm2": "attention.norm", "qkv": "attention.qkv", "proj": "attention.out"},
}
EDM_OTHERS = (
    (r"^map_layer0\.", "embed.0."),
    (r"^map_layer1\.", "embed.2."),
    (r"^enc\.\d+x\d+_conv\.", "enter."),
    (r"^dec\.\d+x\d+_aux_norm\.", "norm."),
    (r"^dec\.\d+x\d+_aux_conv\.", "leave."),
)
"""Patterns in names outside of blocks, and their replacements."""


def edm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of EDM's DDPM++ as parameters of `DDPMPlusPlus` in `Predicts`.

    In EDM the channels of queries, keys and values alternate, and labels enter by a linear layer. The weights for EDM's
    augmentation are dropped, as in EDM's sampler.

    Raises:
        TypeError: if the network resamples by another filter.

    Source: github.com/NVlabs/edm, training/networks.py, SongUNet in EDMPrecond.
    """
    found = _renamed(state, smooth=False)
    for name, value in found.items():
        if ".qkv." in name:
            found[name] = value.unflatten(0, (-1, 3)).transpose(0, 1).flatten(0, 1)
    if "map_label.weight" in found:  # a one-hot vector times the root of the number of classes
        weight, bias = found.pop("map_label.weight"), found.pop("map_label.bias")
        rows = weight.T * weight.shape[1] ** 0.5
        found["label.weight"] = torch.cat([rows, torch.zeros_like(rows[:1])]) + bias
    return {f"net.{name}": value for name, value in found.items()}


def meanflow(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of py-meanflow's U-Net as parameters of `DDPMPlusPlus`.

    Noise is at time 1 there. The sine and cosine of w (1 - t) are linear in the sine and cosine of w t, so the first
    layer takes the change of time, and the last layer the change of sign.

    Raises:
        KeyError: if weights are missing.
        TypeError: if the network resamples by another filter.

    Source: github.com/Gsunshine/py-meanflow, meanflow/models.
    """
    found = _renamed(state, smooth=True)
    first = found["embed.0.weight"]
    by_t, by_interval = first.double().chunk(2, 1)
    by_sine, by_cosine = by_t.chunk(2, 1)
    sine, cosine = sines(torch.ones(1, dtype=torch.float64), by_t.shape[1])[0].chunk(2)
    turned = [sine * by_cosine - cosine * by_sine, sine * by_sine + cosine * by_cosine]
    found["embed.0.weight"] = torch.cat([*turned, by_interval], 1).to(first.dtype)
    return found | {name: -found[name] for name in ("leave.weight", "leave.bias")}


def _renamed(state: Mapping[str, Tensor], smooth: bool) -> dict[str, Tensor]:
    """Return weights by the names of `DDPMPlusPlus`, without the ones for augmentation and the filters."""
    order: dict[str, list[tuple[int, bool, int]]] = {"enc": [], "dec": []}
    for found in filter(None, map(EDM_BLOCK.fullmatch, state)):
        order[found[1]].append(_place(found))
    places = {way: sorted(set(blocks)) for way, blocks in order.items()}
    renamed = {}
    for name, value in state.items():
        if name == "map_augment.weight":
            continue
        found = EDM_BLOCK.fullmatch(name)
        if found is None:
            for pattern, ours in EDM_OTHERS:
                name = re.sub(pattern, ours, name)
        elif found[6] == "resample_filter":
            expected = filter_of(smooth)
            if value.shape[2:] != expected.shape or (value[0, 0] - expected).abs().max() > 1e-6:
                raise TypeError("it resamples by another filter")
            continue
        else:
            way = "down" if found[1] == "enc" else "up"
            layer = EDM_LAYERS.get(found[5], found[5])
            name = f"{way}.{places[found[1]].index(_place(found))}.{layer}.{found[6]}"
        renamed[name] = value
    return renamed


def _place(found: re.Match) -> tuple[int, bool, int]:
    """Return what orders blocks: their resolution, falls and rises before other blocks, and their number."""
    size = int(found[2])
    return (-size if found[1] == "enc" else size), found[3] == "block", int(found[4] or 0)
