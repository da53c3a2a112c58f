"""Sampling for an evaluation: how many samples, from which noise and labels, and how they are drawn."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genbench.core import Data, Model, Samples, Source
from genbench.errors import RunFailed
from genbench.numerics.ode import FixedStepMethod
from genbench.seeds import derive, generator
from genbench.settings import Count, typed
from genbench.training.process_group import ALONE, Group

LabelRule = Literal["shares", "equal"]
"""Shares of the classes among the samples of a conditional model: as in the data, or equal."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """The samples that an evaluation draws, and the curve of quality against NFE that it measures.

    Args:
        n: number of samples.
        batch: samples drawn at once; part of the protocol, since an adaptive solver shares its steps over a batch.
        curve: numbers of network evaluations (NFE) at which quality is also measured.
        curve_method: fixed-step solver of that curve.
        curve_metrics: metrics of samples that are measured along the curve; by default all.
        floor: whether each metric of samples is also measured on real data.
        interval: whether metrics of samples that state no interval, as plug-ins may, get one. It comes from random
            halves of the samples of the main solver, and takes six times as long as the value.
        labels: which classes a conditional model generates: "shares", each as often as in the test split, as a model
            without labels does; "equal", all equally often.
        split: held-out data that samples are compared with: tables use the test split, tuning the validation split.
            Metrics that by default compare with training images compare with held-out images if
            `metric.NAME.split=test`.
    """

    n: Count = 2048
    batch: Count = 512
    curve: tuple[Count, ...] = ()
    curve_method: FixedStepMethod = "euler"
    curve_metrics: tuple[str, ...] = ()
    floor: bool = True
    interval: bool = False
    labels: LabelRule = "shares"
    split: Literal["test", "valid"] = "test"


def batches(n: int, size: int) -> list[range]:
    """Return the indices of n samples in batches."""
    return [range(start, min(start + size, n)) for start in range(0, n, size)]


def noise(source: Source, n: int, seed: int, *, start: int = 0) -> Float[Tensor, "n *event"]:
    """Draw the noise of samples start .. start+n-1. Each has its own seed, so sample i does not depend on n."""
    return _noise(source, n, seed, start).clone()  # the cached tensor must not be modified by callers


@lru_cache(maxsize=8)  # all points of an NFE curve start from the same noise
def _noise(source: Source, n: int, seed: int, start: int) -> Float[Tensor, "n *event"]:
    stream = torch.Generator()
    drawn = [source.sample(1, stream.manual_seed(derive(seed, "noise", i))) for i in range(start, start + n)]
    return torch.cat(drawn)


def drawn_labels(model: Model, data: Data, n: int, seed: int, rule: LabelRule) -> Int[Tensor, " n"] | None:
    """Return the labels that a conditional model draws n samples for; None for another model.

    Each class has its share of the test split, up to one sample (largest remainders first), or an equal share. The
    j-th of the c samples of a class stands at (j + 1/2) / c, so that the first samples have nearly these shares. With
    fewer samples than classes, the seed decides between equal remainders.
    """
    if not model.conditional:
        return None
    classes = data.event.classes
    weights = data.test.frequencies(classes) if rule == "shares" else torch.ones(classes, dtype=torch.float64)
    due = n * weights / weights.sum()
    count = (due + 1e-9).floor().long()
    order = torch.arange(classes) if n >= classes else torch.randperm(classes, generator=generator(seed, "labels"))
    by_remainder = order[(due - count)[order].argsort(descending=True, stable=True)]
    count[by_remainder[: n - int(count.sum())]] += 1
    place = torch.cat([(torch.arange(c).double() + 0.5) / c for c in count.tolist()])
    return torch.repeat_interleave(count)[place.argsort(stable=True)]


def starting_points(
    model: Model, rows: range, seed: int, label: Int[Tensor, " n"] | None
) -> tuple[Float[Tensor, "b *event"], Int[Tensor, " b"] | None]:
    """Return the noise and the labels of the samples with these indices, on the model's device.

    Args:
        label: labels of all samples (`drawn_labels`).
    """
    device = next(model.parameters()).device
    own = None if label is None else label[rows.start : rows.stop].to(device)
    return noise(model.source, len(rows), seed, start=rows.start).to(device), own


@torch.no_grad()
def draw(
    model: Model,
    n: int,
    batch: int,
    seed: int,
    options: Mapping[str, Any],
    group: Group = ALONE,
    *,
    label: Int[Tensor, " n"] | None = None,
) -> tuple[Float[Tensor, "n *event"], float]:
    """Draw n samples in batches, which the processes of a group share; return them and the mean NFE.

    Args:
        label: labels of the samples of a conditional model (`drawn_labels`).
    """
    arguments = typed(model.sampler, options)

    def one(rows: range) -> tuple[Tensor, float]:
        x0, own = starting_points(model, rows, seed, label)
        drawn = model.sample(x0, label=own, **arguments)
        _check(drawn, (len(x0), *model.event.shape))
        return drawn.x.float().cpu(), drawn.nfe * len(x0)

    samples, evaluations = zip(*group.map(one, batches(n, batch)), strict=True)
    return torch.cat(samples), sum(evaluations) / n


def _check(drawn: Samples, shape: tuple[int, ...]) -> None:
    """Refuse samples that a model may not return."""
    if drawn.x.shape != shape or not drawn.x.is_floating_point():
        found = f"{drawn.x.dtype} of shape {tuple(drawn.x.shape)}".removeprefix("torch.")
        raise RunFailed(f"the model returned samples as {found}; it has to return real numbers of shape {shape}")
    if not (isinstance(drawn.nfe, (int, float)) and math.isfinite(drawn.nfe) and drawn.nfe >= 0):
        raise RunFailed(f"the model returned the NFE {drawn.nfe!r}; it has to return a number of at least 0")
