"""FID and Frechet distances on other features, to the stored statistics of real images.

A published FID depends on the network, the resizing, the number of samples, and the comparison with training images.
"""

import json
from typing import Annotated, Any

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation, Value, standard_error
from genbench.metrics.extractors.feature_extractor import Extractor, FeatureExtractor, build_extractor, extract
from genbench.metrics.image.classifier import caption_classifier, digits_cnn, mnist5k_cnn
from genbench.metrics.image.feature_sets import IMAGES, MAX_HELD_OUT, FeatureSets, Images, feature_sets, sample_features
from genbench.metrics.image.frechet import (
    NEAR_ZERO,
    Moments,
    frechet,
    frechet_from_few,
    frechet_of_few,
    influence,
    influence_of_few,
)
from genbench.metrics.image.reference_statistics import Published, Statistics
from genbench.models.latent.latent_model import Latent
from genbench.registry import extractors, metrics
from genbench.seeds import derive
from genbench.settings import Count, Nested, OnDisk

Own = "settings of the network: weights (path of a file), and its sha256 unless it is the published file"
Legacy = Annotated[dict[str, Any] | str | None, Nested(extractors, allowed=("inception-legacy",)), Own]
Clean = Annotated[dict[str, Any] | str | None, Nested(extractors, allowed=("inception-clean",)), Own]
DINOv2 = Annotated[dict[str, Any] | str | None, Nested(extractors, allowed=("dinov2",)), Own]
Spatial = Annotated[dict[str, Any] | str | None, Nested(extractors, allowed=("inception-spatial",)), Own]
Lite = Annotated[dict[str, Any] | str | None, Nested(extractors, allowed=("efficientnet_lite0",)), "the network"]
File = Annotated[
    str | None,
    OnDisk(),
    "path of an .npz with mu and sigma, as clean-fid publishes them; they replace the real images; for statistics of "
    "test images, also set split=test: training images then give the floor",
]
N = Annotated[Count | None, "number of samples; by default all. The test split is always used whole"]


@metrics.register("fid-legacy", version=1, better="lower", bounds=(NEAR_ZERO, None), of="samples", floor=False)
def fid_legacy(
    evaluation: Evaluation, *, images: Images = IMAGES, statistics: File = None, features: Legacy = None
) -> Value:
    """FID with TensorFlow's resizing, as most papers report it: 50,000 samples against training images.

    Reference: Heusel et al., 2017.
    """
    return _distance(feature_sets(evaluation, features or "inception-legacy", images, statistics=statistics))


@metrics.register("fid-clean", version=1, better="lower", bounds=(NEAR_ZERO, None), of="samples", floor=False)
def fid_clean(
    evaluation: Evaluation, *, images: Images = IMAGES, statistics: File = None, features: Clean = None
) -> Value:
    """FID with clean resizing: 50,000 samples against training images.

    Reference: Parmar et al., 2022.
    """
    return _distance(feature_sets(evaluation, features or "inception-clean", images, statistics=statistics))


@metrics.register("sfid", version=1, better="lower", bounds=(NEAR_ZERO, None), of="samples", floor=False)
def sfid(
    evaluation: Evaluation, *, images: Images = IMAGES, statistics: File = None, features: Spatial = None
) -> Value:
    """Frechet distance to training images in spatial features of Inception, which depend on positions.

    Reference: Nash et al., 2021.
    """
    return _distance(feature_sets(evaluation, features or "inception-spatial", images, statistics=statistics))


@metrics.register("fd-dinov2", version=1, better="lower", bounds=(NEAR_ZERO, None), of="samples", floor=False)
def fd_dinov2(
    evaluation: Evaluation, *, images: Images = IMAGES, statistics: File = None, features: DINOv2 = None
) -> Value:
    """Frechet distance to training images in the features of DINOv2. Not an FID.

    Reference: Stein et al., 2023.
    """
    return _distance(feature_sets(evaluation, features or "dinov2", images, statistics=statistics))


@metrics.register(
    "fd-efficientnet_lite0", version=1, better="lower", bounds=(NEAR_ZERO, None), of="samples", floor=False
)
def fd_efficientnet_lite0(evaluation: Evaluation, *, images: Images = IMAGES, features: Lite = None) -> Value:
    """Frechet distance to training images in the features of EfficientNet-Lite0, without a download. Not an FID."""
    return _distance(feature_sets(evaluation, features or "efficientnet_lite0", images))


@metrics.register("fd-digits_cnn", version=2, better="lower", bounds=(NEAR_ZERO, None), of="samples")
def fd_digits_cnn(evaluation: Evaluation, *, n: N = None) -> Value:
    """Frechet distance to test images in the features of a small classifier of 8x8 digits. Not an FID.

    It is biased upward, more so with fewer images. `bias` estimates the bias for Gaussian features. The floor, measured
    on training images, has nearly the same bias.

    Reference: Heusel et al., 2017.
    """
    return _to_test_images(evaluation, digits_cnn(evaluation.data), n)


