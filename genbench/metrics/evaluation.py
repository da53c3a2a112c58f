"""Evaluation: the samples of one model and the data to compare them with, as every metric sees them.

A metric is a function `(evaluation, *, keyword-only settings) -> Value | list[Value]`, registered by

    @metrics.register("w2", version=1, better="lower", of="samples")

of="samples"    reads generated samples only; also measured at every NFE of the curve, on samples from other programs,
                and on real data, which gives the floor
of="model"      reads the model (its density, its paths); measured once
halves=True     gets an interval from random halves of the samples, which takes about six times as long as the value
halves=False    gets no interval, because counts grow with the number of samples
drops=True      takes more samples than the n of its values
bounds=(0, None)                  the possible values; a run with any other value fails
bounds={part: (lower, upper)}     the same for each part, "" for all others

A mean, a W2 or a Frechet distance states its standard error in its details.
"""

import zlib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from genbench.core import Batch, Data, Model, Transport
from genbench.errors import RunFailed, TooFewSamples, Unsupported
from genbench.metrics.sampling import LabelRule
from genbench.registry import Entry
from genbench.seeds import derive
from genbench.settings import call
from genbench.training.process_group import ALONE, Group

T = TypeVar("T")

NORMAL = 1.96
"""95 % of a normal distribution lies within this number of standard deviations of its mean."""


class Value(NamedTuple):
    """One measured number.

    Args:
        n: number of samples it was measured on.
        protocol: in a few words, everything that must agree before two such numbers may be compared.
        part: name of the component, for a metric that returns several; its row is called `metric.part`.
        floor: value of a perfect model, where the metric itself knows it; otherwise it is measured on real data.
        details: further plain JSON numbers that belong to the value (bias estimate, tolerance difference, ...).
        better: direction of a part whose direction differs from its metric's, such as "none" for a signed part.
    """

    value: float
    n: int
    protocol: str
    part: str = ""
    floor: float | None = None
    details: Mapping[str, Any] = {}
    better: Literal["", "lower", "higher", "none"] = ""


