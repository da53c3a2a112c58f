"""DDPM++, the U-Net of EDM's and of MeanFlow's CIFAR-10 models."""

import math
from typing import Annotated, Literal, TypeVar

import torch
import torch.nn.functional as F
from annotated_types import Ge, MinLen, MultipleOf
from jaxtyping import Float, Int
from torch import Tensor, nn

from genbench.core import Event
from genbench.nets.embedding import Time, add_label, label_embedding
from genbench.nets.unet import Attention, Norm, image_shape
from genbench.registry import nets
from genbench.settings import Count, Fraction, Layers

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)

EPSILON = 1e-6
"""Number that norms add to the variance."""

SHRINK = math.sqrt(0.5)
"""Factor on a sum of two branches, which keeps its variance."""

NOISE = (0.002, 80.0)
"""Smallest and largest noise level that EDM samples at. Levels beyond are embedded as these."""


def filter_of(smooth: bool) -> Float[Tensor, "k k"]:
    """Return the filter of resampling: [1, 3, 3, 1] in both directions if smooth, else [1, 1]; its sum is 1."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0] if smooth else [1.0, 1.0])
    return row.outer(row) / row.sum().square()


def sines(t: Float[Tensor, " b"], size: int) -> Float[Tensor, "b size"]:
    """Return sines and cosines of t at frequencies that fall geometrically from 1 to 1/10000, both included."""
    exponent = torch.arange(size // 2, device=t.device, dtype=t.dtype) / (size // 2 - 1)
    angle = t[:, None] * torch.exp(-math.log(10_000) * exponent)
    return torch.cat([angle.sin(), angle.cos()], 1)


def scaled(layer: Layer, gain: float = 1.0) -> Layer:
    """Draw the weights of a layer by Xavier's rule, times `gain`, and set its biases to zero."""
    nn.init.xavier_uniform_(layer.weight, gain)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


