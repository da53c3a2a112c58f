"""CFM, OT-CFM, W-CFM and their relatives: each method is a coupling and a path."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Gt, Lt

from genbench.core import Event, Normal, Source
from genbench.errors import ConfigError, Unsupported
from genbench.models.flow_matching.couplings.balanced import Balanced
from genbench.models.flow_matching.couplings.base import Independent
from genbench.models.flow_matching.couplings.gibbs import Gibbs, Normaliser, Weighting
from genbench.models.flow_matching.couplings.minibatch_ot import MinibatchOT
from genbench.models.flow_matching.couplings.sinkhorn import Sinkhorn
from genbench.models.flow_matching.model import DEFAULTS, FlowMatching, Net, SharedSettings
from genbench.models.flow_matching.paths import Bridge, Lipman, Straight, VariancePreserving
from genbench.numerics.optimal_transport import Cost
from genbench.registry import models
from genbench.settings import ByEvent, Count, Fraction, NonNegative, Positive


def default_kappa(event: Event) -> float:
    """Return the published choice for CIFAR-10 on images, and 1 on vectors."""
    return 0.0902 if len(event.shape) == 3 else 1.0


Sigma = Annotated[NonNegative, "standard deviation of the noise around the straight path"]


@dataclass(frozen=True, kw_only=True)
class KernelSettings:
    """Settings of the Gibbs kernel exp(-c(x0, x1) / epsilon).

    Args:
        kappa: temperature in units of sqrt(d): epsilon = kappa sqrt(d); by default 0.0902 for images, the published
            choice for CIFAR-10, and 1 for vectors.
        epsilon: temperature in units of the cost, instead of kappa.
        cost: "norm", as published, or "sqnorm", of which the small-epsilon limit is optimal transport for W2.
    """

    kappa: Annotated[Positive | None, ByEvent(default_kappa, unless="epsilon")] = None
    epsilon: Positive | None = None
    cost: Cost = "norm"

    def temperature(self, event: Event) -> float:
        """Return epsilon.

        Raises:
            ConfigError: if both kappa and epsilon are given.
        """
        if self.epsilon is not None and self.kappa is not None:
            raise ConfigError("give model.kappa or model.epsilon, not both: epsilon = kappa sqrt(d)")
        return self.epsilon or (self.kappa or default_kappa(event)) * math.sqrt(event.dims)


KERNEL = KernelSettings()


@models.register("cfm", version=1)
def cfm(
    event: Event, source: Source, *, net: Net = None, sigma: Sigma = 0.0, shared: SharedSettings = DEFAULTS
) -> FlowMatching:
    """Conditional flow matching with independent pairs (I-CFM).

    Tong et al., 2023, "Improving and generalizing flow-based generative models with minibatch optimal transport",
    https://arxiv.org/abs/2302.00482.
    """
    return FlowMatching(event, source, net=net, coupling=Independent(), path=Straight(sigma), shared=shared)


@models.register("otcfm", version=1)
def otcfm(
    event: Event,
    source: Source,
    *,
    net: Net = None,
    sigma: Sigma = 0.0,
    plan: Literal["exact", "sinkhorn"] = "exact",
    resample: bool = False,
    reg: Positive = 0.1,
    shared: SharedSettings = DEFAULTS,
) -> FlowMatching:
    """Flow matching on pairs of the minibatch optimal transport plan (OT-CFM).

    Tong et al., 2023, https://arxiv.org/abs/2302.00482; Pooladian et al., 2023, https://arxiv.org/abs/2304.14772.

    Args:
        plan: "exact" is a permutation of the batch; "sinkhorn" the entropic plan with strength `reg`.
        resample: draw the pairs of the exact plan with replacement, as torchcfm does (37 % are lost to duplicates).
        reg: entropy of the sinkhorn plan, in units of the squared distance.
    """
    if resample and plan != "exact":
        raise ConfigError("otcfm.resample applies to the exact plan; pairs of the sinkhorn plan are always drawn")
    coupling = MinibatchOT(resample=resample) if plan == "exact" else Sinkhorn(reg=reg)
    return FlowMatching(event, source, net=net, coupling=coupling, path=Straight(sigma), shared=shared)


@models.register("wcfm", version=1)
def wcfm(
    event: Event,
    source: Source,
    *,
    net: Net = None,
    sigma: Sigma = 0.0,
    kernel: KernelSettings = KERNEL,
    normaliser: Normaliser = "constant",
    weigh: Weighting = "pair",
    shared: SharedSettings = DEFAULTS,
) -> FlowMatching:
    """Flow matching on independent pairs weighted by a Gibbs kernel exp(-c(x0, x1) / epsilon) (W-CFM).

    Weighted conditional flow matching, 2025, https://arxiv.org/abs/2507.22270. It learns the flow between the
    marginals tilted by the weights; the effective sample size and the tilt are logged and measured.

    Args:
        normaliser: how E[w] is divided out: a "constant" estimated once, a "running" mean, or the mean of the "batch".
        weigh: weights for each "pair", or, as a control, for each "data" point the mean weight of its pairs with the
            noise of the batch: the same tilt without any coupling.
    """
    coupling = Gibbs(
        epsilon=kernel.temperature(event),
        cost=kernel.cost,
        normaliser=normaliser,
        classes=event.classes if shared.conditional else 0,
        weighting=weigh,
    )
    return FlowMatching(event, source, net=net, coupling=coupling, path=Straight(sigma), shared=shared)


@models.register("wcfm-balanced", version=1)
def wcfm_balanced(
    event: Event,
    source: Source,
    *,
    net: Net = None,
    sigma: Sigma = 0.0,
    kernel: KernelSettings = KERNEL,
    reference: Count = 1024,
    running: bool = True,
    shared: SharedSettings = DEFAULTS,
) -> FlowMatching:
    """Flow matching on independent pairs weighted by the density of the entropic transport plan: W-CFM untilted.

    w = exp(-c(x0, x1) / epsilon + phi(x0) + psi(x1)) has mean 1 given x0 and given x1, where the weights of W-CFM
    (https://arxiv.org/abs/2507.22270) do not. The potentials are estimated on a reference sample (Cuturi, 2013,
    https://arxiv.org/abs/1306.0895) that follows training (Mensch and Peyre, 2020, https://arxiv.org/abs/2003.01415).

    Args:
        reference: points of noise and of data from which the potentials are estimated, all classes together.
        running: whether training replaces the oldest points of the reference, which must hold at least two batches.
    """
    coupling = Balanced(
        event.shape,
        epsilon=kernel.temperature(event),
        cost=kernel.cost,
        reference=reference,
        running=running,
        classes=event.classes if shared.conditional else 0,
    )
    return FlowMatching(event, source, net=net, coupling=coupling, path=Straight(sigma), shared=shared)


@models.register("fm", version=1)
def fm(
    event: Event, source: Source, *, net: Net = None, sigma: Fraction = 1e-4, shared: SharedSettings = DEFAULTS
) -> FlowMatching:
    """Flow matching on the optimal-transport conditional path from N(0, I).

    Lipman et al., 2023, "Flow matching for generative modeling", https://arxiv.org/abs/2210.02747.

    Args:
        sigma: standard deviation of the noise that is left around the data at t = 1.
    """
    _require_normal(source, "fm")
    return FlowMatching(event, source, net=net, coupling=Independent(), path=Lipman(sigma), shared=shared)


@models.register("sbcfm", version=1)
def sbcfm(
    event: Event,
    source: Source,
    *,
    net: Net = None,
    sigma: Positive = 1.0,
    clip: Annotated[float, Gt(0), Lt(0.5)] = 1e-3,
    shared: SharedSettings = DEFAULTS,
) -> FlowMatching:
    """Schroedinger bridge flow matching: Brownian bridges between pairs of the entropic plan with reg 2 sigma^2.

    Tong et al., 2023, https://arxiv.org/abs/2302.00482.

    Args:
        sigma: diffusion of the bridge, in units of the data.
        clip: distance that t keeps from 0 and 1, where the variance of the target diverges.
    """
    coupling, path = Sinkhorn(reg=2 * sigma**2), Bridge(sigma, clip)
    return FlowMatching(event, source, net=net, coupling=coupling, path=path, shared=shared)


@models.register("vp", version=1)
def vp(
    event: Event,
    source: Source,
    *,
    net: Net = None,
    schedule: Literal["cosine", "linear"] = "cosine",
    shared: SharedSettings = DEFAULTS,
) -> FlowMatching:
    """Variance-preserving diffusion, trained on velocities and sampled by its probability-flow ODE.

    Song et al., 2021, https://arxiv.org/abs/2011.13456; Albergo and Vanden-Eijnden, 2023,
    https://arxiv.org/abs/2209.15571.

    Args:
        schedule: "cosine" is smooth at both ends; "linear" is the noise rate of Song et al.
    """
    _require_normal(source, "vp")
    path = VariancePreserving(schedule)
    return FlowMatching(event, source, net=net, coupling=Independent(), path=path, shared=shared)


def _require_normal(source: Source, name: str) -> None:
    if not isinstance(source, Normal):
        raise Unsupported(f"{name} is a path from N(0, I), this task starts from another source")
