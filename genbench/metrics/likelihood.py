"""Likelihood of test data under the density that a model has, in nats and in bits per dimension."""

import math
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genbench.core import Event, Model, Transport
from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation, Value
from genbench.numerics.ode import log_density, rademacher
from genbench.registry import metrics
from genbench.seeds import generator
from genbench.settings import ByEvent, Count, Positive, Size
from genbench.space import dequantise


def points(event: Event) -> int:
    """Return how many test samples are affordable: an exact trace costs one backward pass a dimension."""
    return min(2048, max(256, 8192 // event.dims))


def directions(event: Event) -> int:
    """Return 0 for vectors, whose trace is taken exactly, and one probe for images."""
    return 0 if len(event.shape) == 1 else 1


N = Annotated[
    Count | None,
    ByEvent(points),
    "test samples; by default 2048 in up to 4 dimensions, 8192 over the dimensions in more, at least 256",
]
Tol = Annotated[Positive, "tolerance of the ODE's solution (dopri5); a detail is the change at ten times this value"]
Probes = Annotated[
    Size | None,
    ByEvent(directions),
    "random directions that estimate the divergence of an ODE's field; by default 0, exact, for vectors, 1 for images",
]


class Likelihood(NamedTuple):
    """Mean negative log-densities in nats in model space, of the model and (where it is known) of the data."""

    model: float
    data: float | None
    n: int
    protocol: str
    details: dict[str, Any]


@metrics.register("nll", version=1, better="lower", of="model")
def nll(evaluation: Evaluation, *, n: N = None, tol: Tol = 1e-5, probes: Probes = None) -> Value:
    """Negative log-likelihood of test data in nats a sample, for data in raw units.

    Quantised data is spread uniformly over its bins first. The floor is that of the true density on the same points.

    Raises:
        Unsupported: if the model has no density of the data.

    Reference: Chen et al., 2018; Grathwohl et al., 2019.
    """
    found = _likelihood(evaluation, n, tol, probes)
    offset = evaluation.data.event.dims * evaluation.data.space.log_scale
    floor = None if found.data is None else found.data + offset
    return Value(found.model + offset, found.n, f"nats, raw units, {found.protocol}", "", floor, found.details)


@metrics.register("bits_per_dim", version=1, better="lower", of="model")
def bits_per_dim(evaluation: Evaluation, *, n: N = None, tol: Tol = 1e-5, probes: Probes = None) -> Value:
    """Negative log-likelihood of quantised test data in bits per dimension, uniformly dequantised.

    It bounds the discrete code length from above; a uniform density over the cube costs log2(levels), 8.000 for 256.

    Raises:
        Unsupported: if the data is continuous, or the model has no density of the data.

    Reference: Theis et al., 2016.
    """
    dims, space = evaluation.data.event.dims, evaluation.data.space
    if space.bin == 0:
        raise Unsupported("the data is continuous: bits/dim are for quantised data")
    found = _likelihood(evaluation, n, tol, probes)

    def bits(nats: float) -> float:
        return (nats / dims + space.log_scale) / math.log(2)

    nats = ("standard_error", "tolerance_difference")
    details = {key: value / dims / math.log(2) if key in nats else value for key, value in found.details.items()}
    floor = None if found.data is None else bits(found.data)
    return Value(bits(found.model), found.n, f"bits/dim of levels, {found.protocol}", "", floor, details)


def _likelihood(evaluation: Evaluation, n: int | None, tol: float, probes: int | None) -> Likelihood:
    event = evaluation.data.event
    n, probes = n or points(event), directions(event) if probes is None else probes
    return evaluation.cached(("likelihood", n, tol, probes), lambda: _measure(evaluation, n, tol, probes))


def _measure(evaluation: Evaluation, n: int, tol: float, probes: int) -> Likelihood:
    model, data = evaluation.density_model(), evaluation.data
    if model.density == "latents":
        raise Unsupported("its density is one of latents, not of data")
    batch = evaluation.reference(n)
    x = dequantise(batch.x, data.space.bin, generator(evaluation.seed, "dequantise"))
    label = batch.label if model.conditional else None
    if isinstance(model, Transport):
        log_prob, details = _carried(evaluation, model, x, label, tol, probes)
    else:
        log_prob, details = _exact(evaluation, model, x, label), {}
    bad = int((~torch.isfinite(log_prob)).sum())
    if bad:
        raise Unsupported(f"{bad} of {len(x)} log-densities are not finite")
    known = None if label is not None else data.truth.log_prob  # what is known is the density without labels
    whose = f"{model.density}{'' if label is None else ' given labels'}"
    return Likelihood(
        float(-log_prob.mean()),
        None if known is None else float(-known(x).double().mean()),
        len(x),
        f"density of {whose}, n={len(x)} of test data{', dequantised' if data.space.bin else ''}",
        {"standard_error": float(log_prob.std(correction=0)) / len(x) ** 0.5, **details},
    )


@torch.no_grad()
def _exact(
    evaluation: Evaluation, model: Model, x: Float[Tensor, "n *event"], label: Int[Tensor, " n"] | None
) -> Float[Tensor, " n"]:
    def log_prob(x: Tensor, label: Tensor | None) -> Tensor:
        return model.log_prob(x, label=label)

    return _batched(log_prob, evaluation.batch, next(model.parameters()).device, x, label)


def _carried(
    evaluation: Evaluation,
    model: Model,
    x: Float[Tensor, "n *event"],
    label: Int[Tensor, " n"] | None,
    tol: float,
    probes: int,
) -> tuple[Float[Tensor, " n"], dict[str, float]]:
    """Carry the source's density along the ODE at two tolerances, with the same probes: the second checks the first."""
    device = next(model.parameters()).device
    velocity = cast(Transport, model).velocity
    # A source without a density says so before the ODE is solved for nothing.
    model.source.log_prob(model.source.sample(1, generator(evaluation.seed, "density")))

    def at(tol: float) -> Tensor:
        stream = generator(evaluation.seed, "probes")

        def log_prob(x: Tensor, label: Tensor | None) -> Tensor:
            drawn = rademacher((probes, *x.shape), stream).to(x) if probes else None
            solved = log_density(lambda t, y: velocity(t, y, label), x, model.source.log_prob, probes=drawn, tol=tol)
            return solved.x

        return _batched(log_prob, evaluation.batch, device, x, label)

    log_prob = at(tol)
    difference = abs(float((log_prob - at(10 * tol)).mean()))
    return log_prob, {"tolerance_difference": difference, "tolerance": tol, "probes": probes}


def _batched(
    log_prob: Callable[[Tensor, Tensor | None], Tensor],
    size: int,
    device: torch.device,
    x: Float[Tensor, "n *event"],
    label: Int[Tensor, " n"] | None,
) -> Float[Tensor, " n"]:
    parts = []
    for start in range(0, len(x), size):
        asked = None if label is None else label[start : start + size].to(device)
        parts.append(log_prob(x[start : start + size].to(device), asked).double().cpu())
    return torch.cat(parts)
