"""The optimal transport plan of each batch: exact, as in OT-CFM, or entropic."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from genbench.core import Data, Event
from genbench.errors import ConfigError, RunFailed
from genbench.models.flow_matching.couplings.base import Coupling, Pairs, permute_noise, squared_distances
from genbench.numerics.optimal_transport import assignment, pot
from genbench.registry import couplings
from genbench.settings import Count, NonNegative, Positive


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """Settings of the transport plan of a batch.

    Args:
        plan: "exact" is a permutation of the batch; "sinkhorn" the entropic plan with strength `reg`.
        resample: whether to draw pairs of the exact plan with replacement, as torchcfm does; duplicates then cost 37 %
            of a batch.
        reg: entropy of the sinkhorn plan, in units of the squared distance.
        pool: number of batches that share a plan.
        mismatch: cost of pairing noise with data of another class, in units of the squared distance. Noise has the
            class of the datum that it was drawn with. None pairs within classes only. 0 ignores classes: the noise of
            a class then depends on the class. On data with continuous conditions, mismatch is instead the weight of
            the squared distance between conditions; none finds this weight in every batch (`weight_of_conditions`).
    """

    plan: Literal["exact", "sinkhorn"] = "exact"
    resample: bool = False
    reg: Positive = 0.1
    pool: Count = 1
    mismatch: NonNegative | None = None


PLAN = PlanSettings()

SHARE = 0.2
"""C2OT chooses the weight of conditions so that this share of all pairs costs no more than the pairs as drawn."""

LARGEST = 1e9
"""Largest weight of conditions."""

STEPS, TOLERANCE = 10_000, 1e-6
"""Largest number of steps of Sinkhorn's algorithm, and the error of a marginal below which it has converged."""


class MinibatchOT(Coupling):
    """The optimal transport plan of the batch for the squared Euclidean cost (Tong et al., 2023).

    pi = argmin over permutations of sum_i |x0_pi(i) - x1_i|^2

    Between uniform batches of equal size the plan is a permutation, which uses every sample once. torchcfm instead
    draws pairs from the plan with replacement, and loses 37 % of a batch to duplicates. `resample` has the same
    expected gradient: it weights each pair by the number of times it was drawn (duplicates then share one t). `pool`
    and `mismatch` follow Cheng and Schwing, 2025 (C2OT, 2503.10636). The arguments are as in `PlanSettings`;
    `conditions` is the number of continuous conditions.
    """

    draws = "thread"

    def __init__(
        self, *, resample: bool = False, pool: int = 1, mismatch: float | None = None, conditions: int = 0
    ) -> None:
        super().__init__()
        self.resample, self.pool, self.mismatch, self.conditions = resample, pool, mismatch, conditions

    def forward(self, x0: Tensor, x1: Tensor, label: Tensor | None, generator: torch.Generator) -> Pairs:
        if self.conditions:
            drawn, x0 = x0, torch.empty_like(x0)
            for members in [slice(None)] if label is None else [label == value for value in label.unique()]:
                x0[members] = self._with_conditions(drawn[members], x1[members])
        elif label is None or self.mismatch is None:
            x0 = permute_noise(x0, x1, label, assignment)
        else:
            cost = squared_distances(x0, x1) + self.mismatch * (label[:, None] != label)
            x0 = x0[assignment(cost.cpu()).to(x0.device)]
        weight = x0.new_ones(len(x0))
        if self.resample:
            drawn = torch.randint(len(x0), (len(x0),), generator=generator, device=x0.device)
            weight = torch.zeros_like(weight).index_add(0, drawn, weight)
        return Pairs(x0, weight)

    def _with_conditions(self, x0: Tensor, x1: Tensor) -> Tensor:
        """Reorder noise whose last coordinates are the conditions of the data that it was drawn with."""
        parts = (slice(-self.conditions), slice(-self.conditions, None))
        cost, between = torch.stack([squared_distances(x0[:, part], x1[:, part]) for part in parts]).cpu()
        weight = weight_of_conditions(cost, between) if self.mismatch is None else self.mismatch
        return x0[assignment(cost + weight * between).to(x0.device)]

    def exact_samples(self, x0: Tensor, data: Data, *, tol: float) -> None:
        return None