class Resample(nn.Module):
    """Halve or double height and width by a fixed filter."""

    filter: Tensor

    def __init__(self, way: Literal["down", "up"], smooth: bool) -> None:
        super().__init__()
        self.up = way == "up"
        self.register_buffer("filter", filter_of(smooth) * (4 if self.up else 1), persistent=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        channels, padding = x.shape[1], len(self.filter) // 2 - 1
        kernel = self.filter.to(x.dtype).expand(channels, 1, -1, -1)
        convolve = F.conv_transpose2d if self.up else F.conv2d
        return convolve(x, kernel, stride=2, padding=padding, groups=channels)


class Block(nn.Module):
    """Return (skip(x) + Conv(Dropout(SiLU(Norm(h))))) / sqrt(2) with h = Conv(SiLU(Norm(x))) + Linear(e).

    Attention, if any, follows; its residual sum is also divided by sqrt(2).

    Args:
        embedding: size of e, the embedding of times and label.
        resample: applied to SiLU(Norm(x)) and to x.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        embedding: int,
        dropout: float,
        *,
        resample: Resample | None = None,
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.resample = resample or nn.Identity()
        self.norm1 = Norm(in_channels, EPSILON)
        self.conv1 = scaled(nn.Conv2d(in_channels, out_channels, 3, padding=1))
        self.shift = scaled(nn.Linear(embedding, out_channels))
        self.norm2 = Norm(out_channels, EPSILON)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = scaled(nn.Conv2d(out_channels, out_channels, 3, padding=1), 1e-5)
        same = resample is None and in_channels == out_channels
        self.skip = nn.Identity() if same else scaled(nn.Conv2d(in_channels, out_channels, 1))
        self.attention = Attention(out_channels, out_channels, EPSILON) if attention else None
        if self.attention is not None:
            scaled(self.attention.qkv, math.sqrt(0.2))
            scaled(self.attention.out, 1e-5)

    def forward(self, x: Float[Tensor, "b c h w"], e: Float[Tensor, "b k"]) -> Float[Tensor, "b d h2 w2"]:
        h = self.conv1(self.resample(F.silu(self.norm1(x)))) + self.shift(e)[:, :, None, None]
        h = self.conv2(self.dropout(F.silu(self.norm2(h))))
        h = SHRINK * (self.skip(self.resample(x)) + h)
        return h if self.attention is None else SHRINK * self.attention(h, e)


@nets.register("ddpmpp")
class DDPMPlusPlus(nn.Module):
    """U-Net of score-based models (DDPM++); defaults are the net of EDM on CIFAR-10 (55.7 M parameters).

    e = SiLU(Linear(SiLU(Linear([sines(t), sines(interval)] + label embedding))))
    down, at each level: halve (except at the first), then `blocks` blocks
    middle: a block with attention, a block
    up, at each level: double (except at the smallest), then `blocks` + 1 blocks over [h, skip], the last with attention

    Args:
        channels: channels of the first convolution.
        multipliers: channels of each level in units of `channels`; each level after the first has half the size.
        blocks: blocks at each level on the way down (one more on the way up).
        attention: sizes in pixels (the longer side) of the levels with attention; the middle always has it.
        dropout: dropout probability inside blocks.
        frequencies: number of sines and cosines of each time.
        smooth: resample by the filter [1, 3, 3, 1] instead of [1, 1].
        noise_level: embed ln((1 - t) / t) / 4, a quarter of the logarithm of EDM's noise level, instead of t.

    Raises:
        ConfigError: if samples are not images, or their sides cannot be halved once per level.

    References: Song et al., 2021, "Score-based generative modeling through stochastic differential equations"; settings
    of Karras et al., 2022, "Elucidating the design space of diffusion-based generative models".
    """

    def __init__(
        self,
        event: Event,
        classes: int = 0,
        times: int = 1,
        *,
        channels: Count = 128,
        multipliers: Annotated[tuple[Count, ...], MinLen(1)] = (2, 2, 2),
        blocks: Layers = 4,
        attention: tuple[Count, ...] = (16,),
        dropout: Fraction = 0.13,
        frequencies: Annotated[int, Ge(4), MultipleOf(2)] = 128,
        smooth: bool = False,
        noise_level: bool = False,
    ) -> None:
        in_channels, height, side = image_shape("ddpmpp", event, len(multipliers))
        super().__init__()
        self.frequencies, self.noise_level, self.times = frequencies, noise_level, times
        size, inputs = 4 * channels, frequencies * times
        self.label = label_embedding(classes, inputs)
        layers = scaled(nn.Linear(inputs, size)), nn.SiLU(), scaled(nn.Linear(size, size)), nn.SiLU()
        self.embed = nn.Sequential(*layers)

        def block(inner: int, outer: int, **kind: bool | Resample) -> Block:
            return Block(inner, outer, size, dropout, **kind)  # type: ignore[arg-type]

        widths = [channels * multiplier for multiplier in multipliers]
        attends = [max(height, side) >> level in attention for level in range(len(widths))]
        self.enter = scaled(nn.Conv2d(in_channels, channels, 3, padding=1))
        self.down = nn.ModuleList()
        skips = [width := channels]
        for level, out_channels in enumerate(widths):
            if level:
                self.down.append(block(width, width, resample=Resample("down", smooth)))
                skips.append(width)
            for _ in range(blocks):
                self.down.append(block(width, out_channels, attention=attends[level]))
                skips.append(width := out_channels)
        self.up = nn.ModuleList([block(width, width, attention=True), block(width, width)])
        for level, out_channels in reversed(list(enumerate(widths))):
            if level < len(widths) - 1:
                self.up.append(block(width, width, resample=Resample("up", smooth)))
            for number in range(blocks + 1):
                last = number == blocks
                self.up.append(block(width + skips.pop(), out_channels, attention=attends[level] and last))
                width = out_channels
        self.norm = Norm(width, EPSILON)
        self.leave = scaled(nn.Conv2d(width, in_channels, 3, padding=1), 1e-5)

    def forward(
        self,
        t: Time,
        x: Float[Tensor, "b c h w"],
        label: Int[Tensor, " b"] | None = None,
        interval: Time | None = None,
    ) -> Float[Tensor, "b c h w"]:
        """Return one image per sample, in the memory format of x; None stands for no label."""
        if self.noise_level:
            t = ((1 - t) / t).clamp(*NOISE).log() / 4
        times = [t] if interval is None else [t, interval]
        e = torch.cat([sines(time.reshape(-1).expand(len(x)), self.frequencies) for time in times], 1)
        e = self.embed(add_label(e, self.label, label))
        h = self.enter(x.contiguous(memory_format=torch.channels_last))
        skips = [h]
        for block in self.down:
            h = block(h, e)
            skips.append(h)
        for block in self.up:
            if block.in_channels != h.shape[1]:
                h = torch.cat([h, skips.pop()], 1)
            h = block(h, e)
        h = self.leave(F.silu(self.norm(h)))
        return h if x.is_contiguous(memory_format=torch.channels_last) else h.contiguous()
