"""The entropic optimal transport plan of each batch."""

import warnings

import torch
from jaxtyping import Float64
from torch import Tensor

from genbench.errors import RunFailed
from genbench.models.flow_matching.couplings.base import Coupling, Pairs, permute_noise, squared_distances
from genbench.numerics.optimal_transport import pot


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
        """Draw a noise partner for each data point."""

        def partners(a: Tensor, b: Tensor) -> Tensor:
            plan = entropic_plan(squared_distances(a, b), self.reg)
            return torch.multinomial(plan.T.float(), 1, generator=generator)[:, 0]

        x0 = permute_noise(x0, x1, label, partners)
        return Pairs(x0, x0.new_ones(len(x0)))


def entropic_plan(cost: Float64[Tensor, "n m"], reg: float) -> Float64[Tensor, "n m"]:
    """Return the entropic plan between uniform marginals, by POT.

    Raises:
        RunFailed: if Sinkhorn's algorithm does not converge.
    """
    ot = pot()
    # The log domain is slower, and needed only where the kernel exp(-cost / reg) underflows.
    method = "sinkhorn" if cost.max() < 500 * reg else "sinkhorn_log"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            plan = ot.sinkhorn([], [], cost.numpy(), reg, method=method, numItermax=10_000, stopThr=1e-6)
        except (UserWarning, RuntimeWarning) as warning:
            raise RunFailed(f"Sinkhorn at reg {reg:g} failed ({warning}); a larger reg converges") from warning
    return torch.from_numpy(plan)
