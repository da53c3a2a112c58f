"""An autoencoder of CIFAR-10 whose weights ship with genbench: the same latents on every machine.

`python benchmarks/features/autoencoder.py ARCHIVE --to FOLDER` made the weights.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from genbench.core import Data, Event, Stage
from genbench.errors import ConfigError
from genbench.models.latent.autoencoder import Autoencoder
from genbench.registry import encoders
from genbench.storage import tensors

NAME = "cifar10-8x8x8"
SIZES: Mapping[str, Any] = {"channels": 8, "factor": 4, "width": 32}
"""Settings of `Autoencoder` that give 8x8 latents of 8 channels."""
SHA256 = "463a8f799e04a30234029feef1124ddd7a95ba20f14c47197b827fca4b2c6a1b"


def latent_shape(event: Event, settings: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shape of the latents of 32x32 color images."""
    if event.shape != (3, 32, 32):
        raise ConfigError(
            f"encoder {NAME} is for color images of 32x32 pixels; this data has shape {event.shape}: choose autoencoder"
        )
    return 8, 8, 8


@encoders.register("cifar10-8x8x8", version=1, shape=latent_shape)
class Cifar10Autoencoder(Autoencoder):
    """Autoencoder of 32x32 color images with 8x8x8 latents, whose weights ship with genbench.

    It learned the training images of a JPEG re-encoding of CIFAR-10, with the loss of `autoencoder`. Each channel of
    the latents of these images has mean 0 and variance 1. Reconstructed test images have a PSNR of 31.2 dB;
    5,000 of them have a Frechet distance of 9.2 to their originals on EfficientNet-Lite0.

    Raises:
        ConfigError: if the data is not 32x32 color images.
    """

    def __init__(self, event: Event) -> None:
        latent_shape(event, {})
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
