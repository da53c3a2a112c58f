import hashlib

import pytest
import torch

from genbench.errors import ConfigError
from genbench.metrics.extractors.build import build_extractor

HUBCONF = """
import torch

class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = torch.nn.Conv2d(3, 8, 14, 14)

    def forward(self, x):
        assert x.shape[2:] == (224, 224)
        return self.patch(x).flatten(2).mean(2)

def dinov2_vitl14(pretrained=True):
    assert not pretrained
    return Tiny()
"""


def test_it_is_built_from_a_checkout_and_a_verified_file(data, tmp_path):
    (tmp_path / "hubconf.py").write_text(HUBCONF)
    patch = torch.nn.Conv2d(3, 8, 14, 14)
    torch.save({f"patch.{name}": value for name, value in patch.state_dict().items()}, tmp_path / "weights.pth")
    sha256 = hashlib.sha256((tmp_path / "weights.pth").read_bytes()).hexdigest()
    own = {"name": "dinov2", "code": str(tmp_path), "weights": str(tmp_path / "weights.pth"), "sha256": sha256}
    net = build_extractor(data, own)
    # ImageNet's mean color becomes zero, of which only the bias is left.
    mean = torch.tensor([0.485, 0.456, 0.406]).mul(255).round().byte()[None, :, None, None].expand(1, 3, 32, 32)
    torch.testing.assert_close(net(mean)[0], patch.bias.detach(), rtol=0, atol=0.02)
    with pytest.raises(ConfigError, match=r"no hubconf\.py"):
        build_extractor(data, own | {"code": str(tmp_path / "nowhere")})