def weight_of_conditions(cost: Float64[Tensor, "n n"], between: Float64[Tensor, "n n"]) -> float:
    """Return the weight w at which a fifth of all pairs (i, j) cost no more than the pair (j, j) that was drawn.

    cost_ij + w between_ij <= cost_jj  holds up to  w_ij = (cost_jj - cost_ij) / between_ij:  w is a quantile of these.

    Args:
        cost: squared distances of noise i and datum j.
        between: squared distances of their conditions.
    """
    always = torch.where(cost <= cost.diagonal(), LARGEST, 0.0)  # equal conditions: the same at any weight
    most = torch.where(between > 0, (cost.diagonal() - cost) / between, always).clamp(0, LARGEST).flatten()
    count = max(1, int(SHARE * len(most)))  # a batch of one or two has fewer than five pairs
    return float(most.kthvalue(len(most) - count + 1).values)


class Sinkhorn(Coupling):
    """Pairs drawn from the entropic plan of the batch (Tong et al., 2023).

    P = argmin <P, |x0 - x1|^2> - reg H(P) over couplings of the batch;  x0 of each x1 ~ P[:, x1]
    """

    draws = "thread"

    def __init__(self, *, reg: float) -> None:
        super().__init__()
        self.reg = reg

    def forward(self, x0: Tensor, x1: Tensor, label: Tensor | None, generator: torch.Generator) -> Pairs:
        def partners(cost: Tensor) -> Tensor:
            plan = entropic_plan(cost, self.reg)
            return torch.multinomial(plan.T.float().to(generator.device), 1, generator=generator)[:, 0]

        x0 = permute_noise(x0, x1, label, partners)
        return Pairs(x0, x0.new_ones(len(x0)))

    def exact_samples(self, x0: Tensor, data: Data, *, tol: float) -> None:
        return None


def entropic_plan(cost: Float64[Tensor, "n m"], reg: float) -> Float64[Tensor, "n m"]:
    """Return the entropic plan between uniform marginals, by POT."""
    # The log domain is slower, and needed only where the kernel exp(-cost / reg) underflows.
    method = "sinkhorn" if cost.max() < 500 * reg else "sinkhorn_log"
    # A second thread may draw ahead: np.errstate is local to a thread, warning filters are not.
    with np.errstate(all="ignore"):
        plan, log = pot("bregman").sinkhorn(
            [], [], cost.numpy(), reg, method=method, numItermax=STEPS, stopThr=TOLERANCE, warn=False, log=True
        )
    if not (log["err"] and log["err"][-1] < TOLERANCE):  # also true for NaN
        raise RunFailed(
            f"Sinkhorn's algorithm does not converge at reg {reg:g}: raise model.reg (model.sigma of sbcfm)"
        )
    return torch.from_numpy(plan)


@couplings.register("ot", version=1)
def ot(event: Event, classes: int, *, settings: PlanSettings = PLAN) -> MinibatchOT | Sinkhorn:
    """The optimal transport plan of each batch, as in OT-CFM."""
    if settings.plan == "exact":
        if settings.mismatch is not None and not (classes or event.conditions):
            raise ConfigError("model.mismatch is a cost between classes: it needs model.conditional=true")
        return MinibatchOT(
            resample=settings.resample,
            pool=settings.pool,
            mismatch=settings.mismatch,
            conditions=event.conditions,
        )
    if settings.resample:
        raise ConfigError(
            "model.resample is for model.plan=exact; the sinkhorn plan always draws its pairs: omit resample"
        )
    if settings.pool > 1 or settings.mismatch is not None:
        raise ConfigError("model.pool and model.mismatch need model.plan=exact")
    return Sinkhorn(reg=settings.reg)
