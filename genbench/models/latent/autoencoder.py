"""Autoencoders of images, trained by genbench or shipped with weights: neither needs a download."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.core import Batch, Data, Event, Model, Normal, Samples, Stage
from genbench.errors import ConfigError, RunFailed
from genbench.models.latent.encoder import CHUNK, Encoder, TuningSettings, grid, in_blocks, in_parts
from genbench.nets.unet import Norm, zero
from genbench.registry import encoders
from genbench.settings import ByEvent, Count, Positive
from genbench.storage import tensors

TUNING = TuningSettings(batch_size=64, lr=2e-3)


class Residual(nn.Module):
    """Return skip(x) + Conv(SiLU(Norm(Conv(SiLU(Norm(x))))))."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = Norm(in_channels), nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2, self.conv2 = Norm(out_channels), zero(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.skip = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        h = self.conv1(F.silu(self.norm1(x)))
        return self.skip(x) + self.conv2(F.silu(self.norm2(h)))


def _widths(width: int, factor: int) -> list[int]:
    """Return the channels of each resolution, finest first: doubled with every halving, up to fourfold."""
    return [width * min(2**level, 4) for level in range(factor.bit_length())]


def encoder_net(channels: int, width: int, factor: int, latent: int) -> nn.Sequential:
    """Return the net from images to means and log-variances of latents."""
    widths = _widths(width, factor)
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), Residual(width, width)]
    for fine, coarse in pairwise(widths):
        layers += [nn.Conv2d(fine, coarse, 3, stride=2, padding=1), Residual(coarse, coarse)]
    last = widths[-1]
    return nn.Sequential(*layers, Norm(last), nn.SiLU(), nn.Conv2d(last, 2 * latent, 3, padding=1))


def decoder_net(channels: int, width: int, factor: int, latent: int) -> nn.Sequential:
    """Return the net from latents to images."""
    widths = _widths(width, factor)[::-1]
    layers: list[nn.Module] = [nn.Conv2d(latent, widths[0], 3, padding=1), Residual(widths[0], widths[0])]
    for coarse, fine in pairwise(widths):
        layers += [nn.Upsample(scale_factor=2), nn.Conv2d(coarse, fine, 3, padding=1), Residual(fine, fine)]
    return nn.Sequential(*layers, Norm(width), nn.SiLU(), nn.Conv2d(width, channels, 3, padding=1))


class Sizes(NamedTuple):
    """Sizes of an autoencoder, and the steps of its training."""

    channels: int
    factor: int
    width: int
    steps: int


def default_sizes(event: Event) -> Sizes:
    """Return the sizes for images of up to 16, of up to 64, and of more pixels a side."""
    side = max(event.shape[1:], default=0)
    if side <= 16:
        return Sizes(channels=2, factor=2, width=16, steps=1500)
    return Sizes(channels=4, factor=4 if side <= 64 else 8, width=32, steps=10_000)


