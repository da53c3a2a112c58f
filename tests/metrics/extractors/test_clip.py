from collections import OrderedDict

import pytest
import torch
from helpers.pixel_features import named
from safetensors.torch import save_file
from torch import nn

from genbench.errors import ConfigError
from genbench.metrics.extractors.clip import published
from genbench.metrics.extractors.feature_extractor import build_extractor

WIDTH, DEPTH, PATCH, SIDE, OUT = 128, 2, 8, 4, 32


class Block(nn.Module):
    """A block of CLIP, with torch's own attention, under the published names."""

    def __init__(self):
        super().__init__()
        self.attn = nn.MultiheadAttention(WIDTH, WIDTH // 64, batch_first=True)
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(WIDTH, 4 * WIDTH), "c_proj": nn.Linear(4 * WIDTH, WIDTH)})

    def forward(self, x):
        inner = self.ln_1(x)
        x = x + self.attn(inner, inner, inner, need_weights=False)[0]
        inner = self.mlp["c_fc"](self.ln_2(x))
        return x + self.mlp["c_proj"](inner * torch.sigmoid(1.702 * inner))


class Visual(nn.Module):
    """The image encoder of CLIP as its paper has it."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(WIDTH))
        self.positional_embedding = nn.Parameter(torch.randn(1 + SIDE**2, WIDTH))
        self.ln_pre, self.ln_post = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.transformer = nn.ModuleDict({"resblocks": nn.ModuleList(Block() for _ in range(DEPTH))})
        self.proj = nn.Parameter(0.1 * torch.randn(WIDTH, OUT))

    def forward(self, x):
        patches = self.conv1(x).flatten(2).mT
        x = torch.cat([self.class_embedding.expand(x.shape[0], 1, -1), patches], 1) + self.positional_embedding
        x = self.ln_pre(x)
        for block in self.transformer["resblocks"]:
            x = block(x)
        return self.ln_post(x[:, 0]) @ self.proj


def saved(state, path):
    save_file({name: value.half().contiguous() for name, value in state.items()}, path)
    return named("clip", path)


@pytest.fixture(scope="module")
def visual():
    torch.manual_seed(0)
    visual = Visual().eval().requires_grad_(False)
    for name, value in visual.named_parameters():
        if name.endswith("bias") or ".ln_" in name or name.startswith("ln_"):
            value.add_(0.1 * torch.randn_like(value))
        value.copy_(value.half())  # so that the archive has them exactly
    return visual


def test_the_published_weights_have_their_meaning(data, tmp_path, visual):
    state = {f"visual.{name}": value for name, value in visual.state_dict().items()} | {"logit_scale": torch.zeros(())}
    net = build_extractor(data, saved(state, tmp_path / "weights.safetensors"))
    assert net.num_features == OUT
    images = torch.randint(256, (3, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    scale = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    torch.testing.assert_close(net(images), visual((images / 255 - mean) / scale), rtol=1e-4, atol=1e-4)


def test_an_archive_of_other_weights_is_refused(data, tmp_path, visual):
    state = {f"visual.{name}": value for name, value in visual.state_dict().items()}
    missing = {name: value for name, value in state.items() if not name.endswith("1.mlp.c_fc.bias")}
    with pytest.raises(ConfigError, match=r"holds no weights of CLIP: .*mlp\.fc1\.bias"):
        build_extractor(data, saved(missing, tmp_path / "missing.pt"))
    with pytest.raises(ConfigError, match=r"holds no weights of CLIP: 'visual\.conv1\.weight'"):
        build_extractor(data, saved({"weight": torch.zeros(3)}, tmp_path / "other.pt"))
    path = tmp_path / "text.pt"
    path.write_text("no archive")
    with pytest.raises(ConfigError, match="holds no weights of CLIP"):
        build_extractor(data, named("clip", path))


def test_torchscript_is_read_only_where_it_is_the_published_archive(data, tmp_path, visual):
    state = {f"visual.{name}": value for name, value in visual.state_dict().items()}
    path = tmp_path / "script.pt"
    torch.jit.trace(nn.Sequential(OrderedDict(visual=visual)), torch.zeros(1, 3, 32, 32)).save(str(path))
    read = published(path.read_bytes())
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], state[name]) for name in state)
    with pytest.raises(ConfigError, match="holds no weights of CLIP"):
        build_extractor(data, named("clip", path))
