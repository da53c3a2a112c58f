"""Pretrained autoencoders from diffusers, from a local folder or the hub."""

import importlib.util
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genbench.core import Event, Stage
from genbench.errors import ConfigError, first_line
from genbench.models.latent.encoder import Encoder, TuningSettings, grid, image_sides, in_parts
from genbench.registry import encoders
from genbench.settings import OnDisk
from genbench.storage import files, hub

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
"""The files of an AutoencoderKL."""

TUNING = TuningSettings(batch_size=16, lr=1e-4)


def constants(config: Mapping[str, Any], channels: int) -> tuple[Tensor, Tensor]:
    """Return shift and scale of the latents, (channels, 1, 1) each: latents are (mean - shift) * scale."""
    shift = config.get("latents_mean") or [config.get("shift_factor") or 0.0] * channels
    deviation = config.get("latents_std") or [1.0] * channels
    factor = config.get("scaling_factor") or 1.0
    return torch.tensor(shift).view(-1, 1, 1), factor / torch.tensor(deviation).view(-1, 1, 1)


def configuration(model: str, revision: str | None) -> dict[str, Any]:
    """Return the configuration of an AutoencoderKL, without its weights."""
    if importlib.util.find_spec("diffusers") is None:
        raise ConfigError(
            "encoder diffusers needs the package diffusers: pip install 'genbench[latent]'; "
            "model.encoder=autoencoder needs no package"
        )
    path = locate(model, revision, CONFIG)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    kind = config.get("_class_name") if isinstance(config, dict) else None
    if kind != "AutoencoderKL":
        raise ConfigError(
            f"model.encoder.model={model} is not an AutoencoderKL: its _class_name is {kind or 'missing'}"
        )
    return config


def locate(model: str, revision: str | None, name: str) -> Path:
    """Return the path of a file in a local folder or in the cache of the hub, downloading it if needed.

    Args:
        model: local folder, or name on the hub (owner/name), or a folder within it (owner/name/folder).
    """
    place, within = model, name
    if not files.expanded(model).is_dir() and model.count("/") > 1:
        owner, repository, inner = model.split("/", 2)
        place, within = f"{owner}/{repository}", f"{inner}/{name}"
    return hub.folder(place, revision, (within,), "model.encoder", "model.encoder=autoencoder") / within


def latent_shape(event: Event, settings: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shape of the latents under these settings, from the configuration alone."""
    image_sides(event, "diffusers")
    config = configuration(settings["model"], settings["revision"])
    if event.shape[0] != config["in_channels"]:
        raise ConfigError(
            f"model.encoder.model={settings['model']} is for images with {config['in_channels']} channels; this data "
            f"has {event.shape[0]} (for a folder of gray images, set data.channels=3 and data.gray=repeat)"
        )
    factor = 2 ** (len(config["block_out_channels"]) - 1)
    return grid(event, config["latent_channels"], factor, "diffusers")


@encoders.register("diffusers", version=1, shape=latent_shape)
class DiffusersVAE(Encoder):
    """Pretrained AutoencoderKL of diffusers, such as Stable Diffusion's for 256x256 color images.

    Images are rescaled: these networks expect white at 1, but genbench puts it at the center of the last bin, 1 -
    bin/2. The constants of the configuration shift and scale latents. The data must have the configured number of
    channels. Rombach et al., 2022, "High-resolution image synthesis with latent diffusion models",
    https://arxiv.org/abs/2112.10752.

    Args:
        model: name on the hub (owner/name, or owner/name/folder), or local folder with config.json and weights in
            safetensors.
        revision: branch, tag or commit on the hub; only a commit never changes.
        posterior: whether models learn a fresh sample of the posterior at each step, or always its mean.

    Raises:
        ConfigError: if the package, the configuration or the weights are missing, or do not fit the data.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        event: Event,
        *,
        model: Annotated[str, OnDisk(or_name=True)] = "stabilityai/sd-vae-ft-mse",
        revision: str | None = None,
        tuning: TuningSettings = TUNING,
        posterior: Literal["mean", "sample"] = "mean",
    ) -> None:
        shape = latent_shape(event, {"model": model, "revision": revision})
        super().__init__(event, shape)
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

        self.model, self.revision, self.samples_posterior = model, revision, posterior == "sample"
        self.tuning, self.white = tuning, 1 - event.bin / 2
        config = configuration(model, revision)
        self.vae: Any = AutoencoderKL.from_config(config)
        shift, scale = constants(config, shape[0])
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)
        self.requires_grad_(False)

    @property
    def decoder(self) -> nn.Module:
        return self.vae.decoder

    def load(self) -> None:
        """Load the weights from the folder or the hub."""
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

        path = locate(self.model, self.revision, WEIGHTS)
        try:
            loaded = AutoencoderKL.from_pretrained(
                path.parent, local_files_only=True, use_safetensors=True, low_cpu_mem_usage=False
            )
            self.vae.load_state_dict(loaded.state_dict())
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise ConfigError(f"{path} does not hold the weights of this AutoencoderKL: {first_line(error)}") from error

    def encode(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b *latent"]:
        return self.moments(x).chunk(2, 1)[0]

    def moments(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b channels *side"]:
        def both(part: Tensor) -> Tensor:
            posterior = self.vae.encode(part / self.white).latent_dist
            return torch.cat([(posterior.mean - self.shift) * self.scale, posterior.std * self.scale], 1)

        return in_parts(both, x, self.event.dims)

    def decode(self, z: Float[Tensor, "b *latent"]) -> Float[Tensor, "b *event"]:
        def image(part: Tensor) -> Tensor:
            return self.vae.decode(part / self.scale + self.shift).sample * self.white

        return in_parts(image, z, self.event.dims)

    def stages(self) -> Iterator[Stage]:
        self.load()
        yield from self.tuning.stages(self)
