"""DINOv2: features learned without labels, in which distances agree better with people than in Inception's."""

import contextlib
import sys
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from genbench.core import Data
from genbench.errors import ConfigError, Unsupported
from genbench.metrics.extractors.network import Network, device, photographs
from genbench.metrics.extractors.resize import PILLOW
from genbench.metrics.extractors.weights import OFFLINE, File, WeightFile, read
from genbench.registry import extractors

SIZE = 224
REPOSITORY = "facebookresearch/dinov2"
MEAN, SCALE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

FILE = WeightFile(
    "dinov2_vitl14_pretrain.pth",
    "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth",
    "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
    elsewhere=(Path(torch.hub.get_dir()) / "checkpoints",),
)


@extractors.register("dinov2", version=1)
def dinov2(data: Data, *, code: File = None, weights: File = None, sha256: str | None = None) -> Network:
    """DINOv2 ViT-L/14, the 1024 features of its class token, at 224 pixels resized by Pillow, as published.

    Its code comes by torch.hub, and is run: give a checkout of it to know what runs.

    Args:
        code: folder of a checkout of facebookresearch/dinov2; by default torch.hub fetches the main branch.
        weights: the file dinov2_vitl14_pretrain.pth, if it is not where it is looked for.
        sha256: of a file that is not the published one.

    Reference: Oquab et al., 2023; Stein et al., 2023.
    """
    photographs(data, "dinov2")
    found = read(FILE, weights, sha256)
    where = device()
    whole = _architecture(code)
    try:
        whole.load_state_dict(torch.load(BytesIO(found.content), map_location="cpu", weights_only=True))
    except (RuntimeError, TypeError, UnpicklingError) as error:
        raise ConfigError(f"{FILE.name} holds no weights of DINOv2: {' '.join(str(error).split())[:120]}") from error
    whole = whole.eval().requires_grad_(False).to(where)
    mean, scale = (torch.tensor(each, device=where)[:, None, None] for each in (MEAN, SCALE))

    def net(x: Tensor) -> Tensor:
        return whole((x / 255 - mean) / scale)

    return Network("dinov2", found.sha256, PILLOW, SIZE, net, None, where)


def _architecture(code: str | None) -> Any:
    if code is not None and not (Path(code).expanduser() / "hubconf.py").is_file():
        raise ConfigError(f"{code} is no checkout of {REPOSITORY}: it has no hubconf.py")
    try:
        # Standard output belongs to the record that `run --json` prints.
        with contextlib.redirect_stdout(sys.stderr):
            if code is not None:
                folder = str(Path(code).expanduser())
                return torch.hub.load(folder, "dinov2_vitl14", source="local", pretrained=False)
            return torch.hub.load(f"{REPOSITORY}:main", "dinov2_vitl14", trust_repo=True, pretrained=False)  # type: ignore[arg-type]
    except (OSError, ImportError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise Unsupported(f"the code of dinov2 cannot be had ({reason}); give a checkout as code; {OFFLINE}") from error
