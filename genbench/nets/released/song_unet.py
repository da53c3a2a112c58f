"""Released weights of EDM and MeanFlow on CIFAR-10: the network `ddpmpp` with other parameter names."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from genbench.nets.ddpmpp import filter_of, sines

BLOCK = re.compile(r"(enc|dec)\.(\d+)x\d+_(block|down|up|in)(\d*)\.(\w+)\.(\w+)")
"""Names in blocks: the way, the resolution, the kind and number of the block, the layer, and the parameter."""

LAYERS = {
    **{"norm0": "norm1", "conv0": "conv1", "affine": "shift", "norm1": "norm2", "conv1": "conv2", "skip": "skip"},
    **{"norm2": "attention.norm", "qkv": "attention.qkv", "proj": "attention.out"},
}
OTHERS = (
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
    for found in filter(None, map(BLOCK.fullmatch, state)):
        order[found[1]].append(_place(found))
    places = {way: sorted(set(blocks)) for way, blocks in order.items()}
    renamed = {}
    for name, value in state.items():
        if name == "map_augment.weight":
            continue
        found = BLOCK.fullmatch(name)
        if found is None:
            for pattern, ours in OTHERS:
                name = re.sub(pattern, ours, name)
        elif found[6] == "resample_filter":
            expected = filter_of(smooth)
            if value.shape[2:] != expected.shape or (value[0, 0] - expected).abs().max() > 1e-6:
                raise TypeError("it resamples by another filter")
            continue
        else:
            way = "down" if found[1] == "enc" else "up"
            layer = LAYERS.get(found[5], found[5])
            name = f"{way}.{places[found[1]].index(_place(found))}.{layer}.{found[6]}"
        renamed[name] = value
    return renamed


def _place(found: re.Match) -> tuple[int, bool, int]:
    """Return what orders blocks: their resolution, falls and rises before other blocks, and their number."""
    size = int(found[2])
    return (-size if found[1] == "enc" else size), found[3] == "block", int(found[4] or 0)
