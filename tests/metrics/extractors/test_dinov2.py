import hashlib

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F
from transformers import Dinov2Config, Dinov2Model

from genbench.errors import ConfigError
from genbench.metrics.extractors.feature_extractor import build_extractor


@pytest.fixture(scope="module")
def network():
    """A smaller network of transformers for images of 518 pixels, as published, with random weights."""
    torch.manual_seed(0)
    config = Dinov2Config(image_size=518, patch_size=14, hidden_size=128, num_hidden_layers=2, num_attention_heads=2)
    network = Dinov2Model(config).eval().requires_grad_(False)
    for value in network.parameters():
        value.add_(0.1 * torch.randn_like(value))
    return network


def saved(state, path):
    """Write weights, and return the settings of an extractor that reads them."""
    save_file(state, path)
    return {"name": "dinov2", "weights": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def test_the_published_weights_have_their_meaning(data, tmp_path, network):
    """The published code samples the positions of training at 16 x 16 places, a tenth of a place further apart."""
    net = build_extractor(data, saved(network.state_dict(), tmp_path / "weights.safetensors"))
    images = torch.randint(256, (3, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    mean, scale = (torch.tensor(each)[:, None, None] for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    first, grid = network.embeddings.position_embeddings.split([1, 37**2], 1)
    grid = F.interpolate(grid.mT.unflatten(2, (37, 37)), scale_factor=(16.1 / 37, 16.1 / 37), mode="bicubic")
    network.embeddings.interpolate_pos_encoding = lambda *_: torch.cat([first, grid.flatten(2).mT], 1)
    expected = network((images / 255 - mean) / scale).last_hidden_state[:, 0]
    torch.testing.assert_close(net(images), expected, rtol=1e-4, atol=1e-4)


def test_a_file_that_holds_other_weights_is_refused(data, tmp_path, network):
    state = network.state_dict()
    missing = {name: value for name, value in state.items() if name != "encoder.layer.1.mlp.fc1.bias"}
    with pytest.raises(ConfigError, match=r"no weights of DINOv2: 1 tensors are missing.*mlp\.fc1\.bias"):
        build_extractor(data, saved(missing, tmp_path / "missing.safetensors"))
    with pytest.raises(ConfigError, match=r"no weights of DINOv2: 'embeddings\.cls_token'"):
        build_extractor(data, saved({"weight": torch.zeros(3)}, tmp_path / "other.safetensors"))
