"""Frechet distances on the features of the small classifiers; only a distance on Inception's features is an FID."""

from typing import Annotated

import torch
from jaxtyping import Bool
from torch import Tensor

from genbench.errors import Unsupported
from genbench.metrics.classifiers.captions_cnn import caption_classifier
from genbench.metrics.classifiers.classifier import digits_cnn, mnist5k_cnn
from genbench.metrics.evaluation import Evaluation, Value, standard_error
from genbench.metrics.extractors.feature_extractor import FeatureExtractor, extract
from genbench.metrics.image.feature_sets import sample_features
from genbench.metrics.image.fid import distance_to_reference, influence_on_distance
from genbench.metrics.image.frechet import Moments
from genbench.metrics.image.reference_statistics import Statistics
from genbench.registry import metrics
from genbench.settings import Count

N = Annotated[Count | None, "number of samples; by default all. The test split is always used whole"]


@metrics.register("fd-digits_cnn", version=2, better="lower", bounds=(0, None), of="samples")
def fd_digits_cnn(evaluation: Evaluation, *, n: N = None) -> Value:
    """Frechet distance to test images in the features of a small classifier of 8x8 digits. Not an FID.

    Biased upward, the more so the fewer images: `bias` is an estimate for Gaussian features, and the floor, that of
    training images, has nearly the same bias.

    Reference: Heusel et al., 2017.
    """
    return _to_test_images(evaluation, digits_cnn(evaluation.data), n)


@metrics.register("fd-mnist5k_cnn", version=1, better="lower", bounds=(0, None), of="samples")
def fd_mnist5k_cnn(evaluation: Evaluation, *, n: N = None) -> Value:
    """Frechet distance to test images in the features of a small classifier of 28x28 digits. Not an FID.

    Biased like `fd-digits_cnn`.

    Reference: Heusel et al., 2017.
    """
    return _to_test_images(evaluation, mnist5k_cnn(evaluation.data), n)


@metrics.register("fd-captions_cnn", version=2, better="lower", bounds=(0, None), of="samples", drops=True)
def fd_captions_cnn(evaluation: Evaluation, *, n: N = None) -> Value:
    """Frechet distance to test images in the features of a small classifier of class and look. Not an FID.

    Combinations of class and look that training lacks are excluded from samples and test images. Biased like
    `fd-digits_cnn`.

    Reference: Heusel et al., 2017.
    """
    network = caption_classifier(evaluation.data).classifier
    assert evaluation.data.captions is not None
    return _to_test_images(evaluation, network, n, torch.tensor(evaluation.data.captions.held_out))


def _to_test_images(
    evaluation: Evaluation, network: FeatureExtractor, n: int | None, held_out: Bool[Tensor, " classes"] | None = None
) -> Value:
    """Return the distance of samples to test images, both without the classes that are held out."""
    data = evaluation.data
    x = sample_features(evaluation, network, n or len(evaluation.x))
    n_test = data.test.size or len(x)
    test = evaluation.reference(n_test)
    key = ("test features", network.name, network.sha256, n_test)  # the network sees each once per task
    y = evaluation.cached_for_task(key, lambda: extract(network, data.space.decode(test.x)))
    if held_out is not None:
        y = y[~held_out[test.label]]
        x = x if evaluation.label is None else x[~held_out[evaluation.label[: len(x)]]]
    if min(len(x), len(y)) < 2:
        raise Unsupported("a covariance needs at least 2 images")
    reference = Statistics(f"{len(y)} test images", Moments([y]), y)
    bias = reference.bias_constant * (1 / len(x) + 1 / len(y))
    error = standard_error(influence_on_distance(x, reference))
    protocol = f"{network.name} {network.sha256[:8]}, resize {network.resize}, n={len(x)} against {reference.source}"
    details = {"bias": bias, "n_reference": len(y), **error}
    return Value(distance_to_reference(x, reference), len(x), protocol, details=details)
