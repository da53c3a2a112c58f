"""The entropic transport plan of large batches, balanced or unbalanced, without a matrix of all pairs in memory."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genbench.core import Event
from genbench.models.flow_matching.couplings.base import Coupling, Pairs
from genbench.numerics.optimal_transport import Kernel, draw_rows, spread, streamed_sinkhorn
from genbench.registry import couplings
from genbench.settings import Count, Positive


@dataclass(frozen=True, kw_only=True)
class EntropicSettings:
    """Settings of the streamed entropic plan.

    Args:
        epsilon: temperature, in units of the standard deviation of 2 <x0, x1> over all centered pairs (the spread of
            the cost).
        penalty: weight of the KL divergence between the marginals of the plan and the batch, in units of the spread of
            the cost, as epsilon is; none keeps both marginals.
        pool: number of batches that share a plan.
    """

    epsilon: Positive = 0.1
    penalty: Positive | None = None
    pool: Count = 1


ENTROPIC = EntropicSettings()


class Entropic(Coupling):
    """Pairs drawn from the entropic plan of a pool of batches (Klein et al., 2025; unbalanced: Eyring et al., 2024).

    P = argmin <P, |x0 - x1|^2> + epsilon KL(P | a b) + penalty (KL(P 1 | a) + KL(P' 1 | b))
    x0 of each x1 ~ P[:, x1];  weight of each x1 = its mass in P

    Potentials are computed in blocks of rows, so memory grows linearly with the pool. With a small penalty, costly
    pairs lose mass: if epsilon is much smaller than the penalty, a pair of cost c that is far from all others keeps
    about exp(-c / (2 penalty)). As the penalty goes to 0, the plan becomes the Gibbs kernel of W-CFM with squared
    costs. Without a penalty, every data point has weight 1 and no tilt. For the arguments, see `EntropicSettings`.
    """

    def __init__(self, settings: EntropicSettings = ENTROPIC) -> None:
        super().__init__()
        self.epsilon, self.penalty, self.pool = settings.epsilon, settings.penalty, settings.pool

    def forward(self, x0: Tensor, x1: Tensor, label: Tensor | None, generator: torch.Generator) -> Pairs:
        unit = float(spread(x0, x1)) or math.inf  # for equal points, all plans cost the same
        kernel = Kernel(self.epsilon * unit, "sqnorm")
        if label is None:
            return self._paired(kernel, x0, x1, generator)
        paired, weight, tilt = torch.empty_like(x0), x0.new_empty(len(x0)), x0.new_empty(len(x0), 2)
        for value in label.unique():
            members = (label == value).nonzero()[:, 0]
            pairs = self._paired(kernel, x0[members], x1[members], generator)
            paired[members], weight[members] = pairs.x0, pairs.weight
            tilt[members] = pairs.tilt  # type: ignore[assignment]
        return Pairs(paired, weight, tilt)

    def _paired(self, kernel: Kernel, x0: Tensor, x1: Tensor, generator: torch.Generator) -> Pairs:
        damping = 1.0 if self.penalty is None else self.penalty / (self.penalty + self.epsilon)
        plan = streamed_sinkhorn(kernel, x0, x1, damping)
        # Where all pairs are costly, masses underflow in float32; their ratios do not.
        masses = [(log - log.max()).exp() for log in (plan.log_mass0, plan.log_mass1)]
        mass0, weight = (mass / mass.mean() for mass in masses)
        tilt = torch.stack([(mass0 - 1).square(), (weight - 1).square()], 1)
        return Pairs(x0[draw_rows(kernel, x0, x1, plan.phi, generator)], weight, tilt)


@couplings.register("entropic", version=1)
def entropic(event: Event, classes: int, *, settings: EntropicSettings = ENTROPIC) -> Entropic:
    """The entropic plan of large batches, balanced or unbalanced; memory grows linearly with their size."""
    return Entropic(settings)
