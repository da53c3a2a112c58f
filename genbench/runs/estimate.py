"""Estimates of the memory that a run needs at least, from its settings alone."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import torch

from genbench.core import Data
from genbench.errors import Unsupported
from genbench.models.build import build_model
from genbench.storage import memory

FLOAT = 4
"""Bytes of a number."""

LARGE = 1024
"""A model none of whose settings is a larger number is not built for an estimate: that takes milliseconds."""

Part = Mapping[str, Any]


def check_memory(data: Data, model: Part, encoder: Part | None, plan: Part, evaluation: Part) -> None:
    """Refuse a run that cannot fit into the memory of this machine.

    Args:
        model: as in a spec, and so are the encoder, the plan and the evaluation.

    Raises:
        ConfigError: if there is too little memory for a batch, for the samples, or for the weights.
    """
    sample = FLOAT * data.event.dims
    # Of a batch: data, noise, the point between, its velocity. Of an evaluation: samples, noise, data to compare with.
    memory.require(4 * sample * plan["batch_size"], f"plan.batch_size={plan['batch_size']}")
    memory.require(3 * sample * evaluation["n"], f"evaluation.n={evaluation['n']}")
    large = [f"{name}={number}" for name, number in _numbers("model", model) if number > LARGE]
    if large:
        # Weights, gradients, and the two moments of Adam.
        memory.require(4 * FLOAT * _weights(data, model, encoder), ", ".join(large))


def _weights(data: Data, model: Part, encoder: Part | None) -> int:
    """Count the weights of a model that is built without memory for them; 0 where it cannot be built so."""
    with suppress(Unsupported, NotImplementedError), torch.random.fork_rng(devices=[]), torch.device("meta"):
        return sum(weight.numel() for weight in build_model(model, encoder, data).parameters())
    return 0


def _numbers(name: str, value: Any) -> Iterator[tuple[str, int]]:
    """Yield the whole numbers among settings, nested ones included."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(f"{name}.{key}", item)
    elif isinstance(value, list):
        for item in value:
            yield from _numbers(name, item)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield name, value
