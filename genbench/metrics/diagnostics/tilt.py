"""The tilt that weights on pairs put on source and data, of models trained on weighted independent pairs."""

import copy

import torch
from torch import Tensor

from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation, Value
from genbench.models.flow_matching.couplings import Coupled
from genbench.numerics.importance_weights import shifts
from genbench.numerics.importance_weights import tilt as estimate
from genbench.registry import metrics
from genbench.seeds import generator
from genbench.settings import Count

ROWS = 128
"""Pairs at once: a coupling may look at all pairs of what it is given."""


@metrics.register("tilt", version=2, better="lower", of="model")
@torch.no_grad()
def tilt(evaluation: Evaluation, *, n: Count | None = None, partners: Count = 64) -> list[Value]:
    """Relative variance Var f / (E f)^2 of f = E[w | point] for `source` and `data`, and the `ess` of pairs.

    Weights w on independent pairs train a flow between the source and the data, each times its f; 0 leaves them as
    they are, and is what no weights read. `ess` is the effective share of pairs, (E w)^2 / E w^2. Unbiased up to the
    ratio; small values may be negative.

    Args:
        n: points of noise and of test data; by default all test data, up to 2048.
        partners: of each.

    Raises:
        Unsupported: if the model is not trained on independent pairs, or too few of them carry weight.

    Reference: Weighted conditional flow matching, 2025.
    """
    model = evaluation.model
    if model is None or not isinstance(model, Coupled) or model.conditional:
        raise Unsupported("it is not trained on pairs of noise and data, or within classes")
    n = n or min(2048, evaluation.data.test.size or 2048)
    coupling = copy.deepcopy(model.coupling).eval()  # in training, it may follow what it sees
    x1 = evaluation.reference(n).x.to(next(model.parameters()).device)
    stream = generator(evaluation.seed, "tilt")
    x0 = model.source.sample(n, stream).to(x1)

    def log_weight(noise: Tensor) -> Tensor:
        weights = []
        for a, b in zip(noise.split(ROWS), x1.split(ROWS), strict=True):
            pairs = coupling(a, b, None, stream)
            if pairs.x0 is not a:
                raise Unsupported("its pairs are not independent")
            weights.append(pairs.weight)
        return torch.cat(weights).double().log()

    found = estimate(log_weight(noise) for noise in shifts(x0, min(partners, n - 1)))
    if not found.known:
        raise Unsupported(f"too few of {found.pairs} pairs carry weight: an effective share of {found.share:.2g}")
    protocol = f"relative variance over {n} points with {min(partners, n - 1)} partners each"
    share = f"of {found.pairs} independent pairs"
    return [
        Value(found.source, n, protocol, "source"),
        Value(found.data, n, protocol, "data"),
        Value(found.share, n, share, "ess", better="higher"),
    ]
