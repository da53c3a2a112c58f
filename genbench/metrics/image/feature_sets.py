"""Feature sets: features of samples, of real images to compare them with, and of held-out images for the floor."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, TypeVar

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from genbench.core import Data, LazyRows
from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.extractors.feature_extractor import FeatureExtractor, build_extractor, extract
from genbench.metrics.image.reference_statistics import (
    MAX_REAL,
    Published,
    SplitName,
    Statistics,
    available,
    published,
    statistics,
)
from genbench.settings import Count
from genbench.space import Space

T = TypeVar("T")

Samples = Annotated[
    Count | None, "number of samples; by default all, up to 50,000 (10,000 for metrics that compare all pairs)"
]
Real = Annotated[
    Count,
    "largest number of real images per split (metrics that compare all pairs use 10,000 of them at most); metrics with "
    "the same number share the stored features",
]


@dataclass(frozen=True, kw_only=True)
class Images:
    """The images that a metric on features compares."""

    n: Samples = None
    split: Annotated[SplitName, "real images to compare with; the other split gives the floor"] = "train"
    n_real: Real = MAX_REAL


IMAGES = Images()

MAX_HELD_OUT = 10_000
"""Largest number of held-out images that a floor is measured on."""


@dataclass(frozen=True, eq=False)
class FeatureSets:
    """Features of samples, and statistics of real images, which are computed when first needed.

    Args:
        given: published statistics of the real images; without them, they are computed.
    """

    extractor: FeatureExtractor
    samples: Float[Tensor, "n k"]
    data: Data
    images: Images
    given: Published | None = None

    @cached_property
    def reference(self) -> Statistics:
        """Statistics of the real images that samples are compared with."""
        return statistics(self.data, self.extractor, self.images.split, self.images.n_real)

    @cached_property
    def held_out(self) -> Statistics:
        """Statistics of the other split: real images that a perfect model could have generated."""
        other: SplitName = "test" if self.images.split == "train" else "train"
        n = min(MAX_HELD_OUT, self.images.n_real)
        return statistics(self.data, self.extractor, other, n)

    @property
    def n(self) -> int:
        return len(self.samples)

    @property
    def floor_samples(self) -> Float[Tensor, "m k"]:
        """Features of held-out images in place of samples: as many as there are samples, or all if there are fewer."""
        return self.held_out.rows[: self.n]

    def floor(
        self, evaluation: Evaluation, name: Hashable, measure: Callable[[Tensor], T], least: int | None = None
    ) -> T | None:
        """Return a metric of `floor_samples`, computed once for the task; None if there are too few held-out images.

        Args:
            name: the metric, with the settings that it depends on.
            measure: the metric as a function of features.
            least: how many held-out images are enough; by default as many as there are samples.
        """
        if len(self.floor_samples) < (self.n if least is None else least):
            return None
        key = ("floor", name, self.reference.source, self.held_out.source, self.n)
        return evaluation.cached_for_task(key, lambda: measure(self.floor_samples))

    @property
    def protocol(self) -> str:
        """Everything that must agree before two numbers may be compared."""
        return f"{self.extractor.protocol}, n={self.n} against {self.reference.n} {self.images.split} images"


def feature_sets(
    evaluation: Evaluation,
    features: dict[str, Any] | str | None,
    images: Images,
    *,
    statistics: str | None = None,
    n_max: int = MAX_REAL,
    n_min: int = 2,
) -> FeatureSets:
    """Return the features of samples and of real images; the network sees each image once.

    Args:
        statistics: path of published statistics.
        n_max: largest default number of samples.
        n_min: smallest number of samples and of real images.

    Raises:
        Unsupported: if the network is not available, or there are too few images.
        ConfigError: if a given file is missing, or has the wrong content.
    """
    if not evaluation.data.event.is_image:
        raise Unsupported("features need images")
    extractor = build_extractor(evaluation.data, features)  # first: before training, there are no samples
    given = published(statistics, extractor) if statistics is not None else None
    n = images.n or min(len(evaluation.x), n_max)
    if min(n, len(evaluation.x)) < n_min:
        raise Unsupported(f"it needs at least {n_min} images; there are {min(n, len(evaluation.x))}")
    samples = sample_features(evaluation, extractor, n)
    n_real = min(images.n_real, available(evaluation.data, images.split))
    if n_real < n_min:
        raise Unsupported(f"it needs at least {n_min} {images.split} images; there are {n_real}")
    return FeatureSets(extractor, samples, evaluation.data, images, given)


class DecodedSamples(LazyRows):
    """Samples as raw data, decoded when they are indexed."""

    def __init__(self, space: Space, x: Float[Tensor, "n *event"]) -> None:
        self.shape, self._space, self._x = tuple(x.shape), space, x

    def __getitem__(self, rows: Int[Tensor, " b"]) -> Shaped[Tensor, "b *event"]:
        return self._space.decode(self._x[rows])


def sample_features(evaluation: Evaluation, extractor: FeatureExtractor, n: int) -> Float[Tensor, "n k"]:
    """Return the features of the first n samples, which the metrics of an evaluation share."""
    evaluation.samples(n)  # refuses too few samples, and those that are not finite
    parts: list[Tensor] = evaluation.cached(("features", extractor.name, extractor.sha256), list)
    done = sum(map(len, parts))
    if done < n:
        images = DecodedSamples(evaluation.data.space, evaluation.x[done:n])
        parts.append(extract(extractor, images, evaluation.group))
    return torch.cat(parts)[:n]
