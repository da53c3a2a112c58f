"""DINOv2: self-supervised features, whose distances agree better with human judgment than Inception's."""

from typing import Annotated, Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional as F

from genbench.core import Data
from genbench.errors import ConfigError, Unsupported
from genbench.metrics.extractors.feature_extractor import Network, check_images, extractor_device, pillow
from genbench.metrics.extractors.weights import Sha256, WeightFile, read
from genbench.registry import extractors
from genbench.settings import OnDisk

SIZE, PATCH, HEAD, FEATURES = 224, 14, 64, 1024
MEAN, SCALE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

FILE = WeightFile(
    "dinov2-large.safetensors",
    "https://huggingface.co/facebook/dinov2-large/resolve/47b73eefe95e8d44ec3623f8890bd894b6ea2d6c/model.safetensors",
    "399fba97a95f22c36834418bc69373364a99af3a1153da1c0fb31db567c92e23",
)
"""The published weights of ViT-L/14, under the names of transformers."""

State = Annotated[str | None, OnDisk(), f"path of {FILE.name}"]


@extractors.register("dinov2", version=2)
def dinov2(data: Data, *, weights: State = None, sha256: Sha256 = None) -> Network:
    """DINOv2 ViT-L/14: the 1024 features of its class token at 224 pixels, resized by Pillow, as published.

    The published weights, as safetensors, run in the implementation of transformers: no code is downloaded.

    Reference: Oquab et al., 2023; Stein et al., 2023.
    """
    check_images(data, "dinov2")
    file = read(FILE, weights, sha256)
    device = extractor_device()
    try:
        network = _vision_transformer(safetensors.torch.load(file.content)).eval().requires_grad_(False).to(device)
    except (SafetensorError, KeyError, RuntimeError, ValueError) as error:
        raise ConfigError(f"{FILE.name} holds no weights of DINOv2: {' '.join(str(error).split())[:120]}") from error
    mean, scale = (torch.tensor(each, device=device)[:, None, None] for each in (MEAN, SCALE))

    def net(x: Tensor) -> Tensor:
        return network((x / 255 - mean) / scale).last_hidden_state[:, 0]

    return Network("dinov2", file.sha256, net, rule=pillow, size=SIZE, num_features=FEATURES)


def _vision_transformer(state: dict[str, Tensor]) -> Any:
    """Return the network for images of 224 pixels with these weights."""
    try:
        from transformers import Dinov2Config, Dinov2Model
    except ImportError as error:
        raise Unsupported("transformers is not installed: pip install 'genbench[dinov2]'") from error
    width = state["embeddings.cls_token"].shape[-1]
    depth = 1 + max(int(name.split(".")[2]) for name in state if name.startswith("encoder.layer."))
    config = Dinov2Config(
        image_size=SIZE,
        patch_size=PATCH,
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=width // HEAD,
    )
    position = "embeddings.position_embeddings"
    tensors = {**state, position: _at_size(state[position])}
    load: Any = Dinov2Model.from_pretrained  # it returns two values with output_loading_info=True
    network, found = load(None, config=config, state_dict=tensors, output_loading_info=True)
    if wrong := [*found["missing_keys"], *found["unexpected_keys"], *found["mismatched_keys"]]:
        raise ValueError(f"{len(wrong)} tensors are missing, unknown or of another shape, such as {wrong[0]}")
    return network


def _at_size(embedding: Tensor) -> Tensor:
    """Resize the position embeddings from the size of training, as the published code does at every call."""
    first, patches = embedding[:, :1], embedding[:, 1:]
    side = round(patches.shape[1] ** 0.5)
    scale = (SIZE // PATCH + 0.1) / side  # with this offset, which changes where the published code samples
    grid = patches.unflatten(1, (side, side)).permute(0, 3, 1, 2)
    resized = F.interpolate(grid, scale_factor=(scale, scale), mode="bicubic")
    return torch.cat([first, resized.flatten(2).mT], 1)
