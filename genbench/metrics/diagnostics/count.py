"""What can be counted: network evaluations, parameters, samples that failed."""

from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation, Value
from genbench.registry import metrics


@metrics.register("nfe", version=1, better="lower", of="samples", floor=False, curve=False)
def nfe(evaluation: Evaluation) -> Value:
    """Network evaluations that a sample took, counted."""
    if evaluation.nfe is None:
        raise Unsupported("samples of unknown origin have no count of evaluations")
    return Value(evaluation.nfe, len(evaluation.x), f"counted, mean over batches of {evaluation.batch}")


@metrics.register("parameters", version=1, better="none", of="model")
def parameters(evaluation: Evaluation) -> Value:
    """Trainable parameters of the model."""
    if evaluation.model is None:
        raise Unsupported("samples alone have no parameters")
    count = sum(p.numel() for p in evaluation.model.parameters() if p.requires_grad)
    return Value(float(count), 1, "trainable parameters")


@metrics.register("failed", version=1, better="lower", of="samples", floor=False, curve=False)
def failed(evaluation: Evaluation) -> Value:
    """Samples that are not finite; they are never drawn again."""
    return Value(float(evaluation.failures), len(evaluation.x), "samples that are not finite")
