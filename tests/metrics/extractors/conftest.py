import contextlib
import hashlib

import pytest
import torch
from helpers import photographs
from torch_fidelity import feature_extractor_inceptionv3 as fidelity

from genbench.metrics.extractors import feature_extractor, inception


class Script(torch.nn.Module):
    """Inception as the published TorchScript file has it: it resizes by itself, `layers` come before `output`."""

    def __init__(self, layers, output):
        super().__init__()
        self.layers, self.output = layers, output

    def forward(self, img, return_features: bool = False, no_output_bias: bool = False):
        wide, high = 1 / img.shape[3] - 1 / 299, 1 / img.shape[2] - 1 / 299
        theta = torch.tensor([[1.0, 0.0, wide], [0.0, 1.0, high]], device=img.device).repeat(img.shape[0], 1, 1)
        grid = torch.nn.functional.affine_grid(theta, [img.shape[0], img.shape[1], 299, 299], align_corners=False)
        x = torch.nn.functional.grid_sample(
            img.float(), grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        x = self.layers((x - 128) / 128).reshape(-1, 2048)
        return x if return_features else self.output(x).softmax(1)


def write_inception(folder):
    """Write one randomly weighted Inception into a folder, and return its paths: the state and the TorchScript."""
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(TypeError):
        patch.setattr(fidelity, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(fidelity.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        net = fidelity.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    for module in net.modules():  # activations neither vanish nor explode over the layers
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    state, script = folder / "state.pth", folder / "script.pt"
    torch.save(net.state_dict(), state)
    layers = torch.nn.Sequential(*(layer for name, layer in net.named_children() if name != "fc"))
    torch.jit.script(Script(layers, net.fc).eval()).save(str(script))
    return state, script


@pytest.fixture(scope="session")
def inception_files(tmp_path_factory):
    """Write both files of one randomly weighted Inception: {WeightFile: (path, sha256)}."""
    state, script = write_inception(tmp_path_factory.mktemp("weights"))
    named = {inception.STATE: state, inception.TORCHSCRIPT: script}
    return {file: (path, hashlib.sha256(path.read_bytes()).hexdigest()) for file, path in named.items()}


@pytest.fixture
def inception_setting(inception_files):
    """Return the setting of an Inception with random weights, by name."""

    def setting(name):
        scripted = name in ("inception-legacy", "inception-clean")
        path, sha256 = inception_files[inception.TORCHSCRIPT if scripted else inception.STATE]
        return {"name": name, "weights": str(path), "sha256": sha256}

    return setting


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    for device in feature_extractor.BATCH:
        monkeypatch.setitem(feature_extractor.BATCH, device, 2)


@pytest.fixture(scope="module")
def data():
    return photographs.task(2, 2)
