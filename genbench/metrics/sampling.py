"""Sampling for an evaluation: how many samples, from which noise and labels, and how they are drawn."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genbench.core import Model
from genbench.metrics.starting_noise import noise
from genbench.numerics.ode import FixedStepMethod
from genbench.settings import Count, typed


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How many samples an evaluation draws, and where it measures the curve of quality against NFE.

    Args:
        n: number of samples.
        batch: samples drawn at once; part of the protocol, since an adaptive solver shares its steps over a batch.
        curve: numbers of network evaluations at which quality is measured besides the main solver.
        curve_method: fixed-step solver of that curve.
        curve_metrics: metrics of samples that are measured along the curve; by default all.
        floor: whether each metric of samples is also measured on real data.
        split: held-out data that samples are compared with: tables use the test split, tuning the validation split.
    """

    n: Count = 2048
    batch: Count = 512
    curve: tuple[Count, ...] = ()
    curve_method: FixedStepMethod = "euler"
    curve_metrics: tuple[str, ...] = ()
    floor: bool = True
    split: Literal["test", "valid"] = "test"


def starting_points(
    model: Model, n: int, batch: int, seed: int
) -> Iterator[tuple[Float[Tensor, "b *event"], Int[Tensor, " b"] | None]]:
    """Yield the noise and the labels of n samples in batches, on the model's device.

    Sample i has its own noise and, from a conditional model, the label i modulo the number of classes.
    """
    device = next(model.parameters()).device
    for start in range(0, n, batch):
        stop = min(start + batch, n)
        label = torch.arange(start, stop, device=device) % model.event.classes if model.conditional else None
        yield noise(model.source, stop - start, seed, start=start).to(device), label


@torch.no_grad()
def draw(
    model: Model, n: int, batch: int, seed: int, options: Mapping[str, Any]
) -> tuple[Float[Tensor, "n *event"], Int[Tensor, " n"] | None, float]:
    """Draw n samples in batches. Returns samples, labels (None from an unconditional model) and the mean NFE."""
    arguments = typed(model.sampler, options)
    samples, labels, evaluations = [], [], 0.0
    for x0, label in starting_points(model, n, batch, seed):
        drawn = model.sample(x0, label=label, **arguments)
        samples.append(drawn.x.float().cpu())
        labels += [] if label is None else [label.cpu()]
        evaluations += drawn.nfe * len(x0)
    return torch.cat(samples), torch.cat(labels) if labels else None, evaluations / n
