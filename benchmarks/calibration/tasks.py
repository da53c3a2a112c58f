"""Tasks on which metrics are calibrated, each with its real samples, its faults and its metrics.

Pools of points or features are computed once, so that each draw only costs the metric.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache as once
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from benchmarks.calibration import faults
from benchmarks.calibration.faults import Fault, Pool, Real
from genbench.core import Batch, Data
from genbench.metrics.evaluation import Evaluation, values_of
from genbench.metrics.extractors.feature_extractor import FeatureExtractor, build_extractor, extract
from genbench.metrics.image.classifier import SIZES, caption_classifier, marginal_argmax, raw_images
from genbench.metrics.image.fid import distance_to_reference
from genbench.metrics.image.frechet import Moments, frechet, frechet_of_few
from genbench.metrics.image.kid import kernel_between, kernel_within
from genbench.metrics.image.mind import sliced_distance
from genbench.metrics.image.precision_recall import Neighborhoods, density_and_coverage, nearest, precision_and_recall
from genbench.metrics.image.recognition import accuracies, balance
from genbench.metrics.image.reference_statistics import statistics
from genbench.registry import metrics
from genbench.results.external_samples import task_without_model
from genbench.runs.spec import build_data
from genbench.seeds import derive
from genbench.settings import settings_in
from genbench.space import Pixels
from genbench.storage import cache, tensors

Measure = Callable[[Batch, int], Mapping[str, float]]
"""A function of samples and a seed: the values of a metric by part; a part without a name is the metric itself."""

BLOCK = 512
"""Images whose features are kept together."""


@dataclass(frozen=True, eq=False)
class Task:
    """A data set with samplers that are wrong in known ways, and the metrics that should notice.

    Args:
        real: what the true sampler draws from, in raw units.
        faults: faults of the other samplers.
        prepare: turns a pool of raw samples into a pool of what metrics take.
        measures: {metric: its function}.
        n: numbers of samples, from small to large.
        largest: {metric: number of samples above which it takes too long}.
    """

    name: str
    real: Real
    faults: Sequence[Fault]
    prepare: Callable[[Pool], Pool]
    measures: Mapping[str, Measure]
    n: tuple[int, ...]
    largest: Mapping[str, int]


def points() -> Task:
    """Return the 2D task: 8gaussians, whose metrics compare with fresh test points in each draw."""
    names = ("w2", "sliced_w2", "energy_distance", "mode_coverage", "norm")
    spec, chosen = task_without_model("8gaussians", names, {})
    data = build_data(spec)

    def measure(name: str) -> Measure:
        settings = settings_in(chosen[name])

        def values(batch: Batch, seed: int) -> dict[str, float]:
            measured = values_of(metrics[name], Evaluation(data, seed, x=batch.x, errors=False), settings)
            return {value.part: value.value for value in measured}

        return values

    pool = Pool.of(*data.train.take(2**16, derive(0, "calibration")))
    return Task(
        "8gaussians",
        Real(pool, pool, 0),
        faults.POINTS,
        lambda pool: pool,
        {name: measure(name) for name in names},
        (128, 256, 512, 1024, 2048, 16_384),  # the last one is that of the tracks
        {"w2": 512, "energy_distance": 1024},
    )


def digits() -> Task:
    """Return the task on 8x8 digits, in the features of `digits_cnn` against 500 test images."""
    spec, _ = task_without_model("digits", [], {})
    data = build_data(spec)
    network = build_extractor(data, "digits_cnn")
    task = _of_images(data, spec, network, "fd-digits_cnn", faults.DIGITS, (50, 125, 250, 500, 1000), 700, 500)
    return replace(task, largest={"precision_recall": 500})


def captions() -> Task:
    """Return the task on captioned digits, whose true sampler draws training images with their captions."""
    spec, _ = task_without_model("digits-captions", [], {})
    data = build_data(spec)
    network, known, space = caption_classifier(data).classifier, data.captions, data.space
    assert known is not None
    assert isinstance(space, Pixels)
    train, test = raw_images(data, "train"), raw_images(data, "test")
    seen = features(network, test.x)[~torch.tensor(known.held_out)[test.label]]
    moments = Moments([seen])

    def accuracy(batch: Batch, seed: int) -> dict[str, float]:
        predicted = marginal_argmax(network.logits(batch.x).softmax(1), SIZES)
        return {part: value for part, (value, _, _) in accuracies(predicted, batch.label, known).items()}

    def distance(batch: Batch, seed: int) -> dict[str, float]:
        few = len(batch.x) <= batch.x.shape[1]
        return {"": frechet_of_few(batch.x, seen) if few else frechet(Moments([batch.x]), moments)}

    pool = Pool.of(train.x, train.label)
    return Task(
        spec["name"],
        Real(pool, pool, space.levels),
        faults.CAPTIONS,
        lambda raw: raw._replace(x=features(network, raw.x)),
        {"caption_accuracy": accuracy, "fd-captions_cnn": distance},
        (50, 125, 250, 500, 1000),
        {},
    )


def cifar10(path: Path) -> Task:
    """Return the task on CIFAR-10 of a folder or archive, in the features of EfficientNet-Lite0."""
    spec, _ = task_without_model("cifar10", [], {"data": {"path": str(path)}})
    data = build_data(spec)
    network = build_extractor(data, "efficientnet_lite0")
    name = f"fd-{network.name}"
    task = _of_images(data, spec, network, name, faults.CIFAR10, (128, 512, 1024), 2048, 1024)
    return replace(task, largest=dict.fromkeys(("precision_recall", "density_coverage", "memorization"), 512))


def _of_images(
    data: Data,
    spec: Mapping[str, Any],
    network: FeatureExtractor,
    frechet_name: str,
    kinds: Sequence[Fault],
    n: tuple[int, ...],
    pool: int,
    neighbors: int,
) -> Task:
    """Return a task on images.

    Args:
        frechet_name: name of the Frechet distance in its features.
        pool: number of training images that the true sampler draws from; as many other images are the source of copies.
        neighbors: number of test images for metrics of pairs; the Frechet distance uses all test images, up to 10,000.
    """
    space = data.space
    assert isinstance(space, Pixels)
    rows = data.train.take(min(2 * pool, data.train.size or 2 * pool), derive(0, "calibration"))
    drawn, training = (
        Pool.of(space.decode(rows.x[part]), rows.label[part]) for part in (slice(None, pool), slice(pool, None))
    )

    def prepare(raw: Pool) -> Pool:
        return raw._replace(x=features(network, raw.x))

    reference = statistics(data, network, "test", 10_000)
    test = reference.rows[torch.randperm(reference.n, generator=torch.Generator().manual_seed(0))[:neighbors]]
    measures = _feature_measures(test, features(network, training.x))
    measures = {frechet_name: lambda batch, seed: {"": distance_to_reference(batch.x, reference)}, **measures}
    if frechet_name == "fd-digits_cnn":
        label = data.test.take(data.test.size or 0, 0).label

        def class_balance(batch: Batch, seed: int) -> dict[str, float]:
            predicted = network.logits(batch.x).argmax(1)
            correct = float((predicted == batch.label).double().mean())
            return {"": balance(predicted, label, data.event.classes), "accuracy": correct}

        measures["class_balance"] = class_balance
    return Task(spec["name"], Real(drawn, training, space.levels), kinds, prepare, measures, n, {})


def _feature_measures(test: Float[Tensor, "m k"], train: Float[Tensor, "l k"]) -> dict[str, Measure]:
    """Return metrics of features that compare with test images and with training images."""
    columns = test.double().numpy()
    within = once(lambda: kernel_within(columns))
    real = Neighborhoods(test)
    distance = once(lambda: nearest(test, train)[0])

    def kid(batch: Batch, seed: int) -> dict[str, float]:
        rows = batch.x.double().numpy()
        return {"": kernel_within(rows) + within() - 2 * kernel_between(rows, columns)}

    def memorization(batch: Batch, seed: int) -> dict[str, float]:
        sampled, real = nearest(batch.x, train)[0], distance()
        close = float((sampled < real.quantile(0.01)).double().mean())
        return {"": close, "ratio": float(sampled.median() / real.median())}

    return {
        "kid": kid,
        "monge_distance": lambda batch, seed: {"": sliced_distance(batch.x, test, 100, seed)},
        "precision_recall": lambda batch, seed: precision_and_recall(Neighborhoods(batch.x), real, 3),
        "density_coverage": lambda batch, seed: density_and_coverage(Neighborhoods(batch.x), real, 5),
        "memorization": memorization,
    }


def features(network: FeatureExtractor, images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
    """Return the features of images, block by block from the cache."""
    return torch.cat([_block(network, block) for block in images.split(BLOCK)])


def _block(network: FeatureExtractor, images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
    content = hashlib.sha256(images.contiguous().numpy().data).hexdigest()
    key = cache.key(images=content, features=network.sha256, resize=network.resize)
    return tensors.cached("features", key, lambda: {"features": extract(network, images)})["features"]
