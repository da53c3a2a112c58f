"""Likelihood of held-out data, in nats and in bits a dimension, always with the convention it is of."""

import math
from collections.abc import Callable
from typing import Annotated, NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from genbench.config import ByEvent, Count, Positive
from genbench.core import Event
from genbench.errors import Unsupported
from genbench.evaluate import Evaluation, Value
from genbench.ode import log_density, rademacher
from genbench.registry import metrics
from genbench.seeds import generator
from genbench.space import dequantise

N = Annotated[
    Count | None,
    ByEvent(lambda event: 2048 if len(event.shape) == 1 else 256),
    "held-out samples; by default 2048 vectors or 256 images",
]
Tol = Annotated[Positive, "tolerance of the ODE, for flows; the value at ten times this is a detail"]


class Likelihood(NamedTuple):
    """Negative log-likelihoods of held-out samples in model space, in nats."""

    nats: Float64[Tensor, " n"]
    floor: float | None
    protocol: str
    details: dict[str, float]


@metrics.register("nll", version=1, better="lower", of="model")
def nll(evaluation: Evaluation, *, n: N = None, tol: Tol = 1e-5) -> Value:
    """Negative log-likelihood of held-out data in nats, summed over the sample, of raw data.

    Chen et al., 2018, https://arxiv.org/abs/1806.07366, for flows of an ODE: exact trace for vectors, Hutchinson's
    estimate with one probe for images. The floor is that of the true density on the same samples.
    """
    data = evaluation.data
    found = _likelihood(evaluation, n or _default(data.event), tol)
    offset = data.event.dims * data.space.log_scale
    floor = None if found.floor is None else found.floor + offset
    value = found.nats.mean().item() + offset
    return Value(value, len(found.nats), f"nats, {found.protocol}", floor=floor, details=found.details)


@metrics.register("bits_per_dim", version=1, better="lower", of="model")
def bits_per_dim(evaluation: Evaluation, *, n: N = None, tol: Tol = 1e-5) -> Value:
    """Negative log-likelihood of quantised data in bits a dimension, of integers under uniform dequantisation.

    Theis et al., 2016, https://arxiv.org/abs/1511.01844. A uniform density over the cube of 256 levels reads 8.
    """
    data = evaluation.data
    if not data.space.bin:
        raise Unsupported("bits a dimension are of quantised data; this data is continuous")
    found = _likelihood(evaluation, n or _default(data.event), tol)
    value = (found.nats.mean().item() / data.event.dims + data.space.log_scale) / math.log(2)
    return Value(value, len(found.nats), f"of integers, {found.protocol}", details=found.details)


def _default(event: Event) -> int:
    return 2048 if len(event.shape) == 1 else 256


def _likelihood(evaluation: Evaluation, n: int, tol: float) -> Likelihood:
    return evaluation.shared(("likelihood", n, tol), lambda: _measure(evaluation, n, tol))


def _measure(evaluation: Evaluation, n: int, tol: float) -> Likelihood:
    model, data = evaluation.density(), evaluation.data
    test = evaluation.reference(n)
    x = dequantise(test.x, data.event.bin, generator(evaluation.seed, "dequantise"))
    label = test.label if model.conditional else None
    floor = None
    if data.truth.log_prob is not None:
        floor = -data.truth.log_prob(x).double().mean().item()
    protocol = f"density of {model.density}"
    velocity = getattr(model, "velocity", None)
    if velocity is None:
        nats = -_batched(evaluation, x, label, lambda a, b, i: model.log_prob(a, label=b))
        return Likelihood(nats, floor, f"{protocol}, exact", {})
    exact = len(data.event.shape) == 1
    draws = generator(evaluation.seed, "probes")
    probes = None if exact else rademacher((1, *x.shape), draws)

    def solve(tolerance: float) -> Tensor:
        def part(a: Tensor, b: Tensor | None, rows: slice) -> Tensor:
            mine = None if probes is None else probes[:, rows].to(a.device)
            return log_density(lambda t, y: velocity(t, y, b), a, model.source.log_prob, probes=mine, tol=tolerance).x

        return -_batched(evaluation, x, label, part)

    nats, loose = solve(tol), solve(10 * tol)
    how = "exact trace" if exact else "one Rademacher probe"
    details = {"tolerance_difference": abs((nats - loose).mean().item())}
    return Likelihood(nats, floor, f"{protocol}, {how}, dopri5 {tol:g}", details)


def _batched(
    evaluation: Evaluation, x: Tensor, label: Tensor | None, part: Callable[[Tensor, Tensor | None, slice], Tensor]
) -> Float64[Tensor, " n"]:
    device = next(evaluation.density().parameters()).device
    values = []
    for start in range(0, len(x), evaluation.batch):
        rows = slice(start, start + evaluation.batch)
        asked = None if label is None else label[rows].to(device)
        with torch.no_grad():
            values.append(part(x[rows].to(device), asked, rows).double().cpu())
    return torch.cat(values)
