"""Tasks on real vectors: their common budget, evaluation and metrics."""

import torch
from jaxtyping import Float
from torch import Tensor

from genbench.core import Batch, Data, Event, Normal, Source, Truth
from genbench.data.splits import Draw, Endless
from genbench.space import Real

PLAN = {"steps": 5000, "batch_size": 256, "lr": 1e-3}
EVALUATION = {"n": 2048, "batch": 2048, "curve": [1, 2, 4, 8, 16, 32]}
DISTANCES = ("w2", "sliced_w2", "energy_distance")
OF_THE_MODEL = ("nll", "path_energy", "straightness", "npe", "detour", "nfe", "parameters", "failed")


def vectors(
    name: str,
    draw: Draw,
    *,
    dims: int = 2,
    classes: int = 0,
    conditions: int = 0,
    stratified: Draw | None = None,
    weights: Float[Tensor, " classes"] | None = None,
    source: Source | None = None,
    truth: Truth | None = None,
) -> Data:
    """Build the task of generating a distribution of vectors; every draw is fresh.

    Args:
        name: where the data comes from, for the provenance.
        conditions: number of the last coordinates that are conditions; the source must draw them too.
        stratified: function that draws validation and test samples, and samples that represent the distribution,
            stratified by mode.
        weights: probability of each class up to a common factor; by default all are equal.
        source: where sampling starts; N(0, I) by default.
    """
    truth = truth or Truth()
    several = truth.modes is not None and len(truth.modes) > 1
    space = Real()
    return Data(
        event=Event((dims,), classes, space.bin, conditions=conditions),
        space=space,
        source=source or Normal((dims,)),
        train=Endless(draw, "train", stand_in=stratified, weights=weights),
        valid=Endless(draw, "valid", take=stratified, weights=weights),
        test=Endless(draw, "test", take=stratified, weights=weights),
        plan=PLAN,
        evaluation=EVALUATION,
        metrics=(
            *DISTANCES,
            *(("conditional_w2",) if conditions else ()),
            *(("mode_coverage",) if several else ()),
            *OF_THE_MODEL,
        ),
        truth=truth,
        provenance={"source": f"{name}, drawn", "original": True},
    )


def unlabeled(x: Float[Tensor, "n d"]) -> Batch:
    """Return samples of data without classes."""
    return Batch(x, torch.zeros(len(x), dtype=torch.long, device=x.device))
