"""The error budget: a distance split into parts due to few samples, the coupling, the network and the solver."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float
from scipy.special import stdtrit
from torch import Tensor

from genbench.core import Data
from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation, Value, values_of
from genbench.metrics.sampling import draw, noise
from genbench.models.flow_matching.paths import Straight
from genbench.models.flow_matching.velocity_model import FlowMatching
from genbench.numerics.ode import integrate
from genbench.registry import metrics
from genbench.seeds import derive, generator
from genbench.settings import Count

TOLERANCE = 1e-4
"""Tolerance of dopri5 in flows whose solver error must be negligible."""

ACCURATE = {"method": "dopri5", "steps": 0, "tol": TOLERANCE, "diffusion": 0.0}

PARTS = ("samples", "coupling", "network", "solver")

Distance = Literal["energy_distance", "sliced_w2", "w2"]


@metrics.register("error_budget", version=1, better="none", bounds=(None, None), of="model")
@torch.no_grad()
def error_budget(
    evaluation: Evaluation,
    *,
    distance: Distance = "energy_distance",
    n: Count = 1024,
    repeats: Annotated[int, Ge(2)] = 4,
) -> list[Value]:
    """A distance to the data as the sum of four parts: `samples`, `coupling`, `network` and `solver`.

    Each part is the increase of the distance from one sampler to the next:

    1. true sampler; its distance is `samples`, the floor
    2. exact minimizer of the loss, solved accurately: + `coupling`
    3. trained network, solved accurately: + `network`
    4. trained network with the solver of the run: + `solver`; its distance is the sum

    Parts may be negative. The true sampler solves the exact field of independent pairs from the same noise. Where no
    field is known, the validation split replaces the true sampler.

    If a coupling keeps both marginals, the exact minimizer draws from the training distribution. The part `coupling` is
    then 0 for data generated on the fly; for a finite training set, the part measures memorization. Errors of estimated
    potentials (wcfm-balanced) count as `network`.

    Each value states its 95 % CI half-width over the repeats (Student's t).

    Args:
        distance: metric to split; w2 has a large floor that hides small parts.
        n: number of samples of each sampler, and of test points.
        repeats: number of evaluations, each with fresh noise and test points.

    Raises:
        Unsupported: if the exact minimizer is not known. It is known for unconditional flow matching of vectors on
            straight paths without noise; for W-CFM, only if the data is a Gaussian or a mixture of Gaussians.
            Also if a finite validation split is measured as the test split.
    """
    model, data = evaluation.model, evaluation.data
    if not isinstance(model, FlowMatching) or model.conditional or not data.event.is_vector or data.event.conditions:
        raise Unsupported("the exact minimizer is known only for unconditional flow matching of vectors")
    if model.path != Straight(0.0):
        raise Unsupported("the exact minimizer is known only for straight paths without noise (model.sigma=0)")
    rows = []
    for index in range(repeats):
        seed = derive(evaluation.seed, "error budget", index)
        samplers = [*_exact(model, data, n, seed)]
        for options in ({**evaluation.options, **ACCURATE}, evaluation.options):
            samplers.append(draw(model, n, evaluation.batch, seed, options)[0])
        again = [Evaluation(data, seed, x=x, errors=False) for x in samplers]
        rows.append([values_of(metrics[distance], one, {"n": n})[0].value for one in again])
    reached = torch.tensor(rows, dtype=torch.float64)
    parts = torch.cat([reached[:, -1:], reached[:, :1], reached.diff()], 1)
    half = parts.std(0) * (float(stdtrit(repeats - 1, 0.975)) / math.sqrt(repeats))
    protocol = f"{distance}, n={n}, {repeats} repeats, exact fields by dopri5 tol {TOLERANCE:g}"
    return [
        Value(mean, n, protocol, part, details={"half_interval": interval})
        for part, mean, interval in zip(("", *PARTS), parts.mean(0).tolist(), half.tolist(), strict=True)
    ]


def _exact(model: FlowMatching, data: Data, n: int, seed: int) -> Iterator[Float[Tensor, "n d"]]:
    """Yield samples of the true sampler, then of the exact minimizer."""
    x0, field = noise(model.source, n, seed), data.truth.velocity
    if field is None and data.valid is data.test and data.valid.size is not None:
        raise Unsupported("validation data would be compared with themselves: set evaluation.split=test")
    true = data.valid.take(n, seed).x if field is None else integrate(field, x0, tol=TOLERANCE).x
    yield true
    exact = model.coupling.exact_samples(x0, data, tol=TOLERANCE)
    if exact is None and data.train.size is not None:
        rows = torch.randint(data.train.size, (n,), generator=generator(seed, "training data"))
        exact = data.train.take(data.train.size, 0).x[rows]
    yield true if exact is None else exact