def latent_shape(event: Event, settings: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shape of the latents under these settings."""
    factor = settings["factor"]
    if factor & (factor - 1):
        raise ConfigError(f"model.encoder.factor={factor} must be a power of two: every level halves the sides")
    return grid(event, settings["channels"], factor, "autoencoder")


@encoders.register("autoencoder", version=1, shape=latent_shape)
class Autoencoder(Encoder):
    """Convolutional autoencoder with a Gaussian posterior, trained before the model on the same training images.

    Residual convolutions lead down to a grid of latents and up again.
    Kingma and Welling, 2014, "Auto-encoding variational Bayes", https://arxiv.org/abs/1312.6114, with the small
    weight of the divergence and the grid of latents of Rombach et al., 2022, https://arxiv.org/abs/2112.10752.

    Args:
        channels: channels of the latents; by default 2 for images up to 16 pixels, else 4.
        factor: factor by which height and width shrink, a power of two; by default 2 up to 16 pixels, 4 up to 64, and 8
            above.
        width: channels of the convolutions at full resolution, doubled at every halving but at most fourfold; by
            default 16 for images up to 16 pixels, else 32.
        kl: weight of the divergence in nats per coordinate; the variance of the likelihood is kl / 2.
        steps: training steps; by default 1500 for images up to 16 pixels, 10,000 for larger ones.

    Raises:
        ConfigError: if the data is not images, the factor does not divide their sides, or only one of noise and tune
            is given.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        event: Event,
        *,
        channels: Annotated[Count | None, ByEvent(lambda event: default_sizes(event).channels)] = None,
        factor: Annotated[Count | None, ByEvent(lambda event: default_sizes(event).factor)] = None,
        width: Annotated[Count | None, ByEvent(lambda event: default_sizes(event).width)] = None,
        kl: Positive = 1e-2,
        steps: Annotated[Count | None, ByEvent(lambda event: default_sizes(event).steps)] = None,
        tuning: TuningSettings = TUNING,
    ) -> None:
        usual = default_sizes(event)
        factor, width = factor or usual.factor, width or usual.width
        shape = latent_shape(event, {"factor": factor, "channels": channels or usual.channels})
        super().__init__(event, shape)
        self.kl, self.steps, self.tuning = kl, steps or usual.steps, tuning
        self.inward = encoder_net(event.shape[0], width, factor, shape[0])
        self.outward = decoder_net(event.shape[0], width, factor, shape[0])
        # Latents are (mean - shift) / scale in each channel.
        self.register_buffer("shift", torch.zeros(shape[0], 1, 1))
        self.register_buffer("scale", torch.ones(shape[0], 1, 1))

    @property
    def decoder(self) -> nn.Module:
        return self.outward

    def posterior(self, x: Float[Tensor, "b *event"]) -> tuple[Float[Tensor, "b *latent"], Float[Tensor, "b *latent"]]:
        """Return mean and log-variance of the latents of each image, before they are scaled."""
        mean, log_variance = self.inward(x).chunk(2, 1)
        return mean, log_variance.clamp(-20, 10)

    def encode(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b *latent"]:
        return in_parts(lambda part: (self.posterior(part)[0] - self.shift) / self.scale, x, self.event.dims)

    def decode(self, z: Float[Tensor, "b *latent"]) -> Float[Tensor, "b *event"]:
        return in_parts(lambda part: self.outward(part * self.scale + self.shift), z, self.event.dims)

    def stages(self) -> Iterator[Stage]:
        self.requires_grad_(True)
        yield Stage(Reconstruction(self, self.kl), "reconstruction", self.tuning.plan(self.steps))
        self.requires_grad_(False)
        yield from self.tuning.stages(self)

    @torch.no_grad()
    def calibrate(self, data: Data) -> None:
        """Measure mean and standard deviation of every channel of the latents on up to 10,000 training images."""
        count = min(10_000, data.train.size or 10_000)
        images = in_blocks(data.train, data.space, count, max(1, CHUNK // self.event.dims))
        mean = torch.cat([self.posterior(x.to(self.shift.device))[0] for x in images]).double()
        variance, center = torch.var_mean(mean, (0, 2, 3), keepdim=True)
        for channel, value in enumerate(variance.flatten().tolist()):
            if not 0 < value < float("inf"):
                fault = "the same for all images" if value == 0 else "not finite"
                raise RunFailed(
                    f"encoder: channel {channel} of the latents is {fault}; lower model.encoder.channels or .lr"
                )
        self.shift.copy_(center[0])
        self.scale.copy_(variance[0].sqrt())


class Example(NamedTuple):
    """Images, and the noise of their latents."""

    x: Float[Tensor, "b *event"]
    eps: Float[Tensor, "b *latent"]


class Reconstruction(Model):
    """A variational autoencoder with a Gaussian likelihood of fixed variance (Kingma and Welling, 2014).

    z = mean(x) + std(x) eps;  loss = mean (decode(z) - x)^2 + kl KL(posterior | N(0, I)) / dims

    Up to a constant, the loss is 2 s^2 / dims times the negative evidence lower bound for the likelihood
    N(decode(z), s^2) in model space, with s^2 = kl / 2.
    """

    def __init__(self, encoder: Autoencoder, kl: float) -> None:
        super().__init__()
        self.event, self.source = encoder.event, Normal(encoder.latent.shape)
        self.encoder, self.kl = encoder, kl

    def draw(self, batch: Batch, generator: torch.Generator) -> Example:
        shape = (len(batch.x), *self.encoder.latent.shape)
        return Example(batch.x, torch.randn(shape, generator=generator, device=batch.x.device))

    def loss(self, example: Example) -> dict[str, Tensor]:
        """Return the loss, the squared error per coordinate, and the divergence in nats per coordinate."""
        mean, log_variance = self.encoder.posterior(example.x)
        z = mean + (log_variance / 2).exp() * example.eps
        error = (self.encoder.outward(z) - example.x).square().mean()
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(1).mean() / 2
        divergence = divergence / self.event.dims
        return {"loss": error + self.kl * divergence, "error": error.detach(), "kl": divergence.detach()}

    def sample(self, x0: Float[Tensor, "b *source"], *, label: Int[Tensor, " b"] | None = None) -> Samples:
        return Samples(self.encoder.outward(x0), 0)


NAME = "cifar10-8x8x8"
SIZES: Mapping[str, Any] = {"channels": 8, "factor": 4, "width": 32}
"""Settings of `Autoencoder` that give 8x8 latents of 8 channels."""
SHA256 = "463a8f799e04a30234029feef1124ddd7a95ba20f14c47197b827fca4b2c6a1b"


def shipped_shape(event: Event, settings: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shape of the latents of 32x32 color images."""
    if event.shape != (3, 32, 32):
        raise ConfigError(
            f"encoder {NAME} is for color images of 32x32 pixels; this data has shape {event.shape}: choose autoencoder"
        )
    return 8, 8, 8


@encoders.register("cifar10-8x8x8", version=1, shape=shipped_shape)
class Cifar10Autoencoder(Autoencoder):
    """Autoencoder of 32x32 color images with 8x8x8 latents, whose weights ship with genbench.

    It learned the training images of a JPEG re-encoding of CIFAR-10, with the loss of `autoencoder`. Each channel of
    the latents of these images has mean 0 and variance 1. Reconstructed test images have a PSNR of 31.2 dB;
    5,000 of them have a Frechet distance of 9.2 to their originals on EfficientNet-Lite0.

    Raises:
        ConfigError: if the data is not 32x32 color images.
    """

    def __init__(self, event: Event) -> None:
        shipped_shape(event, {})
        super().__init__(event, **SIZES)

    def stages(self) -> Iterator[Stage]:
        """Load the weights and constants; nothing is trained.

        Raises:
            RunFailed: if the file is damaged.
        """
        self.load_state_dict(tensors.shipped("genbench.models.latent", NAME, SHA256))
        self.requires_grad_(False)
        yield from ()

    def calibrate(self, data: Data) -> None:
        """Keep the constants that were stored with the weights."""
