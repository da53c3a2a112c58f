"""MeanFlow, shortcut models, consistency and their relatives: each is a flow map with its own loss."""

from typing import Annotated

from annotated_types import Gt, Le

from genbench.core import Event, Source
from genbench.errors import ConfigError
from genbench.models.flow_matching.flow_map import CouplingSetting, FlowMap
from genbench.models.flow_matching.map_losses import mean_flow
from genbench.models.flow_matching.map_losses import shortcut as shortcuts
from genbench.models.flow_matching.map_losses.alpha_flow import AlphaFlowLoss
from genbench.models.flow_matching.map_losses.base import LogitNormal
from genbench.models.flow_matching.map_losses.consistency import ConsistencyLoss
from genbench.models.flow_matching.map_losses.eulerian import EulerianLoss
from genbench.models.flow_matching.map_losses.lagrangian import LagrangianLoss, TerminalVelocityLoss
from genbench.models.flow_matching.map_losses.progressive import ProgressiveLoss
from genbench.models.flow_matching.pair_model import DEFAULTS, SharedSettings
from genbench.nets.presets import Net
from genbench.registry import models
from genbench.settings import ByEvent, Count, Fraction, NonNegative, Positive, Size

Ratio = Annotated[Fraction, "share of pairs that learn an interval; the others train the velocity itself"]


@models.register("meanflow", version=1)
def meanflow(
    event: Event,
    source: Source,
    *,
    net: Net = None,
    coupling: CouplingSetting = None,
    ratio: Fraction = 0.75,
    state: LogitNormal | None = None,
    target: LogitNormal | None = None,
    power: Annotated[NonNegative | None, ByEvent(mean_flow.default_power)] = None,
    offset: Positive = 1e-3,
    improved: bool = False,
    target_guidance: NonNegative = 1.0,
    guidance_mix: Fraction = 0.0,
    shared: SharedSettings = DEFAULTS,
) -> FlowMap:
    """One-step generation by mean velocities (MeanFlow), also in its improved form (iMF), on pairs of any coupling.

    Mean velocities u(x_t, t, r) satisfy the MeanFlow identity:

    u = v + (r - t) D u,   D u = v grad_x u + du/dt at fixed r
    loss = E w |u - sg(v + (r - t) D u)|^2 / sg(|...|^2 + c)^p,   v = x1 - x0

    Improved (iMF): the tangent is the network's velocity u(x_t, t, t), which a second loss trains. Guided, where the
    label is kept: v becomes a v + (1 - a - k) u_u + k u_c; u_u and u_c are u(x_t, t, t) without and with label.

    Geng et al., 2025, "Mean flows for one-step generative modeling", https://arxiv.org/abs/2505.13447; "Improved mean
    flows", https://arxiv.org/abs/2512.02012. Noise is at time 0 here and at time 1 in the papers.

    Args:
        ratio: share of pairs with a target time r after the state's time t; the others train the velocity itself.
        state: mean and standard deviation of logit(t), 0.6 and 1.6 in the recipe for CIFAR-10; none draws t uniformly.
        target: mean and standard deviation of logit(r), 4.0 and 1.6 in that recipe; a draw of r below t is raised to t.
            None draws both times from the distribution of `state`, and orders them.
        power: p of the adaptive weight 1 / (error + c)^p; by default 0.75 for images and 0 for vectors. Above 0 the
            minimizer is no longer the mean velocity.
        offset: c of the adaptive weight.
        improved: whether to train iMF: the network's velocity is the tangent, with a loss of its own.
        target_guidance: weight a of the pair's velocity in the guided target; 1 with `guidance_mix` 0 is unguided.
        guidance_mix: weight k of the conditional velocity in that target; k = 1 - 1/w with a = 1 is scale w of iMF.
    """
    if (target_guidance, guidance_mix) != (1.0, 0.0) and not shared.conditional:
        raise ConfigError("model.target_guidance and model.guidance_mix need model.conditional=true")
    loss = mean_flow.MeanFlowLoss(
        ratio=ratio,
        state=state,
        target=target,
        power=mean_flow.default_power(event) if power is None else power,
        offset=offset,
        improved=improved,
        guidance=target_guidance,
        mix=guidance_mix,
    )
    return FlowMap(event, source, net=net, coupling=coupling, loss=loss, shared=shared)


