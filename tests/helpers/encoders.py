"""An encoder whose latents and reconstructions are known."""

import torch

from genbench.models.latent.encoder import Encoder


class Scaled(Encoder):
    """Latents are `factor` times the image; decoded, it has a `share` of its contrast and is brighter by `shift`."""

    def __init__(self, event, factor=1.0, share=1.0, shift=0.0):
        super().__init__(event, event.shape)
        settings = {"factor": factor, "share": share, "shift": shift}
        for name, value in settings.items():  # parameters, so that the digest depends on them
            self.register_parameter(name, torch.nn.Parameter(torch.tensor(float(value))))

    def encode(self, x):
        return self.factor * x

    def decode(self, z):
        return self.share * z / self.factor + self.shift

    @property
    def decoder(self):
        return self
