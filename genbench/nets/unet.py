"""The U-Net for images."""

from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import MinLen, MultipleOf
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint as recompute

from genbench.core import Event
from genbench.errors import ConfigError
from genbench.nets.embedding import Conditioned, Time, TimeEmbedding, label_embedding
from genbench.registry import nets
from genbench.settings import Count, Fraction, Layers, Positive


class Norm(nn.GroupNorm):
    """Group normalization with 32 groups, or fewer where a group would have less than 4 channels.

    Its output has the precision and the memory format of its input: autocast would return float32, which moves twice as
    many bytes as bfloat16, and kernels for GPUs lose channels_last.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        groups = max(g for g in (1, 2, 4, 8, 16, 32) if channels % g == 0 and (g == 1 or channels >= 4 * g))
        super().__init__(groups, channels, eps)

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        if torch.compiler.is_compiling():  # its kernels have no forward-mode derivative, and it fuses arithmetic anyway
            exact = input.to(torch.promote_types(input.dtype, torch.float32))
            parts = exact.unflatten(1, (self.num_groups, -1))
            variance, mean = torch.var_mean(parts, (2, 3, 4), unbiased=False, keepdim=True)
            normed = ((parts - mean) * (variance + self.eps).rsqrt()).flatten(1, 2)
            return (normed * self.weight[:, None, None] + self.bias[:, None, None]).to(input.dtype)
        weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
        last = input.is_contiguous(memory_format=torch.channels_last)
        if forward_ad.unpack_dual(input).tangent is not None:  # the forward-mode derivative needs this format
            input = input.contiguous()
        with torch.autocast(input.device.type, enabled=False):
            normed = F.group_norm(input, self.num_groups, weight, bias, self.eps)
        return normed.contiguous(memory_format=torch.channels_last) if last else normed


def attend(q: Float[Tensor, "b k n d"], k: Float[Tensor, "b k n d"], v: Float[Tensor, "b k n d"]) -> Tensor:
    """Return softmax(q k' / sqrt(d)) v."""
    if q.device.type == "cpu" and q.dtype == torch.bfloat16:  # the fused kernel takes 1.4 times as long here
        return torch.softmax(q @ k.transpose(2, 3) * q.shape[-1] ** -0.5, -1) @ v
    return F.scaled_dot_product_attention(q, k, v)


def zero(layer: nn.Conv2d) -> nn.Conv2d:
    """Set all parameters of a layer to zero, so that a residual block that ends in it starts as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class Residual(nn.Module):
    """Return skip(x) + Conv(Dropout(SiLU(Norm(h)))) with h = Conv(SiLU(Norm(x))) + Linear(e).

    Args:
        out_channels: channels of the result; if different, skip is a 1x1 convolution.
        embedding: size of e, the embedding of time and label.
    """

    def __init__(self, in_channels: int, out_channels: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = Norm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.shift = nn.Linear(embedding, out_channels)
        self.norm2 = Norm(out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = zero(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.skip = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Float[Tensor, "b c h w"], e: Float[Tensor, "b k"]) -> Float[Tensor, "b d h w"]:
        h = self.conv1(F.silu(self.norm1(x))) + self.shift(e)[:, :, None, None]
        h = self.conv2(self.dropout(F.silu(self.norm2(h))))
        return self.skip(x) + h


class Attention(nn.Module):
    """Return x + Conv(attention(q, k, v)) over all pixels, with 1x1 convolutions q, k, v of Norm(x).

    Args:
        head_dim: channels of each head; fewer channels form one head.
        eps: number that the norm adds to the variance.

    Raises:
        ConfigError: if the channels are not a multiple of head_dim.
    """

    def __init__(self, channels: int, head_dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.head_dim = min(head_dim, channels)
        if channels % self.head_dim:
            raise ConfigError(f"unet: attention over {channels} channels needs head_channels that divide {channels}")
        self.norm = Norm(channels, eps)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = zero(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Float[Tensor, "b c h w"], e: Float[Tensor, "b k"]) -> Float[Tensor, "b c h w"]:
        b, c, height, width = x.shape
        # In channels_last memory (b, c, h, w) is (b, h w, c), so that these reshapes copy nothing.
        heads = (c // self.head_dim, 3, self.head_dim)
        tokens = self.qkv(self.norm(x)).permute(0, 2, 3, 1).reshape(b, height * width, *heads)
        q, k, v = tokens.permute(3, 0, 2, 1, 4)
        mixed = attend(q, k, v)
        return x + self.out(mixed.transpose(1, 2).reshape(b, height, width, c).permute(0, 3, 1, 2))


class Down(nn.Module):
    """Halve height and width by a convolution of stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"], e: Float[Tensor, "b k"]) -> Float[Tensor, "b c h2 w2"]:
        return self.conv(x)


class Up(nn.Module):
    """Double height and width by repeating pixels, then convolve.

    Both together are a transposed convolution whose 4x4 kernel sums the 3x3 kernel over 2x2 windows: the same function
    with 4/9 of the multiplications.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"], e: Float[Tensor, "b k"]) -> Float[Tensor, "b c h2 w2"]:
        padded = F.pad(self.conv.weight.transpose(0, 1).flip(2, 3), (1, 1, 1, 1))
        rows = padded[:, :, 1:] + padded[:, :, :-1]
        kernel = rows[..., 1:] + rows[..., :-1]
        return F.conv_transpose2d(x, kernel, self.conv.bias, stride=2, padding=1)


class Stage(nn.ModuleList):
    """A sequence of blocks, each called with the image and the embedding of time and label."""

    def forward(self, x: Float[Tensor, "b c h w"], e: Float[Tensor, "b k"]) -> Float[Tensor, "b d h2 w2"]:
        for block in self:
            x = block(x, e)
        return x


def image_shape(net: str, event: Event, levels: int) -> tuple[int, int, int]:
    """Return channels, height and width of images whose sides are halved once per level after the first.

    Raises:
        ConfigError: if samples are not images, or their sides cannot be halved that often.
    """
    if not event.is_image:
        raise ConfigError(f"{net} needs images (channels, height, width), not samples of shape {event.shape}")
    channels, height, width = event.shape
    unit = 2 ** (levels - 1)
    if height % unit or width % unit:
        raise ConfigError(
            f"{net}.multipliers: {levels} levels need sides divisible by {unit}, and the images are "
            f"{height} x {width}; give fewer multipliers or resize the images"
        )
    return channels, height, width


@nets.register("unet")
class UNet(Conditioned):
    """U-Net with attention for images; defaults are the published CIFAR-10 flow-matching net (35.75 M parameters).

    Residual blocks down to the smallest level and up again, with skip connections from every output on the way down:

    e = SiLU(Linear(SiLU(Linear(frequencies(time_scale t)))) (+ the same of the interval) + label embedding)
    down, at each level: `blocks` times residual (+ attention), then halve
    middle: residual, attention, residual
    up, at each level: `blocks` + 1 times residual over [h, skip] (+ attention), then double

    Args:
        channels: channels of the first level, even.
        multipliers: channels of each level in units of `channels`; each level after the first has half the size.
        blocks: residual blocks at each level on the way down (one more on the way up).
        attention: sizes in pixels (the longer side) of the levels with attention; the middle always has it.
        head_channels: channels of an attention head.
        dropout: dropout probability inside residual blocks.
        time_scale: factor on t in [0, 1] before its embedding by sines and cosines of frequencies from 1 to 1/10000.
        checkpoint: recompute activations in the backward pass: less memory, a third more time.

    Raises:
        ConfigError: if samples are not images, or their sides cannot be halved once per level.

    References: Dhariwal and Nichol, 2021, "Diffusion models beat GANs on image synthesis"; settings of Tong et al.,
    2024, "Improving and generalizing flow-based generative models with minibatch optimal transport".
    """

    def __init__(
        self,
        event: Event,
        classes: int = 0,
        times: int = 1,
        *,
        channels: Annotated[Count, MultipleOf(2)] = 128,
        multipliers: Annotated[tuple[Count, ...], MinLen(1)] = (1, 2, 2, 2),
        blocks: Layers = 2,
        attention: tuple[Count, ...] = (16,),
        head_channels: Count = 64,
        dropout: Fraction = 0.1,
        time_scale: Positive = 1.0,
        checkpoint: bool = False,
    ) -> None:
        in_channels, height, side = image_shape("unet", event, len(multipliers))
        super().__init__()
        self.checkpoint = checkpoint
        size = 4 * channels
        self.time = TimeEmbedding(channels, size, time_scale)
        self.label = label_embedding(classes, size)
        self.interval = TimeEmbedding(channels, size, time_scale) if times == 2 else None

        def residual(in_channels: int, out_channels: int, level: int) -> Stage:
            stage = Stage([Residual(in_channels, out_channels, size, dropout)])
            if max(height, side) >> level in attention:
                stage.append(Attention(out_channels, head_channels))
            return stage

        widths = [channels * multiplier for multiplier in multipliers]
        last = len(widths) - 1
        self.enter = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.down = nn.ModuleList()
        skips = [width := channels]
        for level, out_channels in enumerate(widths):
            for _ in range(blocks):
                self.down.append(residual(width, out_channels, level))
                skips.append(width := out_channels)
            if level != last:
                self.down.append(Stage([Down(width)]))
                skips.append(width)
        self.middle = Stage(
            [
                Residual(width, width, size, dropout),
                Attention(width, head_channels),
                Residual(width, width, size, dropout),
            ]
        )
        self.up = nn.ModuleList()
        for level, out_channels in reversed(list(enumerate(widths))):
            for block in range(blocks + 1):
                stage = residual(width + skips.pop(), out_channels, level)
                width = out_channels
                if level and block == blocks:
                    stage.append(Up(width))
                self.up.append(stage)
        self.norm = Norm(width)
        self.leave = zero(nn.Conv2d(width, in_channels, 3, padding=1))

    def forward(
        self,
        t: Time,
        x: Float[Tensor, "b c h w"],
        label: Int[Tensor, " b"] | None = None,
        interval: Time | None = None,
    ) -> Float[Tensor, "b c h w"]:
        """Return one image per sample, in the memory format of x; None stands for no label."""
        e = self.embedding(len(x), t, label, interval)
        h = self.enter(x.contiguous(memory_format=torch.channels_last))
        skips = [h]
        for stage in self.down:
            h = self._run(stage, h, e)
            skips.append(h)
        h = self._run(self.middle, h, e)
        for stage in self.up:
            h = self._run(stage, torch.cat([h, skips.pop()], 1), e)
        h = self.leave(F.silu(self.norm(h)))
        return h if x.is_contiguous(memory_format=torch.channels_last) else h.contiguous()

    def _run(self, stage: nn.Module, h: Tensor, e: Tensor) -> Tensor:
        if self.checkpoint and torch.is_grad_enabled():
            return recompute(stage, h, e, use_reentrant=False)  # type: ignore[return-value]
        return stage(h, e)
