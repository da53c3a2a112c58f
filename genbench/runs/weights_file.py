"""The weights of a run as a file: its tensors, with the spec and the cost of training in the header."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, FiniteFloat, TypeAdapter, ValidationError
from torch import Tensor, nn

from genbench.runs.record import check_request, check_run
from genbench.runs.spec import SPEC, Spec
from genbench.storage import files, tensors
from genbench.storage.files import Damaged
from genbench.validation import explain

WEIGHTS = ("spec", "cost")
"""Fields in the header of kept weights; those of earlier versions lack "run"."""


def _trained(cost: dict[str, float]) -> dict[str, float]:
    missing = [name for name in ("train_seconds", "train_peak_mib") if name not in cost]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    return cost


COST = TypeAdapter(Annotated[dict[str, FiniteFloat], AfterValidator(_trained)])


def restore_weights(model: nn.Module, path: Path, spec: Spec) -> dict[str, float] | None:
    """Load trained weights into a model, and return the cost of training; None if there is no such file.

    Raises:
        Damaged: if the file does not hold what was written.
        Misfiled: if it belongs to another run than that of the spec.
    """
    try:
        state, kept, cost = read_weights(path)
        check_request(path, kept | {"sample": spec.sample, "evaluation": spec.evaluation}, spec)
        model.load_state_dict(state)
        return cost
    except FileNotFoundError:
        return None
    except RuntimeError as error:
        why = str(error).splitlines()[-1].strip()
        raise Damaged(f"{files.shown(path)} holds the weights of another network: {why}") from error


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, float]]:
    """Return trained weights, the spec as plain JSON, and the cost of training.

    Raises:
        Damaged: if the file does not hold what was written.
        Misfiled: if it belongs to another run than its folder.
        FileNotFoundError: if there is none.
    """
    state, header = tensors.load(path, WEIGHTS)
    try:
        spec, cost = SPEC.validate_json(header["spec"]).json(), COST.validate_json(header["cost"])
    except ValidationError as error:
        raise Damaged(f"{files.shown(path)} is damaged: its header has no spec or cost: {explain(error)}") from error
    check_run(path, path.resolve().parent, header.get("run"), spec)
    return state, spec, cost
