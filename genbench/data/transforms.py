"""Transforms of whole images that keep what they show, each named by an adjective."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

Images = UInt8[Tensor, "n channels height width"]


def plain(images: Images, top: int) -> Images:
    """Leave images as they are."""
    return images


def inverted(images: Images, top: int) -> Images:
    """Turn dark into light: level k becomes top - k."""
    return top - images


def thick(images: Images, top: int) -> Images:
    """Make bright strokes two pixels wider: every pixel becomes the brightest of itself, its left and its right."""
    wide = F.pad(images, (1, 1))
    return torch.maximum(images, torch.maximum(wide[..., 2:], wide[..., :-2]))


def grey(images: Images, top: int) -> Images:
    """Take the colors away: all channels become the luma (.299, .587, .114), rounded."""
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    luma = torch.einsum("nchw,c->nhw", images.double(), weights).round().to(torch.uint8)
    return luma[:, None].expand_as(images)


TRANSFORMS: Mapping[str, Callable[[Images, int], Images]] = {
    "plain": plain,
    "inverted": inverted,
    "thick": thick,
    "grey": grey,
}
"""{adjective: (images, top level) -> images}."""
