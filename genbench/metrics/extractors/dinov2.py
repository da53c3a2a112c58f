"""DINOv2: self-supervised features, whose distances agree better with human judgment than those of Inception."""

import contextlib
import sys
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Annotated, Any

import torch
from torch import Tensor

from genbench.core import Data
from genbench.errors import ConfigError, Unsupported
from genbench.metrics.extractors.network import Network, check_images, extractor_device
from genbench.metrics.extractors.resize import PILLOW
from genbench.metrics.extractors.weights import OFFLINE, Sha256, WeightFile, read
from genbench.registry import extractors
from genbench.settings import OnDisk

SIZE, FEATURES = 224, 1024
REPOSITORY = "facebookresearch/dinov2"
MEAN, SCALE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

FILE = WeightFile(
    "dinov2_vitl14_pretrain.pth",
    "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth",
    "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
    elsewhere=(Path(torch.hub.get_dir()) / "checkpoints",),
)

Code = Annotated[
    str | None, OnDisk(), f"folder of a checkout of {REPOSITORY}; by default torch.hub fetches the main branch"
]
State = Annotated[str | None, OnDisk(), f"path of {FILE.name}, if it is not in torch.hub's folder"]


@extractors.register("dinov2", version=1)
def dinov2(data: Data, *, code: Code = None, weights: State = None, sha256: Sha256 = None) -> Network:
    """DINOv2 ViT-L/14: the 1024 features of its class token at 224 pixels, resized by Pillow, as published.

    Its code is downloaded by torch.hub and executed: give a checkout to control what is executed.

    Reference: Oquab et al., 2023; Stein et al., 2023.
    """
    check_images(data, "dinov2")
    file = read(FILE, weights, sha256)
    device = extractor_device()
    network = _architecture(code)
    try:
        network.load_state_dict(torch.load(BytesIO(file.content), map_location="cpu", weights_only=True))
    except (RuntimeError, TypeError, UnpicklingError) as error:
        raise ConfigError(f"{FILE.name} holds no weights of DINOv2: {' '.join(str(error).split())[:120]}") from error
    network = network.eval().requires_grad_(False).to(device)
    mean, scale = (torch.tensor(each, device=device)[:, None, None] for each in (MEAN, SCALE))

    def net(x: Tensor) -> Tensor:
        return network((x / 255 - mean) / scale)

    return Network("dinov2", file.sha256, PILLOW, SIZE, net, None, device, FEATURES)


def _architecture(code: str | None) -> Any:
    if code is not None and not (Path(code).expanduser() / "hubconf.py").is_file():
        raise ConfigError(f"{code} is not a checkout of {REPOSITORY}: it has no hubconf.py")
    try:
        # `run --json` prints the record, and nothing else, on standard output.
        with contextlib.redirect_stdout(sys.stderr):
            if code is not None:
                folder = str(Path(code).expanduser())
                return torch.hub.load(folder, "dinov2_vitl14", source="local", pretrained=False)
            return torch.hub.load(f"{REPOSITORY}:main", "dinov2_vitl14", trust_repo=True, pretrained=False)  # type: ignore[arg-type]
    except (OSError, ImportError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise Unsupported(
            f"the code of DINOv2 is not available ({reason}); give the folder of a checkout as features.code; {OFFLINE}"
        ) from error
