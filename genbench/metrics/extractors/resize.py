"""Resizing of images to the input size of a network, by the rules of several libraries; FID depends on them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Resize:
    """One rule.

    Args:
        name: in protocols.
        to: (images, size) -> images of that size in 0..255, each channel separately.
    """

    name: str
    to: Callable[[Tensor, int], Tensor]


def clean(images: UInt8[Tensor, "b c h w"], size: int) -> Float[Tensor, "b c s s"]:
    """Bicubic, half-pixel centers, the filter widened when shrinking, in floats, clipped: clean-fid's "clean".

    As Pillow resizes an image of floats: sums in double precision, rows first, each stage rounded to float32.
    """
    across, down = bicubic(images.shape[3], size), bicubic(images.shape[2], size)
    wide = (images.double() @ across.T.to(images.device)).float()
    return (down.to(images.device) @ wide.double()).float().clamp(0, 255)


def pillow(images: UInt8[Tensor, "b c h w"], size: int) -> Float[Tensor, "b c s s"]:
    """The same filter as Pillow applies it to 8-bit images: weights of 22 bits, each stage rounded to a gray level."""
    one = 2**22

    def stage(sums: Float64[Tensor, "..."]) -> Float64[Tensor, "..."]:
        return ((sums + one // 2) / one).floor().clamp(0, 255)

    # Sums of 8-bit values by 22-bit weights are exact in double precision.
    across, down = (
        _rounded(bicubic(side, size) * one).to(images.device) for side in (images.shape[3], images.shape[2])
    )
    return stage(down @ stage(images.double() @ across.T)).float()


def tensorflow(images: UInt8[Tensor, "b c h w"], size: int) -> Float[Tensor, "b c s s"]:
    """Bilinear without half-pixel centers or antialiasing, as in TensorFlow 1: the original FID, torch-fidelity."""
    x = images.float()
    low, high, part = _between(x.shape[3], size, x.device)
    left = x[..., low]
    x = left + (x[..., high] - left) * part
    low, high, part = _between(x.shape[2], size, x.device)
    top = x[..., low, :]
    return top + (x[..., high, :] - top) * part[:, None]


def antialiased(images: UInt8[Tensor, "b c h w"], size: int) -> Float[Tensor, "b c s s"]:
    """Bilinear with half-pixel centers, antialiased: torchmetrics from 1.8 on."""
    return F.interpolate(images.float(), (size, size), mode="bilinear", align_corners=False, antialias=True)


CLEAN = Resize("bicubic antialiased (clean-fid)", clean)
PILLOW = Resize("bicubic antialiased 8-bit (Pillow)", pillow)
TENSORFLOW = Resize("bilinear (TensorFlow 1)", tensorflow)
ANTIALIASED = Resize("bilinear antialiased (torchmetrics)", antialiased)


@lru_cache(maxsize=16)
def bicubic(size: int, to: int) -> Float64[Tensor, "to size"]:
    """Return the matrix that resizes a line by Keys' cubic filter with a = -1/2, at least as wide as a target pixel."""
    scale = size / to
    wide = max(scale, 1.0)
    matrix = torch.zeros(to, size, dtype=torch.float64)
    for i in range(to):
        center = (i + 0.5) * scale
        first, last = max(int(center - 2 * wide + 0.5), 0), min(int(center + 2 * wide + 0.5), size)
        weights = [_cubic((j - center + 0.5) / wide) for j in range(first, last)]
        total = sum(weights)
        matrix[i, first:last] = torch.tensor([weight / total for weight in weights], dtype=torch.float64)
    return matrix


def _cubic(x: float) -> float:
    x = abs(x)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    return ((-0.5 * x + 2.5) * x - 4) * x + 2 if x < 2 else 0.0


def _rounded(x: Float64[Tensor, "..."]) -> Float64[Tensor, "..."]:
    """Round halves away from zero."""
    return x.sign() * (x.abs() + 0.5).floor()


def _between(size: int, to: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each target pixel the two source pixels it lies between, and its distance from the first."""
    place = torch.arange(to, dtype=torch.float32) * torch.tensor(size / to, dtype=torch.float32)
    low = place.long()
    return low.to(device), (low + 1).clamp(max=size - 1).to(device), (place - low).to(device)