@models.register("shortcut", version=1)
def shortcut(
    event: Event,
    source: Source,
    *,
    net: Net = None,
    coupling: CouplingSetting = None,
    finest: Count = 128,
    share: Fraction = 0.125,
    decay: Fraction = 0.999,
    clip: Annotated[Positive | None, ByEvent(shortcuts.default_clip)] = None,
    target_guidance: NonNegative = 1.0,
    shared: SharedSettings = DEFAULTS,
) -> FlowMap:
    """Generation in 1, 2, 4, ... steps by self-consistent step sizes (shortcut models), on pairs of any coupling.

    Mean velocities u(x, t, t + d) over steps d = 1, 1/2, ..., 1/n:

    d = 1/n:    loss = |u - (x1 - x0)|^2
    d > 1/n:    loss = |u - (a + b) / 2|^2,  a = u(x_t, t, t + d/2),  b = u(x_t + d/2 a, t + d/2, t + d)

    Averaged weights compute a and b when an example is drawn.
    Frans et al., 2024, "One step diffusion via shortcut models", https://arxiv.org/abs/2410.12557.

    Args:
        finest: largest number of steps n, a power of two; steps of size 1/n learn from pairs.
        share: share of the pairs that learn from two half steps instead.
        decay: decay of the averaged weights that take the half steps.
        clip: bound on the elements of states and targets of half steps; by default 4 for images, none for vectors.
        target_guidance: scale w of guidance u_u + w (u_c - u_u) in half steps of the smallest size, where the label
            was not dropped; 1 is unguided.
    """
    if finest & (finest - 1) or finest < 2:
        raise ConfigError(f"model.finest={finest} must be a power of two from 2 on")
    if target_guidance != 1 and not shared.conditional:
        raise ConfigError("model.target_guidance needs model.conditional=true")
    bound = clip or shortcuts.default_clip(event)
    loss = shortcuts.ShortcutLoss(finest=finest, share=share, decay=decay, clip=bound, guidance=target_guidance)
    return FlowMap(event, source, net=net, coupling=coupling, loss=loss, shared=shared)


@models.register("consistency", version=1)
def consistency(
    event: Event,
    source: Source,
    *,
    net: Net = None,
    coupling: CouplingSetting = None,
    segments: Count = 2,
    delta: Positive = 1e-3,
    alpha: NonNegative = 1e-5,
    boundary: Fraction = 0.9,
    end_steps: Size = 1000,
    tangent: Positive | None = None,
    shared: SharedSettings = DEFAULTS,
) -> FlowMap:
    """Generation in one step per segment of the flow (consistency flow matching), on pairs of any coupling.

    Every point of a segment predicts its end T:

    f(t, x) = x + (T - t) v(t, x)
    loss = |f(t, x_t) - sg f(t + delta, x_t+delta)|^2 + alpha |v(t, x_t) - sg v(t + delta, x_t+delta)|^2

    In the first `end_steps` steps of training, and later for t >= `boundary`, the pair's own point at T replaces
    f(t + delta). Yang et al., 2024, "Consistency flow matching: defining straight flows with velocity consistency",
    https://arxiv.org/abs/2407.02398.

    With `tangent` the times are continuous, as in sCM. The derivative D along the pair's path replaces the difference:

    g = df/dt = (x1 - x0) - v + r (T - t) D v
    loss = |v - sg(v + g / (|g| + c))|^2,   c = `tangent`

    r grows from 0 to 1 in the first `end_steps` steps, and is 0 for t >= `boundary`. Lu and Song, 2024, "Simplifying,
    stabilizing and scaling continuous-time consistency models", https://arxiv.org/abs/2410.11081. genbench keeps its
    straight paths and uniform times, and learns no weight of the loss over time. |g| is the Euclidean norm over all
    dimensions; other code divides it by the square root of their number, so that the same c has more effect there. Like
    every adaptive weight, the normalization moves the minimizer where the noise of g is skewed.

    Args:
        segments: number of equal parts of [0, 1]; the number of sampling steps must be a multiple of it.
        delta: distance between the two times whose predictions are matched; must be below the length of a segment.
        alpha: weight of the agreement of velocities.
        boundary: time t from which the pair's own point at T is the target.
        end_steps: number of first training steps in which that point is the target at all t; the authors use 100,000.
        tangent: c of normalized tangents in continuous time, 0.1 in sCM, with `segments` 1, `boundary` 1 and
            `end_steps` 10,000; `delta` and `alpha` then have no effect. None takes differences over `delta`.
    """
    if tangent is None and delta * segments >= 1:
        raise ConfigError(f"model.delta={delta:g} must be below the length of a segment, 1/{segments}")
    loss = ConsistencyLoss(
        segments=segments, delta=delta, alpha=alpha, boundary=boundary, end_steps=end_steps, tangent=tangent
    )
    return FlowMap(event, source, net=net, coupling=coupling, loss=loss, shared=shared)


