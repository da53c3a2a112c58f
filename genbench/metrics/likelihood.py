"""Likelihood of test data under the density of a model, in nats and in bits per dimension."""

import math
from collections.abc import Callable
from itertools import repeat
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


def default_points(event: Event) -> int:
    """Return the default number of test samples: an exact trace costs one backward pass per dimension."""
    return min(2048, max(256, 8192 // event.dims))


def default_probes(event: Event) -> int:
    """Return 0 (an exact trace) for vectors and 1 for images."""
    return 0 if len(event.shape) == 1 else 1


N = Annotated[
    Count | None,
    ByEvent(default_points),
    "number of test samples; by default 8192 / dimensions, at least 256 and at most 2048",
]
Tol = Annotated[Positive, "tolerance of the ODE solver (dopri5); a detail records the change at ten times this value"]
Probes = Annotated[
    Size | None,
    ByEvent(default_probes),
    "random probes for the divergence of an ODE's velocity; by default 0 (exact) for vectors, 1 for images",
]


class Likelihood(NamedTuple):
    """Mean negative log-density of test data in nats in model space, of the model and (if known) of the data."""

    model: float
    data: float | None
    n: int
    protocol: str
    details: dict[str, Any]


@metrics.register("nll", version=1, better="lower", of="model")
def nll(evaluation: Evaluation, *, n: N = None, tol: Tol = 1e-5, probes: Probes = None) -> Value:
    """Negative log-likelihood of test data in nats per sample, for data in raw units.

    Quantized data is dequantized uniformly first. The floor is that of the true density at the same points.

    Raises:
        Unsupported: if the model has no density of the data.

    Reference: Chen et al., 2018; Grathwohl et al., 2019.
    """
    measured = _likelihood(evaluation, n, tol, probes)
    offset = evaluation.data.event.dims * evaluation.data.space.log_scale
    floor = None if measured.data is None else measured.data + offset
    return Value(
        measured.model + offset, measured.n, f"nats, raw units, {measured.protocol}", "", floor, measured.details
    )


@metrics.register("bits_per_dim", version=1, better="lower", of="model")
def bits_per_dim(evaluation: Evaluation, *, n: N = None, tol: Tol = 1e-5, probes: Probes = None) -> Value:
    """Negative log-likelihood of quantized test data in bits per dimension, uniformly dequantized.

    An upper bound on the discrete code length; a uniform density on the cube has log2(levels), 8.000 for 256 levels.

    Raises:
        Unsupported: if the data is continuous, or the model has no density of the data.

    Reference: Theis et al., 2016.
    """
    dims, space = evaluation.data.event.dims, evaluation.data.space
    if space.bin == 0:
        raise Unsupported("the data is continuous: bits/dim are for quantised data")
    measured = _likelihood(evaluation, n, tol, probes)

    def bits(nats: float) -> float:
        return (nats / dims + space.log_scale) / math.log(2)

    details = _in_bits(measured.details, dims * math.log(2))
    floor = None if measured.data is None else bits(measured.data)
    return Value(bits(measured.model), measured.n, f"bits/dim of levels, {measured.protocol}", "", floor, details)


@metrics.register("latent_bits_per_dim", version=1, better="lower", of="model")
def latent_bits_per_dim(evaluation: Evaluation, *, n: N = None, tol: Tol = 1e-5, probes: Probes = None) -> Value:
    """Negative log-density of encoded test data in bits per dimension of the latents, under a model of latents.

    Latents are continuous: it may be negative, and says nothing about bits of the data. N(0, I) has 2.047 at unit
    variance. Only models of latents of one encoder can be compared.

    Raises:
        Unsupported: if the model is not one of latents, or has no density.
    """
    inner = evaluation.inner
    if inner is evaluation:
        raise Unsupported("it is no model of latents")
    measured = _likelihood(inner, n, tol, probes)
    unit = inner.data.event.dims * math.log(2)
    protocol = f"bits/dim of {inner.space} as data, {measured.protocol}"
    return Value(measured.model / unit, measured.n, protocol, details=_in_bits(measured.details, unit))


def _in_bits(details: dict[str, Any], unit: float) -> dict[str, Any]:
    in_nats = ("standard_error", "tolerance_difference")
    return {key: v / unit if key in in_nats else v for key, v in details.items()}


def _likelihood(evaluation: Evaluation, n: int | None, tol: float, probes: int | None) -> Likelihood:
    event = evaluation.data.event
    n, probes = n or default_points(event), default_probes(event) if probes is None else probes
    return evaluation.cached(("likelihood", n, tol, probes), lambda: _measure(evaluation, n, tol, probes))


def _measure(evaluation: Evaluation, n: int, tol: float, probes: int) -> Likelihood:
    model, data = evaluation.density_model(), evaluation.data
    if model.density == "latents":
        raise Unsupported("its density is one of latents, not of data")
    batch = evaluation.reference(n)
    x = dequantise(batch.x, data.space.bin, generator(evaluation.seed, "dequantise"))
    label = batch.label if model.conditional else None
    if isinstance(model, Transport):
        log_prob, details = _ode_log_prob(evaluation, model, x, label, tol, probes)
    else:
        log_prob, details = _in_batches(evaluation, lambda x, label: model.log_prob(x, label=label), x, label), {}
    bad = int((~torch.isfinite(log_prob)).sum())
    if bad:
        raise Unsupported(f"{bad} of {len(x)} log-densities are not finite")
    true_log_prob = None if label is not None else data.truth.log_prob  # the known density is that without labels
    given = "" if label is None else " given labels"
    return Likelihood(
        float(-log_prob.mean()),
        None if true_log_prob is None else float(-true_log_prob(x).double().mean()),
        len(x),
        f"density of {model.density}{given}, n={len(x)} of test data{', dequantised' if data.space.bin else ''}",
        {"standard_error": float(log_prob.std(correction=0)) / len(x) ** 0.5, **details},
    )


def _ode_log_prob(
    evaluation: Evaluation,
    model: Model,
    x: Float[Tensor, "n *event"],
    label: Int[Tensor, " n"] | None,
    tol: float,
    probes: int,
) -> tuple[Float[Tensor, " n"], dict[str, float]]:
    """Return the log-density along the ODE, and its mean change at ten times the tolerance with the same probes."""
    velocity = cast(Transport, model).velocity
    # Fails before the ODE is solved if the source has no density.
    model.source.log_prob(model.source.sample(1, generator(evaluation.seed, "density")))

    def at(tol: float) -> Tensor:
        stream = generator(evaluation.seed, "probes")

        def log_prob(x: Tensor, label: Tensor | None) -> Tensor:
            drawn = rademacher((probes, *x.shape), stream).to(x) if probes else None
            return log_density(lambda t, y: velocity(t, y, label), x, model.source.log_prob, probes=drawn, tol=tol).x

        return _in_batches(evaluation, log_prob, x, label)

    log_prob = at(tol)
    difference = abs(float((log_prob - at(10 * tol)).mean()))
    return log_prob, {"tolerance_difference": difference, "tolerance": tol, "probes": probes}


@torch.no_grad()
def _in_batches(
    evaluation: Evaluation,
    log_prob: Callable[[Tensor, Tensor | None], Tensor],
    x: Float[Tensor, "n *event"],
    label: Int[Tensor, " n"] | None,
) -> Float[Tensor, " n"]:
    device = next(evaluation.density_model().parameters()).device
    labels = repeat(None) if label is None else label.to(device).split(evaluation.batch)
    batches = zip(x.split(evaluation.batch), labels, strict=False)
    return torch.cat([log_prob(rows.to(device), label).double().cpu() for rows, label in batches])
