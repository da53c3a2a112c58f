import hashlib

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from genbench.errors import ConfigError
from genbench.metrics.extractors.feature_extractor import build_extractor

WIDTH, DEPTH, SIDE = 128, 2, 37


def published_state():
    """Return random weights under the names of the published file, of a smaller network."""
    stream = torch.Generator().manual_seed(0)

    def random(*shape):
        return 0.1 * torch.randn(*shape, generator=stream)

    state = {"embeddings.cls_token": random(1, 1, WIDTH), "embeddings.mask_token": random(1, WIDTH)}
    state |= {"embeddings.position_embeddings": random(1, 1 + SIDE**2, WIDTH)}
    state |= {"layernorm.weight": random(WIDTH), "layernorm.bias": random(WIDTH)}
    patches = "embeddings.patch_embeddings.projection"
    state |= {f"{patches}.weight": random(WIDTH, 3, 14, 14), f"{patches}.bias": random(WIDTH)}
    linear = {f"attention.attention.{name}": (1, 1) for name in ("query", "key", "value")}
    linear |= {"attention.output.dense": (1, 1), "mlp.fc1": (4, 1), "mlp.fc2": (1, 4)}
    for i in range(DEPTH):
        for name, (out, size) in linear.items():
            state[f"encoder.layer.{i}.{name}.weight"] = random(out * WIDTH, size * WIDTH)
            state[f"encoder.layer.{i}.{name}.bias"] = random(out * WIDTH)
        for name in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"):
            state[f"encoder.layer.{i}.{name}"] = 1 + random(WIDTH)
        for name in ("layer_scale1.lambda1", "layer_scale2.lambda1"):
            state[f"encoder.layer.{i}.{name}"] = 1 + random(WIDTH)
    return state


def class_token(state, x):
    """The network as its paper describes it: pre-norm blocks with layer scale, heads of 64, embeddings at 16 x 16."""

    def linear(name, x):
        return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(name, x):
        return F.layer_norm(x, (WIDTH,), state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)

    def heads(x):
        return x.reshape(len(x), -1, WIDTH // 64, 64).transpose(1, 2)

    projection, position = "embeddings.patch_embeddings.projection", state["embeddings.position_embeddings"]
    patches = F.conv2d(x, state[f"{projection}.weight"], state[f"{projection}.bias"], stride=14)
    tokens = torch.cat([state["embeddings.cls_token"].expand(len(x), -1, -1), patches.flatten(2).mT], 1)
    grid = position[:, 1:].reshape(1, SIDE, SIDE, WIDTH).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, scale_factor=(16.1 / SIDE, 16.1 / SIDE), mode="bicubic")
    tokens = tokens + torch.cat([position[:, :1], grid.flatten(2).mT], 1)
    for i in range(DEPTH):
        layer = f"encoder.layer.{i}"
        inner = norm(f"{layer}.norm1", tokens)
        q, k, v = (heads(linear(f"{layer}.attention.attention.{name}", inner)) for name in ("query", "key", "value"))
        seen = ((q @ k.mT / 8).softmax(-1) @ v).transpose(1, 2).flatten(2)
        seen = linear(f"{layer}.attention.output.dense", seen)
        tokens = tokens + state[f"{layer}.layer_scale1.lambda1"] * seen
        inner = F.gelu(linear(f"{layer}.mlp.fc1", norm(f"{layer}.norm2", tokens)))
        tokens = tokens + state[f"{layer}.layer_scale2.lambda1"] * linear(f"{layer}.mlp.fc2", inner)
    return norm("layernorm", tokens)[:, 0]


def saved(state, path):
    """Write weights, and return the settings of an extractor that reads them."""
    save_file(state, path)
    return {"name": "dinov2", "weights": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def test_the_published_weights_have_their_meaning(data, tmp_path):
    state = published_state()
    net = build_extractor(data, saved(state, tmp_path / "weights.safetensors"))
    stream = torch.Generator().manual_seed(1)
    images = torch.randint(256, (3, 3, 224, 224), dtype=torch.uint8, generator=stream)  # of the size of the network
    mean, scale = (torch.tensor(each)[:, None, None] for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    expected = class_token(state, (images / 255 - mean) / scale)
    torch.testing.assert_close(net(images), expected, rtol=1e-4, atol=1e-4)


def test_a_file_that_holds_other_weights_is_refused(data, tmp_path):
    state = published_state()
    missing = {name: value for name, value in state.items() if name != "encoder.layer.1.mlp.fc1.bias"}
    with pytest.raises(ConfigError, match=r"no weights of DINOv2: 1 tensors are missing.*mlp\.fc1\.bias"):
        build_extractor(data, saved(missing, tmp_path / "missing.safetensors"))
    with pytest.raises(ConfigError, match=r"no weights of DINOv2: 'embeddings\.cls_token'"):
        build_extractor(data, saved({"weight": torch.zeros(3)}, tmp_path / "other.safetensors"))
