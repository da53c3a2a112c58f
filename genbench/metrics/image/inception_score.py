"""The Inception score, which compares samples with no data; kept because papers report it."""

from itertools import pairwise

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from genbench.metrics.evaluation import Evaluation, Value
from genbench.metrics.image.feature_sets import Images, Real, Samples, feature_sets
from genbench.metrics.image.fid import Inception
from genbench.registry import metrics
from genbench.seeds import generator
from genbench.settings import Count


@metrics.register("inception_score", version=1, better="higher", of="samples", floor=False, halves=True)
def inception_score(
    evaluation: Evaluation, *, n: Samples = None, splits: Count = 10, n_real: Real = 50_000, features: Inception = None
) -> Value:
    """exp E KL(p(class | image) || p(class)), the mean over splits of samples; its floor is of as many real images.

    It does not compare with data: one photograph per class, repeated, has the best score.

    `sd` is the standard deviation over splits.

    Args:
        splits: number of random parts of the samples, each with its own p(class).

    Raises:
        Unsupported: if the network is not available, or there are fewer than 2 samples per split.

    Reference: Salimans et al., 2016.
    """
    sets = feature_sets(evaluation, features or "inception-legacy", Images(n=n, n_real=n_real), n_min=2 * splits)
    values = split_scores(sets.extractor.logits(sets.samples), splits, evaluation.seed)
    real = sets.extractor.logits(sets.reference.rows[: sets.n])
    floor = float(split_scores(real, splits, evaluation.seed).mean()) if len(real) == sets.n else None
    details = {"sd": float(values.std()) if splits > 1 else 0.0, "n_floor": len(real)}
    protocol = f"{sets.network}, {splits} splits, n={sets.n}"
    return Value(float(values.mean()), sets.n, protocol, floor=floor, details=details)


def split_scores(logits: Float[Tensor, "n classes"], splits: int, seed: int | None) -> Float64[Tensor, " splits"]:
    """Return exp E KL(p(class | image) || p(class)) of each split of the rows, shuffled by the seed if there is one."""
    if seed is not None:
        logits = logits[torch.randperm(len(logits), generator=generator(seed, "inception_score"))]
    log = logits.double().log_softmax(1)
    borders = [i * len(log) // splits for i in range(splits + 1)]
    parts = [log[a:b] for a, b in pairwise(borders)]
    divergences = [(part.exp() * (part - part.exp().mean(0).log())).sum(1) for part in parts]
    return torch.stack([each.mean().exp() for each in divergences])
