"""CFM, OT-CFM, W-CFM and their relatives: each method is a coupling and a path."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from annotated_types import Gt, Lt

from genbench.core import Event, Source, require_normal
from genbench.models.flow_matching.couplings.balanced import REFERENCE, Balanced, ReferenceSettings
from genbench.models.flow_matching.couplings.base import Coupling, Independent
from genbench.models.flow_matching.couplings.entropic import ENTROPIC, Entropic, EntropicSettings
from genbench.models.flow_matching.couplings.minibatch_ot import PLAN, PlanSettings, Sinkhorn, ot
from genbench.models.flow_matching.couplings.semidiscrete import SEMIDISCRETE, Semidiscrete, SemidiscreteSettings
from genbench.models.flow_matching.couplings.wcfm_weights import KERNEL, WEIGHTS, Gibbs, KernelSettings, WeightSettings
from genbench.models.flow_matching.pair_model import DEFAULTS, SharedSettings
from genbench.models.flow_matching.paths import Bridge, Lipman, Straight, VariancePreserving
from genbench.models.flow_matching.velocity_model import FlowMatching
from genbench.nets.presets import Net
from genbench.registry import models, with_settings_of
from genbench.settings import Fraction, NonNegative, Positive

Sigma = Annotated[NonNegative, "standard deviation of the noise around the straight path; samples and density keep it"]


def on_straight_paths(name: str, *, version: int, **traits: Any) -> Callable[[Callable], Callable]:
    """Return a decorator that registers flow matching on straight paths between the pairs of a coupling.

    The model has the documentation of the coupling's builder, and its settings beside net, sigma and the shared ones.
    """

    def register(pairing: Callable[..., Coupling]) -> Callable[..., Coupling]:
        def build(
            event: Event,
            source: Source,
            *,
            net: Net = None,
            sigma: Sigma = 0.0,
            shared: SharedSettings = DEFAULTS,
            **settings: Any,
        ) -> FlowMatching:
            coupling = pairing(event, shared.classes(event), **settings)
            return FlowMatching(event, source, net=net, coupling=coupling, path=Straight(sigma), shared=shared)

        models.register(name, version=version, **traits)(with_settings_of(pairing, build))
        return pairing

    return register


@on_straight_paths("cfm", version=1)
def cfm(event: Event, classes: int) -> Coupling:
    """Conditional flow matching with independent pairs (I-CFM).

    Tong et al., 2023, "Improving and generalizing flow-based generative models with minibatch optimal transport",
    https://arxiv.org/abs/2302.00482.
    """
    return Independent()


@on_straight_paths("otcfm", version=1)
def otcfm(event: Event, classes: int, *, plan: PlanSettings = PLAN) -> Coupling:
    """Flow matching on pairs of the minibatch optimal transport plan (OT-CFM).

    Tong et al., 2023, https://arxiv.org/abs/2302.00482; Pooladian et al., 2023, https://arxiv.org/abs/2304.14772.
    """
    return ot(event, classes, settings=plan)


@on_straight_paths("eotcfm", version=1)
def eotcfm(event: Event, classes: int, *, transport: EntropicSettings = ENTROPIC) -> Coupling:
    """Flow matching on pairs of the entropic plan of large batches, balanced or unbalanced (EOT-CFM).

    Klein et al., 2025, "On fitting flow models with large Sinkhorn couplings", https://arxiv.org/abs/2506.05526;
    unbalanced: Eyring et al., 2024, "Unbalancedness in neural Monge maps improves unpaired domain translation",
    https://arxiv.org/abs/2311.15100.
    """
    return Entropic(transport)


@on_straight_paths("sdcfm", version=2, held_out=False)
def sdcfm(event: Event, classes: int, *, transport: SemidiscreteSettings = SEMIDISCRETE) -> Coupling:
    """Flow matching on the semidiscrete optimal transport of the source to all training points (SD-CFM).

    Mousavi-Hosseini et al., 2025, "Flow matching with semidiscrete couplings", https://arxiv.org/abs/2509.25519.
    The potentials of all points are computed once and cached; pairing then takes one product of matrices. data.flip has
    no effect unless model.mirrored is set.
    """
    return Semidiscrete(event, classes, settings=transport)


@on_straight_paths("wcfm", version=1, stated="kappa")
def wcfm(event: Event, classes: int, *, kernel: KernelSettings = KERNEL, weights: WeightSettings = WEIGHTS) -> Coupling:
    """Flow matching on independent pairs weighted by a Gibbs kernel exp(-c(x0, x1) / epsilon) (W-CFM).

    Weighted conditional flow matching, 2025, https://arxiv.org/abs/2507.22270. The weights tilt both marginals, and the
    model learns the flow between the tilted marginals. Training logs the effective sample size; the metric
    `tilt` measures the tilt.
    """
    return Gibbs(event, classes, kernel=kernel, settings=weights)


@on_straight_paths("wcfm-balanced", version=1, stated="kappa")
def wcfm_balanced(
    event: Event, classes: int, *, kernel: KernelSettings = KERNEL, reference: ReferenceSettings = REFERENCE
) -> Coupling:
    """Flow matching on independent pairs weighted by the density of the entropic transport plan: W-CFM untilted.

    w = exp(-c(x0, x1) / epsilon + phi(x0) + psi(x1)) has mean 1 given x0 and mean 1 given x1, unlike the weights of
    W-CFM (https://arxiv.org/abs/2507.22270). The potentials are estimated on a reference sample (Cuturi, 2013,
    https://arxiv.org/abs/1306.0895) that is updated in training (Mensch and Peyre, 2020,
    https://arxiv.org/abs/2003.01415).
    """
    return Balanced(event, classes, kernel=kernel, settings=reference)


@models.register("fm", version=1)
def fm(
    event: Event, source: Source, *, net: Net = None, sigma: Fraction = 1e-4, shared: SharedSettings = DEFAULTS
) -> FlowMatching:
    """Flow matching on the optimal-transport conditional path from N(0, I).

    Lipman et al., 2023, "Flow matching for generative modeling", https://arxiv.org/abs/2210.02747.

    Args:
        sigma: standard deviation of the noise that is left around the data at t = 1.
    """
    require_normal(source, event, "fm")
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
        clip: smallest distance of t from 0 and 1 in training, because the variance of the target diverges there.
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
    require_normal(source, event, "vp")
    path = VariancePreserving(schedule)
    return FlowMatching(event, source, net=net, coupling=Independent(), path=path, shared=shared)
