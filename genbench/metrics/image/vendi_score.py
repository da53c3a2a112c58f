"""How many different images there are among samples, in effect."""

import torch
from jaxtyping import Float
from torch import Tensor

from genbench.metrics.evaluation import Evaluation, Value
from genbench.metrics.extractors.choice import Extractor
from genbench.metrics.image.feature_sets import Real, Samples, compare
from genbench.registry import metrics


@metrics.register("vendi", version=1, better="higher", of="samples", floor=False)
def vendi(evaluation: Evaluation, *, n: Samples = None, n_real: Real = 50_000, features: Extractor = None) -> Value:
    """Vendi score, the effective number of different images: exp of the entropy of the eigenvalues of K/n.

    K holds the cosines between features. 1 if all images are alike, n if they are all orthogonal; its floor is that of
    as many real images.

    Raises:
        Unsupported: if the network cannot be had.

    Reference: Friedman and Dieng, 2023.
    """
    sides = compare(evaluation, features, "train", n, real=n_real)
    real = sides.real.rows[: sides.n]
    protocol = f"{sides.network}, cosine, n={sides.n}"
    details = {"n_floor": len(real)}
    return Value(effective(sides.samples), sides.n, protocol, floor=effective(real), details=details)


def effective(x: Float[Tensor, "n k"]) -> float:
    """Return exp of the entropy of the eigenvalues of K/n, of which n or k differ from 0, whichever is less."""
    x = torch.nn.functional.normalize(x.double(), dim=1)
    values = torch.linalg.eigvalsh(x @ x.T if len(x) < x.shape[1] else x.T @ x) / len(x)
    values = values[values > 0]
    return float((-values * values.log()).sum().exp())
