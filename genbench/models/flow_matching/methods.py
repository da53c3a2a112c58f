"""CFM and its kin: methods of flow matching, each a coupling and a path."""

import math
from typing import Annotated, Literal

from annotated_types import Gt, Lt

from genbench.core import Event, Normal, Source
from genbench.errors import ConfigError, Unsupported
from genbench.models.flow_matching.couplings import Gibbs, Independent, MinibatchOT, Sinkhorn
from genbench.models.flow_matching.model import Conditional, Dequantise, Dropout, FlowMatching, Net
from genbench.models.flow_matching.paths import Bridge, Lipman, Straight, VariancePreserving
from genbench.registry import models
from genbench.settings import ByEvent, Fraction, NonNegative, Positive


@models.register("cfm", version=1)
def cfm(
    event: Event,
    source: Source,
    *,
    net: Net = None,
    sigma: NonNegative = 0.0,
    conditional: Conditional = False,
    label_dropout: Dropout = 0.1,
    dequantise: Dequantise = True,
) -> FlowMatching:
    """Conditional flow matching with independent pairs (I-CFM).

    Tong et al., 2023, "Improving and generalizing flow-based generative models with minibatch optimal transport",
    https://arxiv.org/abs/2302.00482.

    Args:
        sigma: standard deviation of the noise around the straight path.
    """
    return FlowMatching(
        event,
        source,
        net=net,
        coupling=Independent(),
        path=Straight(sigma),
        conditional=conditional,
        label_dropout=label_dropout,
        dequantise=dequantise,
    )


@models.register("otcfm", version=1)
def otcfm(
    event: Event,
    source: Source,
    *,
    net: Net = None,
    sigma: NonNegative = 0.0,
    plan: Literal["exact", "sinkhorn"] = "exact",
    resample: bool = False,
    reg: Positive = 0.1,
    conditional: Conditional = False,
    label_dropout: Dropout = 0.1,
    dequantise: Dequantise = True,
) -> FlowMatching:
    """Flow matching on pairs of the minibatch optimal transport plan (OT-CFM).

    Tong et al., 2023, https://arxiv.org/abs/2302.00482; Pooladian et al., 2023, https://arxiv.org/abs/2304.14772.

    Args:
        sigma: standard deviation of the noise around the straight path.
        plan: "exact" is a permutation of the batch; "sinkhorn" the entropic plan with strength `reg`.
        resample: draw the pairs of the exact plan with replacement, as torchcfm does (37 % are lost to duplicates).
        reg: entropy of the sinkhorn plan, in units of the squared distance.
    """
    if resample and plan != "exact":
        raise ConfigError("otcfm.resample draws pairs from the exact plan; the sinkhorn plan is drawn from anyway")
    return FlowMatching(
        event,
        source,
        net=net,
        coupling=MinibatchOT(resample=resample) if plan == "exact" else Sinkhorn(reg=reg),
        path=Straight(sigma),
        conditional=conditional,
        label_dropout=label_dropout,
        dequantise=dequantise,
    )


def usual_kappa(event: Event) -> float:
    """Return the published choice of CIFAR-10 for images, and 1 for vectors."""
    return 0.0902 if len(event.shape) == 3 else 1.0


