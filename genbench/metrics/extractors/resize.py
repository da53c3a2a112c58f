"""Rules of resizing images to the input of a network, each channel separately, in 0..255; FID depends on them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from genbench.errors import Unsupported

Rule = Callable[[Tensor, int], Tensor]
Images = UInt8[Tensor, "b 3 h w"]
Resized = Float[Tensor, "b 3 s s"]


def clean(images: Images, size: int) -> Resized:
    """Bicubic, half-pixel centers, the filter widened when shrinking, in floats, clipped: clean-fid's "clean"."""
    return _by_clean_fid(images, size, quantize=False)


def pillow(images: Images, size: int) -> Resized:
    """The same filter as Pillow applies it to 8-bit images, rounded to gray levels."""
    return _by_clean_fid(images, size, quantize=True)


def tensorflow(images: Images, size: int) -> Resized:
    """Bilinear without half-pixel centers or antialiasing, as in TensorFlow 1: the original FID, torch-fidelity."""
    try:
        from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
    except ImportError as error:
        raise Unsupported("torch-fidelity is not installed: pip install 'genbench[fidelity]'") from error
    return interpolate_bilinear_2d_like_tensorflow1x(images.float(), (size, size), align_corners=False)


def bicubic(images: Images, size: int) -> Resized:
    """The central square, bicubic with the filter widened when shrinking, in floats that are not clipped: CMMD."""
    side = min(images.shape[-2:])
    top, left = ((length - side) // 2 for length in images.shape[-2:])
    square = images[..., top : top + side, left : left + side].float()
    return F.interpolate(square, (size, size), mode="bicubic", align_corners=False, antialias=True)


def _by_clean_fid(images: Tensor, size: int, *, quantize: bool) -> Tensor:
    from cleanfid.resize import make_resizer

    resizer = make_resizer("PIL", quantize, "bicubic", (size, size))
    with ThreadPoolExecutor() as pool:  # Pillow resizes without Python's lock
        resized = [*map(torch.from_numpy, pool.map(resizer, images.permute(0, 2, 3, 1).cpu().numpy()))]
    return torch.stack(resized).permute(0, 3, 1, 2).to(images.device).float()


NAMES: dict[Rule, str] = {
    clean: "bicubic antialiased (clean-fid)",
    pillow: "bicubic antialiased 8-bit (Pillow)",
    tensorflow: "bilinear (TensorFlow 1)",
    bicubic: "bicubic antialiased of the central square (CMMD)",
}
"""Names of the rules in protocols."""
