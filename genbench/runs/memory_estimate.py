"""Estimates of the memory that a run needs at least, from its settings alone."""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch

from genbench import registry
from genbench.errors import ConfigError
from genbench.models.build import build_model
from genbench.numerics.optimal_transport import ENTROPIC_PAIR, PAIR
from genbench.runs.spec import Spec, build_data
from genbench.storage import memory

FLOAT = 4
"""Bytes of a float32 number."""


def check_memory(spec: Spec) -> None:
    """Refuse a run that cannot fit into the memory of this machine, or whose model cannot be built.

    Raises:
        ConfigError: if there is too little memory for a batch, for the samples, or for the weights, or if sizes of the
            model do not fit one another.
    """
    event, model, batch, n = spec.event, spec.model, spec.plan["batch_size"], spec.evaluation["n"]
    sample = FLOAT * event.dims
    # A batch holds data, noise, the interpolated point and its velocity; an evaluation holds samples, noise and data.
    memory.require(4 * sample * batch, f"plan.batch_size={batch}")
    if spec.encoder is not None:
        size = spec.encoder.get("batch_size", 0)
        memory.require(4 * sample * size, f"model.encoder.batch_size={size}")
    coupling = model.get("coupling") or model
    classes = event.classes if model.get("conditional") else 0
    _check_pairs(coupling, batch, max(classes, 1))  # data without the labels that a model needs is refused below
    pool = coupling.get("pool", 1)
    memory.require(3 * sample * batch * pool, f"pool={pool} of plan.batch_size={batch}")
    points = coupling.get("points", 0)
    memory.require(sample * points, f"points={points}")
    memory.require(3 * sample * n, f"evaluation.n={n}")
    for name, part in spec.metrics.items():
        size = part.get("n") or 0
        memory.require(3 * sample * size, f"metric.{name}.n={size}")
        pairwise = registry.metrics[name].traits.get("memory")
        if pairwise is not None and event.dims > 1:  # on a line, points are sorted
            compared = min(size, n)
            memory.require(pairwise(compared), f"metric.{name}.n={compared}")
    weights = _weights(spec)
    what = f"{model['name']} with {weights:,} weights on {event.dims:,} coordinates"
    memory.require(4 * FLOAT * weights, what)  # weights, gradients, and the two moments of Adam


def exhausted(error: BaseException, model: Mapping[str, Any]) -> str | None:
    """Return in one line that an allocation failed, and what to set; None for any other error.

    Args:
        model: model part of the spec; the message suggests `checkpoint` if the model or its net has that setting.
    """
    allocators = ("CUDA out of memory", "can't allocate memory")
    if not isinstance(error, (MemoryError, torch.OutOfMemoryError)) and not any(a in str(error) for a in allocators):
        return None
    asked = re.search(r"allocate [\d.]+ \w+", str(error))
    what = f" to {asked[0]}" if asked else ""
    parts = {"model": model, "model.net": model.get("net") or {}}
    again = "".join(
        f" or set {name}.checkpoint=true" for name, part in parts.items() if part.get("checkpoint") is False
    )
    training = f"raise plan.accumulate{again} or choose a smaller model"
    return f"not enough memory{what}: for training {training}, for evaluation lower evaluation.batch"


def _check_pairs(coupling: Mapping[str, Any], batch: int, classes: int) -> None:
    """Refuse a coupling whose pairs of points, within each class, do not fit into memory."""
    if coupling.get("plan") in ("exact", "sinkhorn"):
        pool = coupling["pool"]
        points = batch * pool // (classes if coupling["mismatch"] is None else 1)
        each = PAIR if coupling["plan"] == "exact" else ENTROPIC_PAIR
        memory.require(each * points**2, f"pool={pool} of plan.batch_size={batch}")
    if "reference" in coupling:
        memory.require(ENTROPIC_PAIR * coupling["reference"] ** 2, f"reference={coupling['reference']}")


def _weights(spec: Spec) -> int:
    """Count the weights of a model that is built without allocating them; 0 if it cannot be built in this way.

    Raises:
        ConfigError: if the model refuses its settings.
    """
    return _counted(*(json.dumps(part, sort_keys=True) for part in (spec.model, spec.encoder, spec.data)), spec.content)


@lru_cache(maxsize=1024)  # a track asks for a model and a data set at each budget, with default and with tuned settings
def _counted(model: str, encoder: str, data: str, content: str | None) -> int:
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            built = build_model(json.loads(model), json.loads(encoder), build_data(json.loads(data), content))
            return sum(weight.numel() for weight in built.parameters())
    except ConfigError:
        raise
    except Exception:  # a builder that computes with its weights fails here, but not in the run
        return 0