@models.register("wcfm", version=1)
def wcfm(
    event: Event,
    source: Source,
    *,
    net: Net = None,
    sigma: NonNegative = 0.0,
    kappa: Annotated[Positive | None, ByEvent(usual_kappa, unless="epsilon")] = None,
    epsilon: Positive | None = None,
    cost: Literal["norm", "sqnorm"] = "norm",
    normaliser: Literal["constant", "running", "batch"] = "constant",
    weigh: Literal["pair", "data"] = "pair",
    conditional: Conditional = False,
    label_dropout: Dropout = 0.1,
    dequantise: Dequantise = True,
) -> FlowMatching:
    """Flow matching on independent pairs weighted by a Gibbs kernel exp(-c(x0, x1) / epsilon) (W-CFM).

    Weighted conditional flow matching, 2025, https://arxiv.org/abs/2507.22270. What it learns is the flow between
    the marginals tilted by the weights; the effective sample size and the tilt are logged and measured.

    Args:
        sigma: standard deviation of the noise around the straight path.
        kappa: temperature in units of sqrt(d): epsilon = kappa sqrt(d); by default the published choice of CIFAR-10,
            0.0902, for images, and 1 for vectors.
        epsilon: temperature in units of the cost, instead of kappa.
        cost: "norm", as published, or "sqnorm", of which the small-epsilon limit is optimal transport for W2.
        normaliser: how E[w] is divided out: a "constant" estimated once, a "running" mean, or the mean of the "batch".
        weigh: each "pair", or, as a control, each "data" point by the mean weight of its pairs with the batch's noise:
            the same tilt without any coupling.
    """
    if epsilon is not None and kappa is not None:
        raise ConfigError("wcfm takes kappa or epsilon, not both: epsilon = kappa sqrt(d)")
    return FlowMatching(
        event,
        source,
        net=net,
        coupling=Gibbs(
            epsilon=epsilon or (kappa or usual_kappa(event)) * math.sqrt(event.dims),
            cost=cost,
            normaliser=normaliser,
            classes=event.classes if conditional else 0,
            weigh=weigh,
        ),
        path=Straight(sigma),
        conditional=conditional,
        label_dropout=label_dropout,
        dequantise=dequantise,
    )


@models.register("fm", version=1)
def fm(
    event: Event,
    source: Source,
    *,
    net: Net = None,
    sigma: Fraction = 1e-4,
    conditional: Conditional = False,
    label_dropout: Dropout = 0.1,
    dequantise: Dequantise = True,
) -> FlowMatching:
    """Flow matching on the optimal-transport conditional path from N(0, I).

    Lipman et al., 2023, "Flow matching for generative modeling", https://arxiv.org/abs/2210.02747.

    Args:
        sigma: standard deviation of the noise that is left around the data at t = 1.
    """
    _needs_normal(source, "fm")
    return FlowMatching(
        event,
        source,
        net=net,
        coupling=Independent(),
        path=Lipman(sigma),
        conditional=conditional,
        label_dropout=label_dropout,
        dequantise=dequantise,
    )


@models.register("sbcfm", version=1)
def sbcfm(
    event: Event,
    source: Source,
    *,
    net: Net = None,
    sigma: Positive = 1.0,
    clip: Annotated[
        float, Gt(0), Lt(0.5), "distance that t keeps from 0 and 1, where the target's variance diverges"
    ] = 1e-3,
    conditional: Conditional = False,
    label_dropout: Dropout = 0.1,
    dequantise: Dequantise = True,
) -> FlowMatching:
    """Schroedinger bridge flow matching: Brownian bridges between pairs of the entropic plan with reg 2 sigma^2.

    Tong et al., 2023, https://arxiv.org/abs/2302.00482.

    Args:
        sigma: diffusion of the bridge, in units of the data.
    """
    return FlowMatching(
        event,
        source,
        net=net,
        coupling=Sinkhorn(reg=2 * sigma**2),
        path=Bridge(sigma, clip),
        conditional=conditional,
        label_dropout=label_dropout,
        dequantise=dequantise,
    )


@models.register("vp", version=1)
def vp(
    event: Event,
    source: Source,
    *,
    net: Net = None,
    schedule: Literal["cosine", "linear"] = "cosine",
    conditional: Conditional = False,
    label_dropout: Dropout = 0.1,
    dequantise: Dequantise = True,
) -> FlowMatching:
    """Variance-preserving diffusion, trained on velocities and sampled by its probability-flow ODE.

    Song et al., 2021, https://arxiv.org/abs/2011.13456; Albergo and Vanden-Eijnden, 2023,
    https://arxiv.org/abs/2209.15571.

    Args:
        schedule: "cosine" is smooth at both ends; "linear" is the noise rate of Song et al.
    """
    _needs_normal(source, "vp")
    return FlowMatching(
        event,
        source,
        net=net,
        coupling=Independent(),
        path=VariancePreserving(schedule),
        conditional=conditional,
        label_dropout=label_dropout,
        dequantise=dequantise,
    )


def _needs_normal(source: Source, name: str) -> None:
    if not isinstance(source, Normal):
        raise Unsupported(f"{name} is a path from N(0, I), this task starts from another source")
