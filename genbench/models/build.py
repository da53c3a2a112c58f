"""Build models and encoders from a spec, with fresh weights."""

from collections.abc import Mapping
from typing import Any

import torch

from genbench.core import Data, Event, Model, Normal, require_normal
from genbench.errors import ConfigError, Unsupported
from genbench.models.latent.encoder import Encoder
from genbench.models.latent.latent_model import Latent
from genbench.registry import Registry, encoders, models
from genbench.seeds import derive
from genbench.settings import build_component


def build_model(model: Mapping[str, Any], encoder: Mapping[str, Any] | None, data: Data) -> Model:
    """Build a model with weights drawn from the global random state.

    Args:
        encoder: spec of the encoder whose latents the model learns; None if the model learns the data itself.

    Raises:
        Unsupported: if the model cannot learn this data.
        ConfigError: if a setting is too large.
    """
    if encoder is None:
        built = _built(models, model, data.event, data.source)
        if data.event.conditions and not built.keeps_conditions:
            raise Unsupported("it does not support continuous conditions; flow matching and few-step models do")
        check_labels(built)
        return built
    require_normal(data.source, data.event, "a model of latents")
    codec = build_encoder(encoder, data.event)
    latent = Latent(data.event, _built(models, model, codec.latent, Normal(codec.latent.shape)), codec)
    check_labels(latent)
    return latent


def check_labels(model: Model) -> None:
    """Raise Unsupported if a model always needs labels, whatever its settings, and its data has no classes."""
    if model.conditional and not model.event.classes:
        raise Unsupported("it always needs labels, and the data has no classes")


def build_encoder(encoder: Mapping[str, Any], event: Event) -> Encoder:
    """Build an encoder; its weights do not depend on a seed, because the runs of all seeds share it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(0, "encoder"))
        return _built(encoders, encoder, event)


def _built(registry: Registry, part: Mapping[str, Any], *args: Any) -> Any:
    try:
        return build_component(registry, part, *args)
    except (ValueError, RuntimeError) as error:  # raised by torch
        if "overflow" not in repr(error).lower():
            raise
        raise ConfigError(f"{part['name']}: a setting is too large: {error}") from error
