"""OT-CFM: the exact optimal transport plan of each batch."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from genbench.core import Event
from genbench.errors import ConfigError
from genbench.models.flow_matching.couplings.base import Coupling, Pairs, permute_noise, squared_distances
from genbench.models.flow_matching.couplings.sinkhorn import Sinkhorn
from genbench.numerics.optimal_transport import assignment
from genbench.registry import couplings
from genbench.settings import Positive


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """Settings of the transport plan of a batch.

    Args:
        plan: "exact" is a permutation of the batch; "sinkhorn" the entropic plan with strength `reg`.
        resample: draw the pairs of the exact plan with replacement, as torchcfm does (37 % are lost to duplicates).
        reg: entropy of the sinkhorn plan, in units of the squared distance.
    """

    plan: Literal["exact", "sinkhorn"] = "exact"
    resample: bool = False
    reg: Positive = 0.1


PLAN = PlanSettings()


class MinibatchOT(Coupling):
    """The optimal transport plan of the batch for the squared Euclidean cost (Tong et al., 2023).

    pi = argmin over permutations of sum_i |x0_pi(i) - x1_i|^2

    Between uniform batches of equal size the plan is a permutation, which uses every sample once. torchcfm instead
    draws pairs from the plan with replacement, and loses 37 % of a batch to duplicates. `resample` has the same
    expected gradient: it weights each pair by the number of times it was drawn (duplicates then share one t).
    """

    prefetch = True

    def __init__(self, *, resample: bool = False) -> None:
        super().__init__()
        self.resample = resample

    def forward(self, x0: Tensor, x1: Tensor, label: Tensor | None, generator: torch.Generator) -> Pairs:
        """Permute the noise to the optimal partners of the data."""
        x0 = permute_noise(x0, x1, label, lambda a, b: assignment(squared_distances(a, b)))
        weight = x0.new_ones(len(x0))
        if self.resample:
            drawn = torch.randint(len(x0), (len(x0),), generator=generator, device=x0.device)
            weight = torch.bincount(drawn, minlength=len(x0)).to(x0)
        return Pairs(x0, weight)


@couplings.register("ot", version=1)
def ot(event: Event, classes: int, *, settings: PlanSettings = PLAN) -> MinibatchOT | Sinkhorn:
    """The optimal transport plan of each batch, as in OT-CFM."""
    if settings.plan == "exact":
        return MinibatchOT(resample=settings.resample)
    if settings.resample:
        raise ConfigError("model.resample applies to the exact plan; pairs of the sinkhorn plan are always drawn")
    return Sinkhorn(reg=settings.reg)