@dataclass(eq=False, kw_only=True)
class Evaluation:
    """The samples of one model (or of another program), the data to compare them with, and cached intermediates.

    Args:
        seed: all randomness of an evaluation derives from it, and never from the model.
        x: samples in model space.
        nfe: network evaluations per sample; None for samples of unknown origin.
        model: the model, for metrics of the model.
        labels: rule that chooses the labels of the samples of a conditional model.
        seconds: time that drawing the samples took.
        group: processes that share the work; each of them has the same evaluation, and calls the same metrics.
        errors: whether values without a standard error get an interval from random halves.
        image_grids: raw images that metrics show, ten per row, by the name of the grid.
    """

    data: Data = field(kw_only=False)
    seed: int = field(kw_only=False)
    x: Float[Tensor, "n *event"]
    label: Int[Tensor, " n"] | None = None
    nfe: float | None = None
    model: Model | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    batch: int = 512
    labels: LabelRule = "shares"
    seconds: float = 0.0
    group: Group = ALONE
    errors: bool = True
    image_grids: dict[str, Tensor] = field(default_factory=dict, init=False)
    _cache: dict[Hashable, Any] = field(default_factory=dict, init=False)
    _shared: list[tuple[Tensor, int]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._watch(self.x, self.label)

    @cached_property
    def failures(self) -> int:
        """Number of samples that are not finite."""
        return int((~torch.isfinite(self.x.flatten(1)).all(1)).sum())

    def samples(self, n: int) -> Float[Tensor, "n *event"]:
        """Return the first n samples in model space.

        Raises:
            Unsupported: if there are fewer, or if some are not finite (they are never redrawn).
        """
        if n > len(self.x):
            raise TooFewSamples(n, len(self.x))
        if self.failures:
            raise Unsupported(f"{self.failures} of {len(self.x)} samples are not finite")
        return self.x[:n]

    def decoded(self, n: int) -> Shaped[Tensor, "n *event"]:
        """Return the first n samples as raw data (uint8 for images)."""
        return self.data.space.decode(self.samples(n))

    def part(self, rows: Int[Tensor, " m"]) -> "Evaluation":
        """Return the evaluation of some of the samples, whose features are not computed again."""
        label = None if self.label is None else self.label[rows]
        part = replace(self, x=self.x[rows], label=label, group=ALONE)
        for key, features in self._cache.items():
            if isinstance(key, tuple) and key[0] == "features" and bool((rows < sum(map(len, features))).all()):
                part._cache[key] = [torch.cat(features)[rows]]
        return part

    def reference(self, n: int) -> Batch:
        """Return n samples of the test split in model space, the same for every model."""

        def take() -> Batch:
            batch = self.data.test.take(n, derive(self.seed, "reference"))
            self._watch(*batch)
            return batch

        return self.cached(("reference", n), take)

    def _watch(self, *tensors: Tensor | None) -> None:
        self._shared += [(tensor, _checksum(tensor)) for tensor in tensors if tensor is not None]

    @property
    def changed(self) -> bool:
        """Whether a metric wrote into samples, labels or test data, which metrics share."""
        return any(_checksum(tensor) != checksum for tensor, checksum in self._shared)

    def density_model(self) -> Model:
        """Return the model, for its density. Raises Unsupported without a model, and for guided sampling."""
        if self.model is None:
            raise Unsupported("samples alone have no density")
        if self.options.get("guidance"):
            raise Unsupported("only the model without guidance has a density: set sample.guidance=0")
        if self.options.get("diffusion"):
            raise Unsupported("its samples follow an SDE: set sample.diffusion=0")
        return self.model

    def ode_model(self) -> Model:
        """Return the model, for its velocity field. Raises Unsupported unless its samples follow an ODE."""
        if self.model is not None and self.model.density == "latents":
            raise Unsupported("its paths, if it has any, are in latent space")
        if not isinstance(self.model, Transport):
            raise Unsupported("its samples do not follow an ODE")
        return self.density_model()

    @cached_property
    def inner(self) -> "Evaluation":
        """The same evaluation without samples, in the space of density and paths: latent space if the model has one."""
        if self.model is None:
            return self
        model, data = self.model.within(self.data)
        if model is self.model:
            return self
        return replace(self, data=data, x=torch.empty(0, *data.event.shape), label=None, nfe=None, model=model)

    @property
    def stated_labels(self) -> str:
        """What protocols say about the labels of samples: nothing if they follow the data."""
        conditional = self.model is not None and self.model.conditional
        return ", equally many samples of each class" if conditional and self.labels == "equal" else ""

    @property
    def space(self) -> str:
        """The space of samples, paths and densities, for protocols: latents differ from encoder to encoder."""
        encoder = self.data.provenance.get("encoder")
        return f"latents of encoder {encoder[:8]}" if encoder else "model space"

    def cached(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Compute once what several metrics of this evaluation use."""
        return _computed(self._cache, key, compute)

    def cached_for_task(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Compute once what depends on data and seed only, for all evaluations with the same data and seed."""
        return _computed(_task_cache(self.data, self.seed), key, compute)


def values_of(metric: Entry, evaluation: Evaluation, settings: Mapping) -> list[Value]:
    """Call a registered metric.

    Raises:
        Unsupported: if the metric has no value.
        RunFailed: if it modified samples or test data, which the other metrics also read.
    """
    try:
        measured = call(metric.build, evaluation, settings=settings)
    finally:
        if evaluation.changed:
            raise RunFailed(f"{metric.name} must not write into samples or test data; let it write into a clone()")
    return [measured] if isinstance(measured, Value) else list(measured)


def standard_error(each: Shaped[Tensor, " n"], scale: float = 1.0) -> dict[str, float]:
    """Return the details that state the standard error of `scale` times a mean over samples; {} if the error is 0.

    If `each` is the influence function of a smooth statistic (its growth with the weight of a sample), the result is
    the standard error of the statistic. For a distance that is close to its floor, it is too large, by up to 41 %: the
    influence on a distance of 0 is 0, but not if it is estimated from the samples.

    References: Efron, 1981 (infinitesimal jackknife); Efron and Stein, 1981 (it errs upward).
    """
    error = scale * float(each.double().std()) / len(each) ** 0.5 if len(each) > 1 else 0.0
    return {"standard_error": error} if error else {}


def wilson(share: float, n: int) -> dict[str, float]:
    """Return the detail that states the longer side of the 95 % interval of a share of n samples.

    Wilson's interval is not symmetric near 0 and 1.

    Reference: Wilson, 1927.
    """
    weight = NORMAL**2 / n
    center = (share + weight / 2) / (1 + weight)
    half = NORMAL * (share * (1 - share) / n + weight / (4 * n)) ** 0.5 / (1 + weight)
    return {"half_interval": half + abs(center - share)}


def _checksum(tensor: Tensor) -> int:
    return zlib.crc32(tensor.detach().cpu().contiguous().numpy().data)


@lru_cache(maxsize=2)  # runs of one task are evaluated one after another
def _task_cache(data: Data, seed: int) -> dict[Hashable, Any]:
    return {}


def _computed(known: dict[Hashable, Any], key: Hashable, compute: Callable[[], T]) -> T:
    if key not in known:
        known[key] = compute()
    return known[key]
