"""Vendi score: the effective number of different images among samples."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from genbench.metrics.evaluation import Evaluation, Value, standard_error
from genbench.metrics.extractors.build import Extractor
from genbench.metrics.image.feature_sets import Images, Real, Samples, feature_sets
from genbench.registry import metrics


@metrics.register("vendi", version=1, better="higher", of="samples", floor=False)
def vendi(evaluation: Evaluation, *, n: Samples = None, n_real: Real = 50_000, features: Extractor = None) -> Value:
    """Vendi score, the effective number of different images: exp of the entropy of the eigenvalues of K/n.

    K contains the cosines between features. 1 if all images are alike, n if they are all orthogonal; its floor is that
    of as many real images, if there are so many. Its standard error over samples is that of the mean of its influence
    function.

    Reference: Friedman and Dieng, 2023.
    """
    sets = feature_sets(evaluation, features, Images(n=n, n_real=n_real))
    real = sets.reference.rows[: sets.n]
    protocol = f"{sets.network}, cosine, n={sets.n}"
    value, floor = vendi_score(sets.samples), vendi_score(real) if len(real) == sets.n else None
    details = {"n_floor": len(real), **standard_error(influence(sets.samples), scale=value)}
    return Value(value, sets.n, protocol, floor=floor, details=details)


def vendi_score(x: Float[Tensor, "n k"]) -> float:
    """Return exp of the entropy of the eigenvalues of K/n, of which at most min(n, k) differ from 0."""
    x = torch.nn.functional.normalize(x.double(), dim=1)
    values = torch.linalg.eigvalsh(x @ x.T if len(x) < x.shape[1] else x.T @ x) / len(x)
    values = values[values > 0]
    return float((-values * values.log()).sum().exp())


def influence(x: Float[Tensor, "n k"]) -> Float64[Tensor, " n"]:
    """Return the influence of each vector on the entropy, up to a constant: -u log(C) u, with the mean C of u u^T."""
    x = torch.nn.functional.normalize(x.double(), dim=1)
    few = len(x) < x.shape[1]
    values, vectors = torch.linalg.eigh((x @ x.T if few else x.T @ x) / len(x))
    known = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
    values, vectors = values[known], vectors[:, known]
    squares = vectors.square() * values * len(x) if few else (x @ vectors).square()
    return -squares @ values.log()
