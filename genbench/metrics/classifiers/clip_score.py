"""CLIPScore: how well CLIP finds that generated images match their captions, as torchmetrics computes it."""

import importlib.util
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn

from genbench.errors import ConfigError, Unsupported, first_line
from genbench.metrics.evaluation import Evaluation, Value, standard_error
from genbench.registry import Entry
from genbench.settings import Count, OnDisk
from genbench.space import Pixels
from genbench.storage import content_hash, hub

FILES = ("*.safetensors", "*.json", "*.txt")
SETTING = "metric.torchmetrics:CLIPScore"

BROKEN = (OSError, ValueError, RuntimeError, ImportError, LookupError, TypeError, AttributeError, SafetensorError)
"""Errors of transformers for files that are no CLIP."""

Clip = Annotated[
    str,
    OnDisk(or_name=True),
    "CLIP of transformers: a folder, or a name on the hub (owner/name), with weights in safetensors",
]
N = Annotated[Count | None, "number of samples, by default all; best so many that each caption has one"]
Revision = Annotated[str | None, "branch, tag or commit of the name"]


def entry() -> Entry:
    """Return the metric `torchmetrics:CLIPScore`, whose files are checked before training."""
    traits = {"better": "higher", "of": "samples", "curve": False, "check": check}
    return Entry("torchmetrics:CLIPScore", clip_score, 1, traits)


def clip_score(
    evaluation: Evaluation,
    *,
    model: Clip = "openai/clip-vit-large-patch14",
    revision: Revision = None,
    n: N = None,
) -> Value:
    """100 times the mean cosine between CLIP's features of an image and of its caption, 0 if it is negative.

    Gray images are repeated over the channels. The floor is the score of real images with their captions.

    Reference: Hessel et al., 2021; torchmetrics, which leaves out their factor 2.5.
    """
    captions, space = evaluation.data.event.captions, evaluation.data.space
    if not captions or not isinstance(space, Pixels):
        raise Unsupported("it is of images with captions")
    if evaluation.label is None:
        raise Unsupported("its samples have no captions")
    images = evaluation.decoded(n or len(evaluation.x)).double() * 255 / (space.levels - 1)
    folder = _folder(model, revision)
    metric = _metric(folder)
    scores = []
    for image, label in zip(images.round().to(torch.uint8), evaluation.label.tolist(), strict=False):
        metric.reset()
        metric.update(image.expand(3, -1, -1), captions[label])
        scores.append(float(metric.score))
    each = torch.tensor(scores, dtype=torch.float64)
    weights = " ".join(content_hash.sha256(file)[:8] for file in sorted(folder.glob(FILES[0])))
    protocol = f"CLIPScore of torchmetrics {version('torchmetrics')}, CLIP {weights}, n={len(each)}"
    return Value(max(float(each.mean()), 0.0), len(each), protocol, details=standard_error(each))


def check(settings: Mapping[str, Any]) -> None:
    """Raise ConfigError unless the CLIP that the settings name can be loaded."""
    _metric(_folder(settings["model"], settings["revision"]))


def _folder(model: str, revision: str | None) -> Path:
    if importlib.util.find_spec("transformers") is None:
        raise ConfigError(f"{SETTING} needs the package transformers: pip install 'genbench[clip]'")
    return hub.folder(model, revision, FILES, SETTING, "caption_accuracy")


class Projected(nn.Module):
    """CLIP with features as tensors, which transformers 5 returns as a part of its output."""

    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        self.clip, self.config = clip, clip.config

    def get_image_features(self, *inputs: Tensor) -> Float[Tensor, "n k"]:
        """Return the projected features of images."""
        return _tensor(self.clip.get_image_features(*inputs))  # type: ignore[operator]

    def get_text_features(self, *inputs: Tensor) -> Float[Tensor, "n k"]:
        """Return the projected features of texts."""
        return _tensor(self.clip.get_text_features(*inputs))  # type: ignore[operator]


def _tensor(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output.pooler_output


@lru_cache(maxsize=1)
def _metric(folder: Path) -> Any:
    """Return the metric of torchmetrics on a CLIP, which it would load itself, unverified."""
    from torchmetrics.multimodal.clip_score import CLIPScore
    from transformers import CLIPModel, CLIPProcessor

    try:
        clip = CLIPModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        processor = CLIPProcessor.from_pretrained(folder, local_files_only=True)
    except BROKEN as error:
        raise ConfigError(f"{SETTING}.model={folder} holds no CLIP of transformers: {first_line(error)}") from error
    network = Projected(clip.float().eval().requires_grad_(False))
    return CLIPScore(lambda: (network, processor)).eval()
