"""The weights of a run as a file: its tensors, with the spec and the origin of training in the header."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from torch import Tensor, nn

from genbench.errors import ConfigError
from genbench.runs.record import check_request, check_run
from genbench.runs.record_types import TRAINING_COSTS, Origin, check_origin
from genbench.runs.spec import SPEC, Spec
from genbench.storage import files, tensors
from genbench.storage.files import Damaged
from genbench.validation import explain

WEIGHTS = ("run", "spec", "training")
"""Fields in the header of saved weights."""

ORIGIN = TypeAdapter(Origin)


class Weights(NamedTuple):
    """What a file of weights holds: the tensors, the spec as plain JSON, and the origin of training."""

    state: dict[str, Tensor]
    spec: dict[str, Any]
    training: Origin


def save_weights(path: Path, run: str, spec: Spec, state: Mapping[str, Tensor], training: Origin) -> None:
    """Write trained weights in one file with the code, machine and cost of their training."""
    weights = {name: value.clone() for name, value in state.items()}
    tensors.save(path, weights, {"run": run, "spec": json.dumps(spec.json()), "training": json.dumps(training)})


def restore_weights(model: nn.Module, path: Path, spec: Spec) -> Origin:
    """Load trained weights into a model, and return the origin of training.

    Raises:
        ConfigError: if there is no such file.
        Damaged: if the file does not hold what was written.
        Misfiled: if it belongs to another run than the spec.
    """
    try:
        state, kept, training = read_weights(path)
        check_request(path, kept | {"sample": spec.sample, "evaluation": spec.evaluation}, spec)
        model.load_state_dict(state)
        return training
    except FileNotFoundError as error:
        folder = files.shown(path.parent)
        raise ConfigError(f"{folder} holds no {path.name}; run it again to train it") from error
    except RuntimeError as error:
        why = str(error).splitlines()[-1].strip()
        raise Damaged(f"{files.shown(path)} has the weights of another network: {why}") from error


def read_weights(path: Path) -> Weights:
    """Read trained weights.

    Raises:
        Damaged: if the file does not hold what was written.
        Misfiled: if it belongs to another run than its folder.
        FileNotFoundError: if there is none.
    """
    state, header = tensors.load(path, WEIGHTS)
    try:
        spec, training = SPEC.validate_json(header["spec"]).json(), ORIGIN.validate_json(header["training"])
        check_origin(training, TRAINING_COSTS)
        imported = spec["plan"].get("released") and spec["plan"].get("steps") == 0
        if not training["cost"] and not imported:
            raise ValueError("the cost of training is missing")
    except ValueError as error:  # ValidationError too
        raise Damaged(f"{files.shown(path)} is damaged: its header lacks spec or training: {explain(error)}") from error
    check_run(path, path.resolve().parent, header["run"])
    return Weights(state, spec, training)
