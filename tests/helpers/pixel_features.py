"""Tiny images whose features are their pixels, so that metrics of features are known."""

import hashlib
from typing import ClassVar

import torch

from genbench.core import Data, Event, Normal
from genbench.data.splits import Arrays, Finite
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.extractors.feature_extractor import FeatureExtractor
from genbench.metrics.image.feature_sets import IMAGES, feature_sets
from genbench.metrics.measurement import measure
from genbench.registry import metrics
from genbench.settings import settings_of
from genbench.space import Pixels

SHAPE = (3, 2, 2)


def named(name, path):
    """Return the settings of an extractor whose weights are in a file."""
    return {"name": name, "weights": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


class PixelExtractor(FeatureExtractor):
    """Registered as "pixels" in tests/metrics/image; `batches` are the sizes of all batches that it was given."""

    batches: ClassVar[list[int]] = []

    def __init__(self, name="pixels", sha256="0" * 64, num_features=12):
        super().__init__(name, sha256, "none", num_features)

    def forward(self, images):
        self.batches.append(len(images))
        return images.flatten(1).float()


def normal_images(n, seed, mean=128.0, sd=20.0):
    """Return images of independent normal pixels, rounded."""
    stream = torch.Generator().manual_seed(seed)
    return (mean + sd * torch.randn(n, *SHAPE, generator=stream)).round().clamp(0, 255).byte()


def task(train, test, valid=None):
    """Return a task of raw images."""
    space = Pixels(256)

    def split(raw):
        return Finite(lambda: Arrays(raw, torch.zeros(len(raw)).long(), torch.arange(len(raw))), len(raw), space)

    train, valid, test = (split(raw) for raw in (train, train[:0] if valid is None else valid, test))
    return Data(Event(SHAPE, 0, space.bin), space, Normal(SHAPE), train=train, valid=valid, test=test)


def evaluation(data, raw):
    """Return an evaluation of raw images."""
    return Evaluation(data, 0, x=data.space.encode(raw))


def pixel_sets(data, raw):
    """Return the feature sets of raw images against the training images."""
    return feature_sets(evaluation(data, raw), "pixels", IMAGES)


def measured(name, data, raw, errors=True, **settings):
    """Measure a metric of raw images, with intervals or without: {row name: row}."""
    if "features" in settings_of(metrics[name].build):
        settings = {"features": "pixels"} | settings
    measuring = evaluation(data, raw)
    measuring.errors = errors
    return {row["metric"]: row for row in measure(measuring, name, settings, True)}