@models.register("lagrangian", version=1)
def lagrangian(
    event: Event,
    source: Source,
    *,
    net: Net = None,
    coupling: CouplingSetting = None,
    ratio: Ratio = 0.25,
    shared: SharedSettings = DEFAULTS,
) -> FlowMap:
    """Generation in any number of steps by Lagrangian self-distillation (LSD), on pairs of any coupling.

    As r grows, the end X_r = x_t + (r - t) u(x_t, t, r) of a jump moves with the velocity at X_r:

    loss = |dX_r/dr - sg u(X_r, r, r)|^2;  at r = t this is flow matching, |u(x_t, t, t) - (x1 - x0)|^2

    Boffi et al., 2025, "How to build a consistency model", https://arxiv.org/abs/2505.18825.
    """
    return FlowMap(event, source, net=net, coupling=coupling, loss=LagrangianLoss(ratio), shared=shared)


@models.register("tvm", version=1)
def tvm(
    event: Event,
    source: Source,
    *,
    net: Net = None,
    coupling: CouplingSetting = None,
    ratio: Ratio = 0.25,
    decay: Fraction = 0.99,
    shared: SharedSettings = DEFAULTS,
) -> FlowMap:
    """Generation in any number of steps by terminal velocity matching (TVM), on pairs of any coupling.

    The loss is the one of `lagrangian`, but averaged weights compute the velocity at the end of a jump.
    "Terminal velocity matching", 2025, https://arxiv.org/abs/2511.19797; genbench omits the paper's architecture.

    Args:
        decay: decay of the averaged weights.
    """
    loss = TerminalVelocityLoss(ratio, decay)
    return FlowMap(event, source, net=net, coupling=coupling, loss=loss, shared=shared)


@models.register("eulerian", version=1)
def eulerian(
    event: Event,
    source: Source,
    *,
    net: Net = None,
    coupling: CouplingSetting = None,
    ratio: Ratio = 0.25,
    shared: SharedSettings = DEFAULTS,
) -> FlowMap:
    """Generation in any number of steps by Eulerian self-distillation (ESD), on pairs of any coupling.

    The end X_r(x_t, t) of a jump does not change while its start moves along the flow, v = sg u(x_t, t, t):

    loss = |dX_r/dt + v grad_x X_r|^2;  at r = t this is flow matching, |u(x_t, t, t) - (x1 - x0)|^2

    Boffi et al., 2025, https://arxiv.org/abs/2505.18825. Gradients pass through the derivative. MeanFlow
    uses the velocity of pairs for v and stops these gradients.
    """
    return FlowMap(event, source, net=net, coupling=coupling, loss=EulerianLoss(ratio), shared=shared)


@models.register("progressive", version=1)
def progressive(
    event: Event,
    source: Source,
    *,
    net: Net = None,
    coupling: CouplingSetting = None,
    ratio: Ratio = 0.25,
    shared: SharedSettings = DEFAULTS,
) -> FlowMap:
    """Generation in any number of steps by progressive self-distillation (PSD), on pairs of any coupling.

    One jump from t to r agrees with two jumps, from t to m and from m to r, where m is uniform in [t, r]:

    loss = |u(x_t, t, r) - sg(g u(x_t, t, m) + (1 - g) u(X_m, m, r))|^2,   g = (m - t) / (r - t)

    At r = t this is flow matching. Boffi et al., 2025, https://arxiv.org/abs/2505.18825.
    """
    return FlowMap(event, source, net=net, coupling=coupling, loss=ProgressiveLoss(ratio), shared=shared)


@models.register("alphaflow", version=1)
def alphaflow(
    event: Event,
    source: Source,
    *,
    net: Net = None,
    coupling: CouplingSetting = None,
    ratio: Ratio = 0.75,
    alpha_min: Annotated[float, Gt(0), Le(1)] = 0.05,
    anneal_steps: Size = 1000,
    shared: SharedSettings = DEFAULTS,
) -> FlowMap:
    """Generation in any number of steps by alpha-Flow, between flow matching and MeanFlow, on pairs of any coupling.

    The target follows the pair's velocity v = x1 - x0 for a fraction alpha of the interval, to m = t + alpha (r - t),
    and the map from there to r:

    loss = |u(x_t, t, r) - sg(alpha v + (1 - alpha) u(x_t + (m - t) v, m, r))|^2 / alpha

    alpha = 1 regresses on the pair's velocity; the limit 0 is MeanFlow. At r = t this is flow matching. Zhang et al.,
    2025, "AlphaFlow: understanding and improving MeanFlow models", https://arxiv.org/abs/2510.20771. genbench lowers
    alpha linearly.

    Args:
        alpha_min: alpha at the end of training.
        anneal_steps: number of first training steps in which alpha falls from 1 to `alpha_min`.
    """
    loss = AlphaFlowLoss(ratio=ratio, alpha=alpha_min, anneal_steps=anneal_steps)
    return FlowMap(event, source, net=net, coupling=coupling, loss=loss, shared=shared)