@metrics.register("fd-mnist5k_cnn", version=1, better="lower", bounds=(NEAR_ZERO, None), of="samples")
def fd_mnist5k_cnn(evaluation: Evaluation, *, n: N = None) -> Value:
    """Frechet distance to test images in the features of a small classifier of 28x28 digits. Not an FID.

    Biased like `fd-digits_cnn`.
    """
    return _to_test_images(evaluation, mnist5k_cnn(evaluation.data), n)


@metrics.register("fd-captions_cnn", version=2, better="lower", bounds=(NEAR_ZERO, None), of="samples", drops=True)
def fd_captions_cnn(evaluation: Evaluation, *, n: N = None) -> Value:
    """Frechet distance to test images in the features of a small classifier of class and look. Not an FID.

    Combinations of class and look that training lacks are excluded from samples and test images. Biased like
    `fd-digits_cnn`.
    """
    network = caption_classifier(evaluation.data).classifier
    assert evaluation.data.captions is not None
    return _to_test_images(evaluation, network, n, torch.tensor(evaluation.data.captions.held_out))


@metrics.register("reconstruction_fd", version=1, better="lower", bounds=(NEAR_ZERO, None), of="model")
def reconstruction_fd(evaluation: Evaluation, *, images: Images = IMAGES, features: Extractor = None) -> Value:
    """Frechet distance between real images and held-out ones that a latent model's encoder encoded and decoded.

    A perfect model of the latents has this distance.
    """
    data = evaluation.data
    if data.event.is_image:
        build_extractor(data, features)  # first: before training, there is no model
    model = evaluation.model
    if not isinstance(model, Latent) or not data.event.is_image:
        raise Unsupported("its model has no encoder of images")

    def measured() -> Value:
        real = data.test if images.split == "train" else data.train
        n = min(images.n or len(evaluation.x), real.size or MAX_HELD_OUT)
        device = next(model.parameters()).device
        with torch.no_grad():
            parts = real.take(n, derive(evaluation.seed, "reconstruction")).x.split(evaluation.batch)
            x = torch.cat([model.encoder.decode(model.encoder.encode(part.to(device))).cpu() for part in parts])
        found = _distance(feature_sets(Evaluation(data, evaluation.seed, x=x), features, images))
        return found._replace(protocol=f"reconstructions, {found.protocol}")

    key = ("reconstruction_fd", model.encoder.digest(), images, len(evaluation.x), json.dumps(features))
    return evaluation.cached_for_task(key, measured)


def _distance(sets: FeatureSets) -> Value:
    """Return the distance; its floor uses as many held-out images as there are samples.

    With fewer held-out images, a detail extrapolates the floor: it subtracts the excess bias, estimated for Gaussian
    features.
    """
    reference = sets.reference if sets.given is None else sets.given
    n_real = reference.n if isinstance(reference, Statistics) else None
    floor_samples, dims = sets.floor_samples, sets.samples.shape[1]
    details: dict[str, float | None] = {"n_reference": n_real, "n_floor": len(floor_samples)}
    # The covariance of fewer images than features is singular: the bias along the missing directions is unknown.
    full_rank = n_real is None or n_real > dims
    per_sample = reference.bias_constant if full_rank else 0.0
    details |= standard_error(influence_on_distance(sets.samples, reference))
    details["bias"] = per_sample * (1 / sets.n + (1 / n_real if n_real else 0.0)) if full_rank else None
    of_held_out = distance_to_reference(floor_samples, reference) if len(floor_samples) > 1 else None
    floor = of_held_out if len(floor_samples) == sets.n else None
    if of_held_out is not None and floor is None and full_rank:
        details["extrapolated_floor"] = of_held_out - per_sample * (1 / len(floor_samples) - 1 / sets.n)
    protocol = sets.protocol if n_real else f"{sets.extractor.protocol}, n={sets.n} against {reference.source}"
    return Value(distance_to_reference(sets.samples, reference), sets.n, protocol, floor=floor, details=details)


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
    protocol = f"{network.protocol}, n={len(x)} against {reference.source}"
    details = {"bias": bias, "n_reference": len(y), **error}
    return Value(distance_to_reference(x, reference), len(x), protocol, details=details)


def distance_to_reference(x: Float[Tensor, "n k"], reference: Published) -> float:
    """Return the Frechet distance of features to reference statistics, by the formula for their numbers of samples."""
    if len(x) > x.shape[1]:
        return frechet(Moments(x.split(4096)), reference.moments)
    if isinstance(reference, Statistics) and reference.n <= x.shape[1]:
        return frechet_of_few(x, reference.rows)
    return frechet_from_few(x, reference.moments)


def influence_on_distance(x: Float[Tensor, "n k"], reference: Published) -> Float64[Tensor, " n"]:
    """Return the influence of each sample on `distance_to_reference`, up to a constant."""
    if len(x) > x.shape[1]:
        return influence(x, Moments(x.split(4096)), reference.moments)
    return influence_of_few(x, reference.moments)
