"""Comparisons: features of samples, of the real images they are measured against, and of others that set the floor."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from genbench.core import Data, LazyRows
from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.extractors import choice
from genbench.metrics.image import reference_statistics
from genbench.metrics.image.features import Features, extract
from genbench.metrics.image.published_statistics import published
from genbench.metrics.image.reference_statistics import MOST, Part, Statistics
from genbench.settings import Count
from genbench.space import Space

Samples = Annotated[Count | None, "samples; by default all there are, up to 50,000"]
Split = Annotated[Part, "real images to compare with; the others give the floor"]
Real = Annotated[
    Count, "real images of a split, at most; their features are kept, and shared by metrics with the same number"
]

HELD = 10_000
"""Held-out images that a floor is measured on, at most."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a metric of features looks at; real images pass the network when they are first needed.

    Args:
        features: the network.
        samples: features of the samples.
        data: the task.
        part: which real images samples are compared with.
        most: real images of each part, at most.
    """

    features: Features
    samples: Float[Tensor, "n k"]
    data: Data
    part: Part
    most: int

    @cached_property
    def real(self) -> Statistics:
        """Statistics of the real images that samples are compared with."""
        return reference_statistics.statistics(self.data, self.features, self.part, self.most)

    @cached_property
    def held(self) -> Statistics:
        """Statistics of the other part of the data: real images that a perfect model could have made."""
        part: Part = "test" if self.part == "train" else "train"
        return reference_statistics.statistics(self.data, self.features, part, min(HELD, self.most))

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.samples)

    @property
    def others(self) -> Float[Tensor, "m k"]:
        """Features of held-out images, as many as there are samples if there are so many."""
        return self.held.rows[: self.n]

    @property
    def network(self) -> str:
        """What the features are, for protocols."""
        return f"{self.features.name} {self.features.sha256[:8]}, resize {self.features.resize}"

    @property
    def protocol(self) -> str:
        """Everything that must agree before two numbers may be compared."""
        return f"{self.network}, n={self.n} against {self.real.n} {self.part} images"


def compare(
    evaluation: Evaluation,
    features: dict[str, Any] | str | None,
    part: Part,
    n: int | None,
    *,
    most: int = MOST,
    real: int = MOST,
    needs: int = 2,
) -> Comparison:
    """Bring the samples of an evaluation and real images before a network; each image passes it once.

    Args:
        evaluation: holds the samples.
        features: the extractor as a setting; None for the default one.
        part: of the data that samples are compared with; the other one gives the floor.
        n: samples; None for all there are, up to `most`.
        most: samples that are enough.
        real: real images, at most.
        needs: samples and real images without which there is no value.

    Raises:
        Unsupported: if the network cannot be had, or there are too few images.
    """
    if len(evaluation.data.event.shape) != 3:
        raise Unsupported("features are of images")
    n = n or min(len(evaluation.x), most)
    there = min(n, len(evaluation.x))
    if there < needs:
        raise Unsupported(f"needs {needs} images at least, there are {there}")
    network = choice.build(evaluation.data, features)
    samples = of_samples(evaluation, network, n)
    against = min(real, reference_statistics.available(evaluation.data, part))
    if against < needs:
        raise Unsupported(f"needs {needs} {part} images at least, there are {against}")
    return Comparison(network, samples, evaluation.data, part, real)


class Decoded(LazyRows):
    """Samples as raw data; each is decoded when it is asked for.

    Args:
        space: of the data.
        x: samples in model space.
    """

    def __init__(self, space: Space, x: Float[Tensor, "n *event"]) -> None:
        self.shape = tuple(x.shape)
        self._space = space
        self._x = x

    def __getitem__(self, rows: Int[Tensor, " b"]) -> Shaped[Tensor, "b *event"]:
        """Return some of them."""
        return self._space.decode(self._x[rows])


def ready(data: Data, settings: Mapping[str, Any]) -> None:
    """Look, before anything is trained, whether the network and the statistics of a metric are what they should be.

    A network that cannot be had is no error: the metric will say so, and the others are measured.

    Args:
        data: the task.
        settings: of the metric.

    Raises:
        ConfigError: if a file is not what it should be.
    """
    if "features" in settings and len(data.event.shape) == 3:
        with suppress(Unsupported):
            network = choice.build(data, settings["features"])
            if settings.get("statistics") is not None:
                published(settings["statistics"], network)


def of_samples(evaluation: Evaluation, network: Features, n: int) -> Float[Tensor, "n k"]:
    """Return the features of the first n samples; metrics of one evaluation share them.

    Raises:
        Unsupported: if there are fewer samples, or some are not finite.
    """
    evaluation.samples(n)
    have: list[Tensor] = evaluation.cached(("features", network.name, network.sha256), list)
    done = sum(map(len, have))
    if done < n:
        have.append(extract(network, Decoded(evaluation.data.space, evaluation.x[done:n])))
    return torch.cat(have)[:n]
