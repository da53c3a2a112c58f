"""The image metrics of torchmetrics: `torchmetrics:CLASS` measures any of them, with protocol and floor."""

import inspect
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, Any

import torch
import torchmetrics.image
from torch import Tensor, nn
from torchmetrics import Metric

from genbench.errors import ConfigError, Unsupported, unknown
from genbench.metrics.evaluation import Evaluation, Value
from genbench.metrics.image.feature_sets import IMAGES, Images, feature_sets
from genbench.metrics.image.mind import Inception
from genbench.models.latent.latent_model import Latent
from genbench.registry import Entry
from genbench.seeds import derive
from genbench.settings import Count, plain, settings_of
from genbench.space import Pixels

SHORT = {
    "FID": "FrechetInceptionDistance",
    "KID": "KernelInceptionDistance",
    "MIFID": "MemorizationInformedFrechetInceptionDistance",
    "IS": "InceptionScore",
    "SSIM": "StructuralSimilarityIndexMeasure",
    "MSSSIM": "MultiScaleStructuralSimilarityIndexMeasure",
    "PSNR": "PeakSignalNoiseRatio",
}
"""Short names of classes."""

WITH_NETWORKS = ("LearnedPerceptualImagePatchSimilarity", "DeepImageStructureAndTextureSimilarity")
"""Classes that download a network and unpickle its file, which could run code."""

OURS = ("self", "feature", "normalize", "reset_real_features", "input_img_size", "feature_extractor_weights_path")
OURS += ("antialias", "kwargs")
"""Arguments that are not settings: genbench passes the extractor, which also resizes and quantizes."""

Reconstructed = Annotated[Count, "largest number of test images to reconstruct"]


class Given(nn.Identity):
    """A stand-in for a network, for features that are computed already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features


def entry(name: str) -> Entry:
    """Return the metric `torchmetrics:NAME`.

    Raises:
        ConfigError: if torchmetrics has no such image metric, or the metric has a network of its own.
    """
    title = SHORT.get(name, name)
    if title in WITH_NETWORKS:
        raise ConfigError(
            f"{name} would download and unpickle a network, which genbench refuses: choose another metric"
        )
    if title not in torchmetrics.image.__all__:
        known = [each for each in torchmetrics.image.__all__ if each not in WITH_NETWORKS]
        raise unknown("torchmetrics has no image metric", name, [*SHORT, *known])
    kind: type[Metric] = getattr(torchmetrics.image, title)
    of_pairs = tuple(inspect.signature(kind.update).parameters)[1:] in (("preds", "target"), ("img1", "img2"))
    on_features = "feature" in inspect.signature(kind).parameters
    better = {True: "higher", False: "lower", None: "none"}[kind.higher_is_better]
    traits = {"better": better, "of": "samples" if on_features else "model", "floor": False, "halves": on_features}
    measure = _of_features if on_features else _of_reconstructions

    def build(evaluation: Evaluation, **settings: Any) -> Value:
        if not (on_features or of_pairs):
            raise Unsupported(f"{title} does not compare images with other images")
        schema, own = settings_of(build), {p.name for p in of_class}
        changed = [
            f"{name}={value}"
            for name, value in settings.items()
            if name in own and plain(schema[name], value, name) != plain(schema[name], schema[name].default, name)
        ]
        stated = f"{title} of torchmetrics {version('torchmetrics')}" + (f" ({', '.join(changed)})" if changed else "")
        return measure(kind, stated, evaluation, **settings)

    build.__doc__ = (
        f"{title} of torchmetrics, on {'features of Inception' if on_features else 'reconstructions of the encoder'}."
    )
    of_class = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(kind).parameters.values()
        if parameter.name not in OURS and "Tensor" not in str(parameter.annotation)
    ]
    of_class = [p.replace(default=1.0) if p.name == "data_range" else p for p in of_class]
    shared = [p for p in inspect.signature(measure).parameters.values() if p.kind is p.KEYWORD_ONLY]
    first = inspect.Parameter("evaluation", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Evaluation)
    build.__signature__ = inspect.Signature([first, *shared, *of_class])  # type: ignore[attr-defined]
    return Entry(f"torchmetrics:{name}", build, 1, traits)


def _of_features(
    kind: type[Metric],
    stated: str,
    evaluation: Evaluation,
    *,
    images: Images = IMAGES,
    features: Inception = None,  # every such class has a name that implies Inception's features
    **settings: Any,
) -> Value:
    sets = feature_sets(evaluation, features or "inception-legacy", images)
    two = "real" in inspect.signature(kind.update).parameters

    def measured(samples: Tensor) -> list[float]:
        x = samples if two else sets.extractor.logits(samples)
        with torch.random.fork_rng(devices=[]):  # some draw subsets from the global state
            torch.manual_seed(derive(evaluation.seed, kind.__name__))
            metric = kind(feature=Given(x.shape[1]), **settings)
            if two:
                metric.update(sets.reference.rows.double(), real=True)
                metric.update(x.double(), real=False)
            else:
                metric.update(x.double())
            return [float(each) for each in _as_tuple(metric.compute())]

    value, *spread = _or_unsupported(lambda: measured(sets.samples))
    floor = sets.floor(evaluation, (stated, str(settings)), lambda x: measured(x)[0])
    details = {"sd": spread[0]} if spread else {}
    return Value(value, sets.n, f"{stated}, {sets.protocol}", floor=floor, details=details)


def _of_reconstructions(
    kind: type[Metric], stated: str, evaluation: Evaluation, *, n: Reconstructed = 1000, **settings: Any
) -> Value:
    model, space = evaluation.model, evaluation.data.space
    if not isinstance(model, Latent) or not isinstance(space, Pixels):
        raise Unsupported("its model has no encoder of images, whose reconstructions could be compared with them")
    n = min(n, evaluation.data.test.size or n)
    x = evaluation.reference(n).x
    device = next(model.parameters()).device
    metric = _or_unsupported(lambda: kind(**settings))
    with torch.no_grad():
        for real in x.split(evaluation.batch):
            again = model.encoder.decode(model.encoder.encode(real.to(device))).cpu()
            pair = (space.decode(each).double() / (space.levels - 1) for each in (again, real))
            _or_unsupported(lambda pair=pair: metric.update(*pair))
    value = _or_unsupported(lambda: float(_as_tuple(metric.compute())[0]))
    return Value(value, n, f"{stated}, reconstructions of {n} test images in [0, 1]")


def _as_tuple(value: Any) -> tuple:
    return value if isinstance(value, tuple) else (value,)


def _or_unsupported(compute: Callable[[], Any]) -> Any:
    try:
        return compute()
    except (ValueError, RuntimeError, ModuleNotFoundError) as error:  # torchmetrics: too few or too small images
        raise Unsupported(" ".join(str(error).split())[:200]) from error
