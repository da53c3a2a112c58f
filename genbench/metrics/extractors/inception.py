"""Inception, the network that gives an FID its name, with the resizing of each library that computes one."""

import tempfile
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn
from torch.jit import optimized_execution  # type: ignore[reportPrivateImportUsage]

from genbench.core import Data
from genbench.errors import ConfigError, Unsupported
from genbench.metrics.extractors.network import Network, device, photographs
from genbench.metrics.extractors.resize import ANTIALIASED, CLEAN, TENSORFLOW, Resize
from genbench.metrics.extractors.weights import File, WeightFile, read
from genbench.registry import extractors

SIZE, FEATURES = 299, 2048

TORCHSCRIPT = WeightFile(
    "inception-2015-12-05.pt",
    "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
    "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
    elsewhere=(Path(tempfile.gettempdir()),),
)
"""What clean-fid and the StyleGAN family use."""

STATE = WeightFile(
    "weights-inception-2015-12-05-6726825d.pth",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    elsewhere=(Path(torch.hub.get_dir()) / "checkpoints",),
)
"""What torch-fidelity and torchmetrics use. Both files hold the weights of TensorFlow's inception-2015-12-05."""


@extractors.register("inception-legacy", version=1)
def inception_legacy(data: Data, *, weights: File = None, sha256: str | None = None) -> Network:
    """Inception as clean-fid's "legacy_tensorflow" has it: the FID of TensorFlow, and of torchcfm's published numbers.

    Args:
        weights: the file inception-2015-12-05.pt, if it is not where it is looked for.
        sha256: of a file that is not the published one.
    """
    return _torchscript("inception-legacy", data, weights, sha256, resized=False)


@extractors.register("inception-clean", version=1)
def inception_clean(data: Data, *, weights: File = None, sha256: str | None = None) -> Network:
    """Inception as clean-fid's "clean" has it (Parmar et al., 2022).

    Args:
        weights: the file inception-2015-12-05.pt, if it is not where it is looked for.
        sha256: of a file that is not the published one.
    """
    return _torchscript("inception-clean", data, weights, sha256, resized=True)


@extractors.register("inception-fidelity", version=1)
def inception_fidelity(data: Data, *, weights: File = None, sha256: str | None = None) -> Network:
    """Inception as torch-fidelity has it: the resizing of TensorFlow, epsilon-exact.

    Args:
        weights: the file weights-inception-2015-12-05-6726825d.pth, if it is not where it is looked for.
        sha256: of a file that is not the published one.
    """
    return _state("inception-fidelity", data, weights, sha256, TENSORFLOW)


@extractors.register("inception-torchmetrics", version=1)
def inception_torchmetrics(data: Data, *, weights: File = None, sha256: str | None = None) -> Network:
    """Inception as torchmetrics has it from 1.8 on: the weights of torch-fidelity after antialiased resizing.

    Args:
        weights: the file weights-inception-2015-12-05-6726825d.pth, if it is not where it is looked for.
        sha256: of a file that is not the published one.
    """
    return _state("inception-torchmetrics", data, weights, sha256, ANTIALIASED)


def _torchscript(name: str, data: Data, path: str | None, sha256: str | None, *, resized: bool) -> Network:
    photographs(data, name)
    found = read(TORCHSCRIPT, path, sha256)
    where = device()
    try:
        base: Any = torch.jit.load(BytesIO(found.content), map_location=where).eval()
        layers, head = base.layers, base.output.weight.detach().cpu()
    except (RuntimeError, AttributeError) as error:
        raise ConfigError(f"{TORCHSCRIPT.name} is not Inception as TorchScript: {str(error).strip()[:80]}") from error

    # Unoptimised: else the first batches are profiled and the later ones fused, to other roundings.
    def clean(x: Tensor) -> Tensor:
        with optimized_execution(False):
            return layers((x - 128) / 128).reshape(-1, FEATURES)

    def legacy(x: Tensor) -> Tensor:
        with optimized_execution(False):
            return base(x, return_features=True).reshape(-1, FEATURES)

    # The file resizes by itself, like TensorFlow.
    net, size, rule = (clean, SIZE, CLEAN) if resized else (legacy, 0, TENSORFLOW)
    return Network(name, found.sha256, rule, size, net, head, where)


def _state(name: str, data: Data, path: str | None, sha256: str | None, rule: Resize) -> Network:
    photographs(data, name)
    found = read(STATE, path, sha256)
    where = device()
    whole = _network(found.content)
    # Its layers are registered in the order in which they are applied.
    body = nn.Sequential(*(layer for part, layer in whole.named_children() if part != "fc")).to(where)

    def net(x: Tensor) -> Tensor:
        return body((x - 128) / 128).flatten(1)

    return Network(name, found.sha256, rule, SIZE, net, whole.fc.weight.detach(), where)


def _network(content: bytes) -> Any:
    """Return torch-fidelity's network with these weights, of which no pickled code is executed."""
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise Unsupported("torch-fidelity is not installed: pip install 'genbench[fidelity]'") from error
    try:
        tensors = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
        # It reads its file without that care, so it gets one that was written here.
        copy = BytesIO()
        torch.save(tensors, copy)
        copy.seek(0)
        return FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], copy).eval().requires_grad_(False)
    except (RuntimeError, TypeError, UnpicklingError) as error:
        raise ConfigError(f"{STATE.name} is not Inception: {' '.join(str(error).split())[:99]}") from error
