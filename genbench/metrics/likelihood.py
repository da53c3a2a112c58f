"""Densities of models: likelihood of test data, in nats and in bits per dimension."""

import math
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NamedTuple, cast

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from genbench.core import Event, Model, Transport
from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation, Value
from genbench.metrics.sampling import batches
from genbench.numerics.ode import log_density, rademacher
from genbench.registry import metrics
from genbench.seeds import generator
from genbench.settings import ByEvent, Count, Positive, Size
from genbench.space import dequantize


def default_points(event: Event) -> int:
    """Return the default number of test samples: an exact trace costs one backward pass per dimension."""
    return min(2048, max(256, 8192 // event.dims))


def default_probes(event: Event) -> int:
    """Return 0 (an exact trace) for vectors and 1 for images."""
    return 0 if event.is_vector else 1


N = Annotated[
    Count | None,
    ByEvent(default_points),
    "number of points; by default 8192 / dimensions, at least 256, at most 2048, and at most all test data",
]
Tol = Annotated[Positive, "tolerance of the ODE solver (dopri5); a detail records the change at ten times this value"]
Probes = Annotated[
    Size | None,
    ByEvent(default_probes),
    "random probes for the divergence of an ODE's velocity; by default 0 (exact) for vectors, 1 for images",
]

FINE = 1e-3
"""Largest tolerance that protocols leave out: finer ones change likelihoods by less than half their error."""


class Densities(NamedTuple):
    """Log-densities at n points in nats in model space, of the model and (if known) of the data."""

    model: Float64[Tensor, " n"]
    data: Float64[Tensor, " n"] | None
    protocol: str
    details: dict[str, Any]


@metrics.register("nll", version=1, better="lower", bounds=(None, None), of="model")
def nll(evaluation: Evaluation, *, n: N = None, tol: Tol = 1e-5, probes: Probes = None) -> Value:
    """Negative log-likelihood of test data in nats per sample, for data in raw units.

    Quantized data is dequantized uniformly first. The floor is the value of the true density at the same points.

    Reference: Chen et al., 2018; Grathwohl et al., 2019.
    """
    measured = _densities(evaluation, n, tol, probes)
    offset = evaluation.data.event.dims * evaluation.data.space.log_scale
    value = float(-measured.model.mean()) + offset
    floor = None if measured.data is None else float(-measured.data.mean()) + offset
    protocol = f"nats, raw units, {measured.protocol}"
    return Value(value, len(measured.model), protocol, floor=floor, details=measured.details)


@metrics.register("bits_per_dim", version=1, better="lower", bounds=(0, None), of="model")
def bits_per_dim(evaluation: Evaluation, *, n: N = None, tol: Tol = 1e-5, probes: Probes = None) -> Value:
    """Negative log-likelihood of quantized test data in bits per dimension, uniformly dequantized.

    It bounds the discrete code length from above. A uniform density on the cube has log2(levels), 8 for 256 levels.

    Reference: Theis et al., 2016.
    """
    dims, space = evaluation.data.event.dims, evaluation.data.space
    if space.bin == 0:
        raise Unsupported("the data is continuous: bits/dim need quantized data")
    measured = _densities(evaluation, n, tol, probes)

    def bits(log_prob: Tensor) -> float:
        return (float(-log_prob.mean()) / dims + space.log_scale) / math.log(2)

    details = _in_bits(measured, dims * math.log(2))
    floor = None if measured.data is None else bits(measured.data)
    protocol = f"bits/dim of levels, {measured.protocol}"
    return Value(bits(measured.model), len(measured.model), protocol, floor=floor, details=details)


@metrics.register("latent_bits_per_dim", version=1, better="lower", bounds=(None, None), of="model")
def latent_bits_per_dim(evaluation: Evaluation, *, n: N = None, tol: Tol = 1e-5, probes: Probes = None) -> Value:
    """Negative log-density of encoded test data in bits per dimension of the latents, under a model of latents.

    Latents are continuous, so the value may be negative and says nothing about bits of the data. N(0, I) has 2.047
    bits. Compare only models of the latents of one encoder.
    """
    inner = evaluation.inner
    if inner is evaluation:
        raise Unsupported("it is not a model of latents")
    measured = _densities(inner, n, tol, probes)
    unit = inner.data.event.dims * math.log(2)
    protocol = f"bits/dim of {inner.space} as data, {measured.protocol}"
    value, n = float(-measured.model.mean()) / unit, len(measured.model)
    return Value(value, n, protocol, details=_in_bits(measured, unit))


def _in_bits(measured: Densities, unit: float) -> dict[str, Any]:
    in_nats = ("standard_error", "tolerance_difference")
    return {key: v / unit if key in in_nats else v for key, v in measured.details.items()}


def _densities(evaluation: Evaluation, n: int | None, tol: float, probes: int | None) -> Densities:
    event, available = evaluation.data.event, evaluation.data.test.size
    n, probes = n or default_points(event), default_probes(event) if probes is None else probes
    if n == default_points(event) and available:
        # The default may exceed the data, because the spec states it before the data is read; an n of the user may not.
        n = min(n, available)
    key = ("densities", n, tol, probes)
    return evaluation.cached(key, lambda: _measure(evaluation, n, tol, probes))


def _measure(evaluation: Evaluation, n: int, tol: float, probes: int) -> Densities:
    model, data = evaluation.density_model(), evaluation.data
    if model.density == "latents":
        raise Unsupported("its density is one of latents, not of data")
    x, label = evaluation.reference(n)
    x = dequantize(x, data.space.bin, generator(evaluation.seed, "dequantise"))
    label = label if model.conditional else None
    solved = ""
    if isinstance(model, Transport):
        log_prob, details = _ode_log_prob(evaluation, model, x, label, tol, probes)
        solved += f", dopri5 at tolerance {tol:g}" if tol > FINE else ""
        solved += f", {probes or 'no'} random probes" if probes != default_probes(data.event) else ""
    else:
        log_prob, details = _in_batches(evaluation, lambda x, label, _: model.log_prob(x, label=label), x, label), {}
    bad = int((~torch.isfinite(log_prob)).sum())
    if bad:
        raise Unsupported(f"{bad} of {len(x)} log-densities are not finite")
    true_log_prob = None if label is not None else data.truth.log_prob  # the known density has no labels
    given = "" if label is None else " given labels"
    dequantized = ", dequantized" if data.space.bin else ""
    return Densities(
        log_prob,
        None if true_log_prob is None else true_log_prob(x).double(),
        f"density of {model.density}{given}, n={len(x)} of test data{dequantized}{solved}",
        {"standard_error": float(log_prob.std(correction=0)) / len(log_prob) ** 0.5, **details},
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
        def log_prob(x: Tensor, label: Tensor | None, drawn: Tensor | None) -> Tensor:
            drawn = None if drawn is None else drawn.to(x)
            return log_density(lambda t, y: velocity(t, y, label), x, model.source.log_prob, probes=drawn, tol=tol).x

        return _in_batches(evaluation, log_prob, x, label, probes)

    log_prob = at(tol)
    difference = abs(float((log_prob - at(10 * tol)).mean()))
    return log_prob, {"tolerance_difference": difference, "tolerance": tol, "probes": probes}


@torch.no_grad()
def _in_batches(
    evaluation: Evaluation,
    log_prob: Callable[[Tensor, Tensor | None, Tensor | None], Tensor],
    x: Float[Tensor, "n *event"],
    label: Int[Tensor, " n"] | None,
    probes: int = 0,
) -> Float[Tensor, " n"]:
    """Return a function of points, labels and probes; the processes share its batches."""
    device = next(evaluation.density_model().parameters()).device
    stream = generator(evaluation.seed, "probes")

    def parts() -> Iterator[tuple[Tensor, Tensor | None, Tensor | None]]:
        for rows in batches(len(x), evaluation.batch):
            some = x[rows.start : rows.stop]
            # Every process draws the probes of all batches, because they come from one stream.
            drawn = rademacher((probes, *some.shape), stream) if probes else None
            yield some.to(device), None if label is None else label[rows.start : rows.stop].to(device), drawn

    return torch.cat(evaluation.group.map(lambda part: log_prob(*part).double().cpu(), parts()))
