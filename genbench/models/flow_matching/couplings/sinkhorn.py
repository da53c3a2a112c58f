"""The entropic optimal transport plan of each batch."""

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from genbench.errors import RunFailed
from genbench.models.flow_matching.couplings.base import Coupling, Pairs, permute_noise, squared_distances
from genbench.numerics.optimal_transport import pot

STEPS, TOLERANCE = 10_000, 1e-6
"""The most steps of Sinkhorn's algorithm, and the error of a marginal at which it has converged."""


class Sinkhorn(Coupling):
    """Pairs drawn from the entropic plan of the batch (Tong et al., 2023).

    P = argmin <P, |x0 - x1|^2> - reg H(P) over couplings of the batch;  x0 of each x1 ~ P[:, x1]

    Args:
        reg: strength of the entropy, in units of the squared distance.
    """

    prefetch = True

    def __init__(self, *, reg: float) -> None:
        super().__init__()
        self.reg = reg

    def forward(self, x0: Tensor, x1: Tensor, label: Tensor | None, generator: torch.Generator) -> Pairs:
        def partners(a: Tensor, b: Tensor) -> Tensor:
            plan = entropic_plan(squared_distances(a, b), self.reg)
            return torch.multinomial(plan.T.float().to(generator.device), 1, generator=generator)[:, 0]

        x0 = permute_noise(x0, x1, label, partners)
        return Pairs(x0, x0.new_ones(len(x0)))


def entropic_plan(cost: Float64[Tensor, "n m"], reg: float) -> Float64[Tensor, "n m"]:
    """Return the entropic plan between uniform marginals, by POT."""
    ot = pot()
    # The log domain is slower, and needed only where the kernel exp(-cost / reg) underflows.
    method = "sinkhorn" if cost.max() < 500 * reg else "sinkhorn_log"
    # A thread draws ahead: filters of warnings are the process's, and those of rounding are the thread's.
    with np.errstate(all="ignore"):
        plan, log = ot.sinkhorn(
            [], [], cost.numpy(), reg, method=method, numItermax=STEPS, stopThr=TOLERANCE, warn=False, log=True
        )
    if not (log["err"] and log["err"][-1] < TOLERANCE):  # nor is NaN below it
        raise RunFailed(f"Sinkhorn at reg {reg:g} does not converge; a larger reg does")
    return torch.from_numpy(plan)
