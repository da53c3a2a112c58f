"""Counts: network evaluations, parameters, failures."""

from genbench.errors import Unsupported
from genbench.evaluate import Evaluation, Value
from genbench.registry import metrics


@metrics.register("nfe", version=1, better="lower", of="model")
def nfe(evaluation: Evaluation) -> Value:
    """Network evaluations a sample, counted."""
    if evaluation.nfe is None:
        raise Unsupported("nobody counted the evaluations that these samples took")
    return Value(evaluation.nfe, len(evaluation.x), f"counted, mean over batches of {evaluation.batch}")


@metrics.register("parameters", version=1, better="lower", of="model")
def parameters(evaluation: Evaluation) -> Value:
    """Number of parameters of the model."""
    if evaluation.model is None:
        raise Unsupported("samples alone have no parameters")
    count = sum(parameter.numel() for parameter in evaluation.model.parameters())
    return Value(float(count), len(evaluation.x), "all parameters, shared ones once")


@metrics.register("failed", version=1, better="lower", of="samples", floor=False)
def failed(evaluation: Evaluation) -> Value:
    """Number of samples that are not finite; they are never drawn again."""
    return Value(float(evaluation.failures), len(evaluation.x), f"not finite, of {len(evaluation.x)}")
