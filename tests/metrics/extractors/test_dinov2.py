import pytest
import torch
from helpers.pixel_features import named
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from transformers import Dinov2Config, Dinov2Model

from genbench.errors import ConfigError
from genbench.metrics.extractors.feature_extractor import build_extractor

SIDE = 37


@pytest.fixture
def network():
    """A smaller network of transformers, whose names the published file has, for the published 37 x 37 patches."""
    torch.manual_seed(0)
    config = Dinov2Config(
        image_size=14 * SIDE, patch_size=14, hidden_size=128, num_hidden_layers=2, num_attention_heads=2
    )
    network = Dinov2Model(config).eval().requires_grad_(False)
    for value in network.parameters():
        value.add_(0.1 * torch.randn_like(value))
    return network


def saved(state, path):
    """Write weights, and return the settings of an extractor that reads them."""
    save_file(state, path)
    return named("dinov2", path)


def test_the_published_weights_have_their_meaning(data, tmp_path, network):
    """Embeddings of places are resized with the published offset of 0.1."""
    net = build_extractor(data, saved(network.state_dict(), tmp_path / "weights.safetensors"))
    stream = torch.Generator().manual_seed(1)
    images = torch.randint(256, (3, 3, 224, 224), dtype=torch.uint8, generator=stream)  # of the size of the network
    mean, scale = (torch.tensor(each)[:, None, None] for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    position = network.embeddings.position_embeddings
    grid = position[:, 1:].reshape(1, SIDE, SIDE, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, scale_factor=(16.1 / SIDE, 16.1 / SIDE), mode="bicubic").flatten(2).mT
    network.embeddings.position_embeddings = nn.Parameter(torch.cat([position[:, :1], grid], 1))
    expected = network((images / 255 - mean) / scale).last_hidden_state[:, 0]
    torch.testing.assert_close(net(images), expected, rtol=1e-4, atol=1e-4)


def test_a_file_that_holds_other_weights_is_refused(data, tmp_path, network):
    missing = {name: value for name, value in network.state_dict().items() if name != "encoder.layer.1.mlp.fc1.bias"}
    with pytest.raises(ConfigError, match=r"no weights of DINOv2: 1 tensors are missing.*mlp\.fc1\.bias"):
        build_extractor(data, saved(missing, tmp_path / "missing.safetensors"))
    with pytest.raises(ConfigError, match=r"no weights of DINOv2: 'embeddings\.cls_token'"):
        build_extractor(data, saved({"weight": torch.zeros(3)}, tmp_path / "other.safetensors"))
