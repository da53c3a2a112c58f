"""CLIP: image features trained to match captions, which CMMD uses."""

from collections.abc import Iterator
from io import BytesIO
from typing import Annotated, Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from genbench.core import Data
from genbench.errors import ConfigError, Unsupported
from genbench.metrics.extractors.feature_extractor import Network, bicubic, check_images, extractor_device
from genbench.metrics.extractors.weights import Sha256, WeightFile, read
from genbench.registry import extractors
from genbench.settings import OnDisk

HEAD = 64
"""Dimension of each attention head."""

MEAN, SCALE = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

FILE = WeightFile(
    "ViT-L-14-336px.pt",
    "https://openaipublic.azureedge.net/clip/models/3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02/"
    "ViT-L-14-336px.pt",
    "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
)
"""The published weights, whose address contains their sha256; the copy on the Hugging Face hub is a pickle."""

NAMES = {
    "visual.class_embedding": "embeddings.class_embedding",
    "visual.positional_embedding": "embeddings.position_embedding.weight",
    "visual.conv1": "embeddings.patch_embedding",
    "visual.ln_pre": "pre_layrnorm",
    "visual.ln_post": "post_layernorm",
    "visual.transformer.resblocks.": "encoder.layers.",
    ".ln_1": ".layer_norm1",
    ".ln_2": ".layer_norm2",
    ".attn.out_proj": ".self_attn.out_proj",
    ".mlp.c_fc": ".mlp.fc1",
    ".mlp.c_proj": ".mlp.fc2",
}
"""Parts of the published names, and what transformers calls them."""

Archive = Annotated[str | None, OnDisk(), f"path of {FILE.name}"]


@extractors.register("clip", version=1)
def clip(data: Data, *, weights: Archive = None, sha256: Sha256 = None) -> Network:
    """CLIP ViT-L/14 at 336 pixels: 768 features of an image, as CMMD uses them.

    The published weights run in the implementation of transformers; images are cropped to their central square. Other
    weights are read from safetensors with the published names.

    Reference: Radford et al., 2021; Jayasumana et al., 2024.
    """
    check_images(data, "clip")
    file = read(FILE, weights, sha256)
    device = extractor_device()
    try:
        # An archive of TorchScript may hold code: only the published one is read as such, whatever a record names.
        state = published(file.content) if file.sha256 == FILE.sha256 else safetensors.torch.load(file.content)
        visual = {name: value.float() for name, value in state.items() if name.startswith("visual.")}
        network = _image_model(visual).eval().requires_grad_(False).to(device)
    except (KeyError, RuntimeError, ValueError, SafetensorError) as error:
        raise ConfigError(f"{FILE.name} holds no weights of CLIP: {' '.join(str(error).split())[:120]}") from error
    mean, scale = (torch.tensor(each, device=device)[:, None, None] for each in (MEAN, SCALE))

    def net(x: Tensor) -> Tensor:
        return network((x / 255 - mean) / scale).image_embeds

    size, features = network.config.image_size, network.config.projection_dim
    return Network("clip", file.sha256, net, rule=bicubic, size=size, num_features=features)


def published(archive: bytes) -> dict[str, Tensor]:
    """Return the weights in an archive of TorchScript, which torch reads with this loader only."""
    return torch.jit.load(BytesIO(archive), map_location="cpu").state_dict()


def _image_model(state: dict[str, Tensor]) -> Any:
    """Return the network with these weights; its sizes follow from the tensors."""
    try:
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
    except ImportError as error:
        raise Unsupported("transformers is not installed: pip install 'genbench[clip]'") from error
    width, _, patch, _ = state["visual.conv1.weight"].shape
    projection = state.pop("visual.proj").T
    config = CLIPVisionConfig(
        image_size=patch * round((len(state["visual.positional_embedding"]) - 1) ** 0.5),
        patch_size=patch,
        hidden_size=width,
        intermediate_size=4 * width,
        projection_dim=len(projection),
        num_hidden_layers=1 + max(int(name.split(".")[3]) for name in state if ".resblocks." in name),
        num_attention_heads=width // HEAD,
        hidden_act="quick_gelu",
    )
    network = CLIPVisionModelWithProjection(config)
    network.visual_projection.load_state_dict({"weight": projection})
    network.vision_model.load_state_dict(dict(_renamed(state)), strict=True)
    return network


def _renamed(state: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors under the names of transformers, which keeps queries, keys and values apart."""
    for name, value in state.items():
        renamed = name
        for published, ours in NAMES.items():
            renamed = renamed.replace(published, ours)
        if ".attn.in_proj_" in renamed:
            for part, each in zip("qkv", value.chunk(3), strict=True):
                yield renamed.replace(".attn.in_proj_", f".self_attn.{part}_proj."), each
        else:
            yield renamed, value
