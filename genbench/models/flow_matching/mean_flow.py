"""MeanFlow, which learns mean velocities from one derivative along the flow, and its generalization alpha-Flow."""

from typing import Annotated

import torch
from annotated_types import Gt, Le
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from genbench.core import Event
from genbench.errors import ConfigError
from genbench.models.flow_matching.flow_map import (
    FlowMap,
    LogitNormal,
    MapLoss,
    Ratio,
    derivative,
    flow_map,
    mean_square,
    ordered_times,
    velocity_of,
)
from genbench.models.flow_matching.pair_model import Example, expand
from genbench.models.flow_matching.self_distillation import SelfDistillation
from genbench.settings import ByEvent, Fraction, NonNegative, Positive, Size


def default_power(event: Event) -> float:
    """Return 0.75 for images, as published for CIFAR-10, and 0 for vectors, where a power above 0 biases results."""
    return 0.75 if event.is_image else 0.0


@flow_map("meanflow", version=1)
class MeanFlowLoss(MapLoss):
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
        improved: whether to train iMF: the network's velocity is the tangent, with a loss of its own. The paper also
            sets `ratio` 0.5, `power` 1 and `offset` 0.01, which this setting does not change.
        target_guidance: weight a of the pair's velocity in the guided target; 1 with `guidance_mix` 0 is unguided.
        guidance_mix: weight k of the conditional velocity in that target; k = 1 - 1/w with a = 1 is scale w of iMF.
    """

    def __init__(
        self,
        *,
        ratio: Fraction = 0.75,
        state: LogitNormal | None = None,
        target: LogitNormal | None = None,
        power: Annotated[NonNegative | None, ByEvent(default_power)] = None,
        offset: Positive = 1e-3,
        improved: bool = False,
        target_guidance: NonNegative = 1.0,
        guidance_mix: Fraction = 0.0,
    ) -> None:
        super().__init__()
        self.ratio, self.state, self.target = ratio, state, target
        self.power, self.offset, self.improved = power, offset, improved
        self.guidance, self.mix = target_guidance, guidance_mix

    def attach(self, model: FlowMap) -> None:
        if (self.guidance, self.mix) != (1.0, 0.0) and not model.conditional:
            raise ConfigError("model.target_guidance and model.guidance_mix need model.conditional=true")
        self.power = default_power(model.event) if self.power is None else self.power

    def draw_times(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw two times in order, and let the second equal the first for a share of them."""
        return ordered_times(n, self.ratio, self.state, self.target, generator)

    def error(self, model: FlowMap, example: Example) -> Float[Tensor, " b"]:
        assert example.end is not None
        t, x, velocity = example.t, example.x, self.guided(model, example)
        label, interval = example.label, example.end - t

        def mean_velocity(t: Tensor, x: Tensor, interval: Tensor) -> Tensor:
            return model.net(t, x, label, interval)

        with sdpa_kernel(SDPBackend.MATH):
            tangent = velocity_of(model, t, x, label) if self.improved else velocity
        ones = torch.ones_like(t)
        u, change = derivative(mean_velocity, (t, x, interval), (ones, tangent.detach(), -ones))
        errors = [u - (velocity + expand(interval, x) * change).detach()]
        errors += [tangent - velocity] if self.improved else []
        squares = [error.square().flatten(1).sum(1) for error in errors]
        return sum(square * (square.detach() + self.offset) ** -self.power for square in squares)  # type: ignore[return-value]

    @torch.no_grad()
    def guided(self, model: FlowMap, example: Example) -> Float[Tensor, "b *event"]:
        """Return the velocity of each pair, guided by the network's own velocities where its label was kept."""
        t, x, velocity, label = example.t, example.x, example.velocity, example.label
        a, k = self.guidance, self.mix
        if label is None or (a, k) == (1.0, 0.0):
            return velocity
        with_label, without = velocity_of(model, t, x, label), velocity_of(model, t, x, None)
        kept = expand(label != model.event.classes, x)
        return torch.where(kept, a * velocity + (1 - a - k) * without + k * with_label, velocity)


@flow_map("alphaflow", version=1)
class AlphaFlowLoss(SelfDistillation):
    """Generation in any number of steps by alpha-Flow, between flow matching and MeanFlow, on pairs of any coupling.

    The target follows the pair's velocity v = x1 - x0 for a fraction alpha of the interval, up to
    m = t + alpha (r - t). From m to r it follows the map:

    loss = |u(x_t, t, r) - sg(alpha v + (1 - alpha) u(x_t + (m - t) v, m, r))|^2 / alpha

    alpha = 1 regresses on the pair's velocity; the limit 0 is MeanFlow. At r = t this is flow matching. Zhang et al.,
    2025, "AlphaFlow: understanding and improving MeanFlow models", https://arxiv.org/abs/2510.20771. genbench lowers
    alpha linearly.

    Args:
        alpha_min: alpha at the end of training.
        anneal_steps: number of first training steps in which alpha falls from 1 to `alpha_min`.
    """

    def __init__(
        self,
        *,
        ratio: Ratio = 0.75,
        alpha_min: Annotated[float, Gt(0), Le(1)] = 0.05,
        anneal_steps: Size = 1000,
    ) -> None:
        super().__init__(ratio=ratio)
        self.alpha, self.anneal_steps = alpha_min, anneal_steps

    def completed(self, model: FlowMap, example: Example, generator: torch.Generator) -> Example:
        return self._split(example, self.alpha)

    def at_step(self, example: Example, step: int) -> Example:
        """Lower alpha linearly from 1."""
        done = min(1.0, step / self.anneal_steps) if self.anneal_steps else 1.0
        return self._split(example, 1 + (self.alpha - 1) * done)

    def _split(self, example: Example, alpha: float) -> Example:
        """Set `middle`, the end of the part learned from the pair; use the whole interval if the part is empty."""
        assert example.end is not None
        middle = torch.lerp(example.t, example.end, alpha)
        return example._replace(middle=torch.where(middle > example.t, middle, example.end))

    def error(self, model: FlowMap, example: Example) -> Tensor:
        t, end, middle, x, label = example.t, example.end, example.middle, example.x, example.label
        assert end is not None and middle is not None  # noqa: PT018
        length = (end - t).clamp(min=torch.finfo(t.dtype).tiny)
        alpha = torch.where(end > t, (middle - t) / length, 1.0)
        with torch.no_grad():
            rest = model.net(middle, x + expand(middle - t, x) * example.velocity, label, end - middle)
            share = expand(alpha, x)
            target = share * example.velocity + (1 - share) * rest
        return mean_square(model.net(t, x, label, end - t) - target) / alpha
