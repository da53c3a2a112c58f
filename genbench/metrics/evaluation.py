"""Evaluation: samples drawn once and shared by every metric; each value with its n, protocol and floor.

A metric is a function `(evaluation, *, keyword-only settings) -> Value | list[Value]`, registered by

    @metrics.register("w2", version=1, better="lower", of="samples")

`of="samples"` looks at generated samples only: it is measured at every point of the curve of quality against
evaluations, on other people's samples, and on data itself, which is its floor. `of="model"` asks the model
(its density, its paths) and is measured once.
"""

import math
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from genbench.core import Batch, Data, Model, Transport
from genbench.errors import RunFailed, Unsupported
from genbench.metrics.noise import noise
from genbench.registry import Entry, metrics
from genbench.seeds import derive
from genbench.settings import Count, call, typed

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How many samples are drawn for an evaluation, and where the curve against evaluations is measured.

    Args:
        n: number of samples.
        batch: samples drawn at once; part of the protocol, since an adaptive solver shares steps over a batch.
        curve: counts of network evaluations at which quality is measured besides the main solver.
        curve_method: fixed-step solver of that curve.
        curve_metrics: metrics of samples that are measured along the curve; none named means all.
        floor: whether each metric of samples is also measured on data itself.
        split: held-out data that samples are compared with: tables read the test split, tuning the validation split.
    """

    n: Count = 2048
    batch: Count = 512
    curve: tuple[Count, ...] = ()
    curve_method: Literal["euler", "midpoint", "heun", "rk4"] = "euler"
    curve_metrics: tuple[str, ...] = ()
    floor: bool = True
    split: Literal["test", "valid"] = "test"


class Value(NamedTuple):
    """One measured number.

    Args:
        value: the number.
        n: how many samples it was measured on.
        protocol: in a few words, everything that must agree before two such numbers may be compared.
        part: name of a component, for a metric that returns several; the row is then called `metric.part`.
        floor: what a perfect model would read, where the metric itself knows; else it is measured on data.
        details: further plain JSON numbers that belong to the value (bias estimate, tolerance difference, ...).
        better: direction of a part that has another than its metric, such as a signed one ("none").
    """

    value: float
    n: int
    protocol: str
    part: str = ""
    floor: float | None = None
    details: Mapping[str, Any] = {}
    better: Literal["", "lower", "higher", "none"] = ""


class Evaluation:
    """The samples of one model (or of somebody else), the data to compare with, and what metrics share.

    Args:
        data: the task.
        seed: all randomness of an evaluation derives from it, and never from the model.
        x: samples in model space.
        label: their labels.
        nfe: evaluations each of them took; None for samples of unknown origin.
        model: the model, for metrics of the model.
        options: sampling options that were used.
        batch: evaluation batch size.
        seconds: what drawing the samples took.
    """

    def __init__(
        self,
        data: Data,
        seed: int,
        *,
        x: Float[Tensor, "n *event"],
        label: Int[Tensor, " n"] | None = None,
        nfe: float | None = None,
        model: Model | None = None,
        options: Mapping[str, Any] | None = None,
        batch: int = 512,
        seconds: float = 0.0,
    ) -> None:
        self.data = data
        self.seconds = seconds
        self.seed = seed
        self.x = x
        self.label = label
        self.nfe = nfe
        self.model = model
        self.options = dict(options or {})
        self.batch = batch
        self.pages: dict[str, Tensor] = {}
        """Raw images that a metric wants looked at, by the name of the picture; ten in a row."""
        self._shared: dict[Hashable, Any] = {}

    @property
    def failures(self) -> int:
        """Number of samples that are not finite."""
        return int((~torch.isfinite(self.x.flatten(1)).all(1)).sum())

    def samples(self, n: int) -> Float[Tensor, "n *event"]:
        """Return the first n samples in model space.

        Raises:
            Unsupported: if there are fewer, or if some are not finite (they are never redrawn).
        """
        if n > len(self.x):
            raise Unsupported(f"needs {n} samples, there are {len(self.x)}")
        if self.failures:
            raise Unsupported(f"{self.failures} of {len(self.x)} samples are not finite")
        return self.x[:n]

    def decoded(self, n: int) -> Shaped[Tensor, "n *event"]:
        """Return the first n samples as raw data (uint8 for images)."""
        return self.data.space.decode(self.samples(n))

    def reference(self, n: int) -> Batch:
        """Return n samples of the test split in model space, the same for every model."""
        return self.shared(("reference", n), lambda: self.data.test.take(n, derive(self.seed, "reference")))

    def transport(self) -> Model:
        """Return the model if its samples follow an ODE. Raises Unsupported otherwise."""
        if self.model is not None and self.model.density == "latents":
            raise Unsupported("its paths, if it has any, are in the space of latents")
        if not isinstance(self.model, Transport):
            raise Unsupported("its samples do not follow an ODE")
        return self.density()

    def density(self) -> Model:
        """Return the model. Raises Unsupported for samples that came without one."""
        if self.model is None:
            raise Unsupported("samples alone have no density")
        if self.options.get("guidance"):
            raise Unsupported("it is of the model without guidance: measure it with sample.guidance=0")
        return self.model

    def shared(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Compute something several metrics of this evaluation use, once."""
        return _once(self._shared, key, compute)

    def common(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Compute something that depends on data and seed alone, once for all evaluations that have them in common."""
        return _once(_common(self.data, self.seed), key, compute)


def draw(
    model: Model, n: int, batch: int, seed: int, options: Mapping[str, Any]
) -> tuple[Float[Tensor, "n *event"], Int[Tensor, " n"] | None, float]:
    """Draw n samples in batches: (x, label, mean evaluations a sample). Sample i has noise of its own.

    A conditional model is asked for its classes in turn: sample i has the label i modulo the number of classes.
    """
    device = next(model.parameters()).device
    arguments = typed(model.sampler, options)
    label = torch.arange(n) % model.event.classes if model.conditional else None
    parts, evaluations = [], 0.0
    with torch.no_grad():
        for start in range(0, n, batch):
            count = min(batch, n - start)
            x0 = noise(model.source, count, seed, start=start).to(device)
            asked = None if label is None else label[start : start + count].to(device)
            drawn = model.sample(x0, label=asked, **arguments)
            parts.append(drawn.x.float().cpu())
            evaluations += drawn.nfe * count
    return torch.cat(parts), label, evaluations / n


def evaluate(
    model: Model, data: Data, chosen: Mapping[str, Mapping], *, sample: Mapping, sampling: Sampling, seed: int
) -> tuple[list[dict[str, Any]], Evaluation]:
    """Measure the chosen metrics {name: bound settings} of a model.

    Returns:
        The rows of the record, and the evaluation with the samples of the main solver.
    """
    seed = derive(seed, "evaluation")
    if sampling.split == "valid":
        data = validating(data)

    def point(options: Mapping[str, Any]) -> Evaluation:
        began = time.perf_counter()
        x, label, nfe = draw(model, sampling.n, sampling.batch, seed, options)
        seconds = time.perf_counter() - began
        return Evaluation(
            data, seed, x=x, label=label, nfe=nfe, model=model, options=options, batch=sampling.batch, seconds=seconds
        )

    main = point(sample)
    rows = [row for name, settings in chosen.items() for row in measure(main, name, settings, sampling.floor)]
    curve = sampling.curve if model.nfe_curve else ()
    along = sampling.curve_metrics or chosen
    of_samples = {name: settings for name, settings in chosen.items() if name in along and _curved(name)}
    for budget in curve:
        try:
            there = point(model.at_budget(sample, sampling.curve_method, budget))
        except Unsupported as reason:
            where = {"point": "curve", "solver": sampling.curve_method, "nfe": float(budget)}
            rows += [row for name in of_samples for row in unsupported(name, str(reason), where)]
            continue
        rows += [row for n, s in of_samples.items() for row in measure(there, n, s, sampling.floor, point="curve")]
    if sampling.split == "valid":
        note = "the validation split taking the place of the test split"
        rows = [row if row["value"] is None else row | {"protocol": f"{row['protocol']}, {note}"} for row in rows]
    return rows, main


@lru_cache(maxsize=2)  # one cell after the other
def _common(data: Data, seed: int) -> dict[Hashable, Any]:
    return {}


def _once(kept: dict[Hashable, Any], key: Hashable, compute: Callable[[], T]) -> T:
    if key not in kept:
        kept[key] = compute()
    return kept[key]


@lru_cache(maxsize=8)
def validating(data: Data) -> Data:
    """Return the task with its validation split in place of the test split, which is then out of reach."""
    return replace(data, test=data.valid)


def _curved(name: str) -> bool:
    """Return whether a metric changes along the curve: it is one of samples, and does not say `curve=False`."""
    traits = metrics[name].traits
    return traits["of"] == "samples" and traits.get("curve", True)


def measure(
    evaluation: Evaluation, name: str, settings: Mapping, floor: bool, *, point: str = "main"
) -> list[dict[str, Any]]:
    """Measure one metric: one row a value, or one row with the reason why there is none."""
    entry = metrics[name]
    row = {"metric": name, "value": None, "better": entry.traits["better"], "point": point}
    # What is asked of the model itself does not depend on how its samples were drawn.
    drawn = entry.traits["of"] == "samples"
    row |= {"solver": evaluation.options.get("method") if drawn else None, "nfe": evaluation.nfe if drawn else None}
    try:
        values = _values(entry, evaluation, settings)
    except Unsupported as reason:
        return unsupported(name, str(reason), row)
    floors: Mapping[str, float] = {}
    if floor and entry.traits["of"] == "samples" and entry.traits.get("floor", True):
        floors = _floors(evaluation.data, name, tuple(sorted(settings.items())), evaluation.seed, len(evaluation.x))
    rows = []
    for value in values:
        if not math.isfinite(value.value):
            raise RunFailed(f"{name} is {value.value}; a metric must raise Unsupported where it has no value")
        rows.append(
            row
            | {
                "metric": f"{name}.{value.part}" if value.part else name,
                "value": value.value,
                "floor": value.floor if value.floor is not None else floors.get(value.part),
                "n": value.n,
                "protocol": value.protocol,
                "better": value.better or row["better"],
                **({"details": dict(value.details)} if value.details else {}),
            }
        )
    return rows


def unsupported(name: str, reason: str, row: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the row of a metric that has no value, for the reason given."""
    blank = {"metric": name, "value": None, "better": metrics[name].traits["better"], "point": "main"}
    return [blank | {"solver": None, "nfe": None} | dict(row or {}) | {"reason": reason}]


def _values(entry: Entry, evaluation: Evaluation, settings: Mapping) -> list[Value]:
    measured = call(entry.build, evaluation, settings=settings)
    return [measured] if isinstance(measured, Value) else list(measured)


@lru_cache(maxsize=4096)
def _floors(data: Data, name: str, settings: tuple, seed: int, n: int) -> dict[str, float]:
    """Measure a metric of samples on real samples from the training split, as if a model had made them."""
    try:
        batch = _real(data, seed, n)
        real = Evaluation(data, seed, x=batch.x, label=batch.label)
        return {value.part: value.value for value in _values(metrics[name], real, dict(settings))}
    except Unsupported:
        return {}


@lru_cache(maxsize=16)
def _real(data: Data, seed: int, n: int) -> Batch:
    size = data.train.size
    return data.train.take(n if size is None else min(n, size), derive(seed, "floor"))
