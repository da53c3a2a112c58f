"""Inception, the network of the FID, with the resizing of each library that computes FIDs."""

import tempfile
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.jit import optimized_execution  # type: ignore[reportPrivateImportUsage]

from genbench.core import Data
from genbench.errors import ConfigError, Unsupported
from genbench.metrics.extractors.feature_extractor import (
    Network,
    Rule,
    check_images,
    clean,
    extractor_device,
    tensorflow,
)
from genbench.metrics.extractors.weights import Sha256, WeightFile, read
from genbench.registry import extractors
from genbench.settings import OnDisk

SIZE, FEATURES = 299, 2048
CHANNELS = 7
"""Channels of the spatial features."""

TORCHSCRIPT = WeightFile(
    "inception-2015-12-05.pt",
    "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
    "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
    elsewhere=(Path(tempfile.gettempdir()),),
)
"""The file of clean-fid and the StyleGAN family."""

STATE = WeightFile(
    "weights-inception-2015-12-05-6726825d.pth",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    elsewhere=(Path(torch.hub.get_dir()) / "checkpoints",),
)
"""The file of torch-fidelity and torchmetrics. Both files hold the weights of TensorFlow's inception-2015-12-05."""

TorchScript = Annotated[str | None, OnDisk(), f"path of {TORCHSCRIPT.name}, if it is not in a folder of a library"]
State = Annotated[str | None, OnDisk(), f"path of {STATE.name}, if it is not in a folder of a library"]


@extractors.register("inception-legacy", version=1)
def inception_legacy(data: Data, *, weights: TorchScript = None, sha256: Sha256 = None) -> Network:
    """Inception as clean-fid's "legacy_tensorflow", for the FID of TensorFlow and torchcfm's published numbers."""
    return _torchscript("inception-legacy", data, weights, sha256, tensorflow)


@extractors.register("inception-clean", version=1)
def inception_clean(data: Data, *, weights: TorchScript = None, sha256: Sha256 = None) -> Network:
    """Inception as clean-fid's "clean" (Parmar et al., 2022)."""
    return _torchscript("inception-clean", data, weights, sha256, clean)


@extractors.register("inception-fidelity", version=1)
def inception_fidelity(data: Data, *, weights: State = None, sha256: Sha256 = None) -> Network:
    """Inception as in torch-fidelity, with the resizing of TensorFlow."""
    return _state("inception-fidelity", data, weights, sha256)


@extractors.register("inception-spatial", version=1)
def inception_spatial(data: Data, *, weights: State = None, sha256: Sha256 = None) -> Network:
    """Features of sFID: the first 7 channels of mixed_6/conv at 17x17 places of torch-fidelity's Inception.

    Reference: Nash et al., 2021; Dhariwal and Nichol, 2021.
    """
    return _state("inception-spatial", data, weights, sha256, spatial=True)


def _torchscript(name: str, data: Data, path: str | None, sha256: str | None, rule: Rule) -> Network:
    check_images(data, name)
    from cleanfid.inception_torchscript import InceptionV3W

    weights = read(TORCHSCRIPT, path, sha256)
    try:
        with tempfile.TemporaryDirectory() as folder:  # clean-fid loads from a folder: a verified copy
            (Path(folder) / TORCHSCRIPT.name).write_bytes(weights.content)
            inception: Any = (
                InceptionV3W(folder, download=False, resize_inside=rule is tensorflow).eval().to(extractor_device())
            )
        head = inception.base.output.weight.detach().cpu()
    except (RuntimeError, AttributeError) as error:
        raise ConfigError(f"{TORCHSCRIPT.name} is not Inception as TorchScript: {str(error).strip()[:80]}") from error

    def net(x: Tensor) -> Tensor:
        # Unoptimized: otherwise the first batches are profiled and later ones fused, which rounds differently.
        with optimized_execution(False):
            return inception(x)

    size = 0 if rule is tensorflow else SIZE  # the published network itself resizes as TensorFlow does
    return Network(name, weights.sha256, net, rule=rule, size=size, num_features=FEATURES, head=head)


def _state(name: str, data: Data, path: str | None, sha256: str | None, *, spatial: bool = False) -> Network:
    check_images(data, name)
    weights = read(STATE, path, sha256)
    inception = _fidelity_inception(weights.content)
    layers = dict(inception.named_children())  # registered in the order in which they are applied
    if spatial:  # TensorFlow's mixed_6 is torch's Mixed_6d, and mixed_6/conv its branch of 1x1 convolutions
        before = list(layers.values())[: list(layers).index("Mixed_6d")]
        body, channels, features, head = [*before, layers["Mixed_6d"].branch1x1], CHANNELS, CHANNELS * 17**2, None
    else:
        body, channels, features = [layer for part, layer in layers.items() if part != "fc"], FEATURES, FEATURES
        head = inception.fc.weight.detach()
    network = nn.Sequential(*body).to(extractor_device())

    def net(x: Tensor) -> Tensor:
        return network((x - 128) / 128)[:, :channels].flatten(1)

    return Network(name, weights.sha256, net, rule=tensorflow, size=SIZE, num_features=features, head=head)


def _fidelity_inception(content: bytes) -> Any:
    """Return torch-fidelity's network with these weights, executing no pickled code."""
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise Unsupported("torch-fidelity is not installed: pip install 'genbench[fidelity]'") from error
    try:
        tensors = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
        # torch-fidelity unpickles its file unsafely, so it gets a copy of the tensors that are loaded here.
        copy = BytesIO()
        torch.save(tensors, copy)
        copy.seek(0)
        return FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], copy).eval().requires_grad_(False)
    except (RuntimeError, TypeError, UnpicklingError) as error:
        raise ConfigError(f"{STATE.name} is not Inception: {' '.join(str(error).split())[:99]}") from error
