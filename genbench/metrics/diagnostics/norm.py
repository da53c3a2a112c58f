"""The norm of samples: where a method tilts the data towards small or large ones, this tells."""

from genbench.metrics.evaluation import Evaluation, Value
from genbench.registry import metrics
from genbench.settings import Count


@metrics.register("norm", version=1, better="none", of="samples")
def norm(evaluation: Evaluation, *, n: Count | None = None) -> Value:
    """Mean Euclidean norm of samples in model space; its floor is that of data. A weighted coupling tilts it.

    Args:
        n: samples; by default all there are.
    """
    lengths = evaluation.samples(n or len(evaluation.x)).double().flatten(1).norm(dim=1)
    spread = float(lengths.std()) if len(lengths) > 1 else 0.0
    details = {
        "sd": spread,
        "standard_error": spread / len(lengths) ** 0.5,
        "mean_square": float(lengths.square().mean()),
    }
    return Value(float(lengths.mean()), len(lengths), f"model space, n={len(lengths)}", details=details)
