"""Every metric of samples, and every extractor, with random weights where the published ones need a download."""

from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from helpers import photographs
from helpers.pixel_features import named

from fake_gpu.proof import Cases, Numbers, compare
from genbench.core import Data
from genbench.metrics import torchmetrics_classes
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.extractors.feature_extractor import build_extractor
from genbench.metrics.image.feature_sets import feature_sets
from genbench.metrics.measurement import measure
from genbench.registry import datasets
from genbench.runs.component import component
from genbench.runs.make_spec import bind_metrics
from genbench.runs.spec import build_data
from genbench.settings import settings_in

VECTORS = ("w2", "sliced_w2", "energy_distance", "mode_coverage", "norm", "failed")
FEW = {"n": 60, "n_real": 80}
FEATURES: dict[str, dict[str, Any]] = {
    "fd-digits_cnn": {},
    "class_balance": {},
    "kid": FEW,
    "monge_distance": FEW,
    "precision_recall": FEW,
    "density_coverage": FEW,
    "memorization": {"n": 60, "n_real": 300},
    "torchmetrics:FID": FEW,
    "torchmetrics:KID": FEW | {"subset_size": 20},
    "torchmetrics:IS": FEW | {"splits": 2},
    "torchmetrics:MIFID": FEW | {"cosine_distance_eps": 0.2},
}
"""Metrics of 8x8 digits in the features of their classifier."""
EXTRACTORS = (
    *("inception-legacy", "inception-clean", "inception-fidelity", "inception-spatial"),
    *("dinov2", "clip", "efficientnet_lite0"),
)
IMAGES = {"fd-dinov2": "dinov2", "cmmd": "clip", "fd-efficientnet_lite0": "efficientnet_lite0"}
"""Metrics of color images, with their extractors."""
ALIKE = {
    "fid-legacy": "fd-dinov2",
    "fid-clean": "fd-dinov2",
    "sfid": "fd-dinov2",
    "npe": "path_energy",
    "mind": "monge_distance",
    "fd-mnist5k_cnn": "fd-digits_cnn",
    "mnist5k_cnn": "fd-digits_cnn",
    "fd-captions_cnn": "caption_accuracy",
}
"""What is computed as another metric or extractor is, from the features of a network that is proven here."""


def cases() -> Cases:
    yield "distances of vectors", partial(compare, "distances of vectors", _vectors)
    for name, settings in FEATURES.items():
        yield name, partial(compare, name, partial(_digits, name, settings))
    for name in EXTRACTORS:
        yield name, partial(compare, name, partial(_features, name))
    for name, extractor in IMAGES.items():
        yield name, partial(compare, name, partial(_images, name, extractor))


def components() -> Iterator[str]:
    """Yield the names of the metrics and extractors that are measured here."""
    yield from (*VECTORS, *FEATURES, *EXTRACTORS, *IMAGES, *ALIKE, "digits_cnn")


def _numbers(evaluation: Evaluation, name: str, settings: dict[str, Any]) -> Numbers:
    bound = bind_metrics([name], {name: settings}, evaluation.data.event)[name]
    rows = measure(evaluation, name, settings_in(bound), True)
    for row in rows:
        assert "reason" not in row, f"{name} has no value: {row['reason']}"
    return {row["metric"]: np.array([row["value"], row["floor"] or 0.0]) for row in rows}


def _vectors(where: str) -> Numbers:
    data = build_data(component(datasets, "8gaussians", {}))
    evaluation = Evaluation(data, 0, x=data.valid.take(256, 5).x)
    return {key: value for name in VECTORS for key, value in _numbers(evaluation, name, {}).items()}


def _digits(name: str, settings: dict[str, Any], where: str) -> Numbers:
    data = build_data(component(datasets, "digits", {}))
    # Classes of torchmetrics take Inception only; here its stand-in is the classifier, as for other metrics.
    small = patch.object(torchmetrics_classes, "feature_sets", lambda *given: feature_sets(given[0], None, given[2]))
    with small:
        return _numbers(Evaluation(data, 0, x=data.valid.take(80, 5).x), name, settings)


def _images(name: str, extractor: str, where: str) -> Numbers:
    data = photographs.task(2, 2)
    x = data.space.encode(photographs.patches(6)[-2:])
    return _numbers(Evaluation(data, 0, x=x), name, {"n": 2, "n_real": 2, "features": setting(extractor)})


def _features(extractor: str, where: str) -> Numbers:
    data: Data = photographs.task(2, 2)
    return {"features": build_extractor(data, setting(extractor))(photographs.patches(3)).double().numpy()}


def setting(extractor: str) -> dict[str, Any] | str:
    """Return the setting of an extractor, with a file of random weights unless genbench ships its own."""
    if extractor == "efficientnet_lite0":
        return extractor
    return named(extractor, weights(extractor))


@cache
def inception() -> tuple[Path, Path]:
    """Write one randomly weighted Inception, and return its paths: the state and the TorchScript."""
    from metrics.extractors.conftest import write_inception

    torch.manual_seed(0)
    return write_inception(Path(mkdtemp(prefix="genbench-weights-")))


@cache
def weights(extractor: str) -> Path:
    """Write random weights in the form of the published file, of a smaller network where that is possible."""
    from safetensors.torch import save_file

    torch.manual_seed(0)
    folder = Path(mkdtemp(prefix="genbench-weights-"))
    if extractor.startswith("inception"):
        return inception()[extractor in ("inception-legacy", "inception-clean")]
    path = folder / "weights.safetensors"
    if extractor == "dinov2":
        from transformers import Dinov2Config, Dinov2Model

        config = Dinov2Config(image_size=518, patch_size=14, hidden_size=64, num_hidden_layers=1, num_attention_heads=2)
        save_file(Dinov2Model(config).state_dict(), path)
    else:
        from metrics.extractors.test_clip import Visual

        state = {f"visual.{name}": value for name, value in Visual().state_dict().items()}
        save_file({name: value.half().contiguous() for name, value in state.items()}, path)
    return path
