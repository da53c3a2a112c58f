"""MeanFlow: the mean velocity over any interval, from an identity along the flow."""

from typing import Annotated

import torch
from annotated_types import Gt
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from genbench.core import Event, Source
from genbench.errors import ConfigError, first_line
from genbench.models.flow_matching.few_step import CouplingSetting, FewStep
from genbench.models.flow_matching.pair_model import DEFAULTS, Example, SharedSettings, expand, scalars
from genbench.nets.presets import Net
from genbench.registry import models
from genbench.settings import ByEvent, Fraction, NonNegative, Positive

LogitNormal = tuple[float, Annotated[float, Gt(0)]]
"""Mean and standard deviation of logit(t)."""


def default_power(event: Event) -> float:
    """Return the published power for CIFAR-10 on images, and none on vectors, where its bias is seen."""
    return 0.75 if event.is_image else 0.0


@models.register("meanflow", version=1)
class MeanFlow(FewStep):
    """One-step generation by mean velocities (MeanFlow), also in its improved form (iMF), on pairs of any coupling.

    Mean velocities u(x_t, t, r) satisfy the MeanFlow identity:

    u = v + (r - t) D u,   D u = v grad_x u + du/dt at fixed r
    loss = E w |u - sg(v + (r - t) D u)|^2 / sg(|...|^2 + c)^p,   v = x1 - x0

    improved (iMF): the tangent is the network's velocity u(x_t, t, t), which has a second loss.
    guided, where the label was kept: v becomes a v + (1 - a - k) u(x_t, t, t) without label + k u(x_t, t, t) with it.

    Geng et al., 2025, "Mean flows for one-step generative modeling", https://arxiv.org/abs/2505.13447; "Improved mean
    flows", https://arxiv.org/abs/2512.02012. Noise is at time 0 here and at time 1 there.

    Args:
        ratio: share of pairs with a target time after the state's; the others train the velocity itself.
        state: mean and deviation of logit(t) of the state, 0.6 and 1.6 in the recipe for CIFAR-10; none is uniform.
        target: the same for the target time, raised to the state's; 4.0 and 1.6 there; none draws both times by
            `state`, and orders them.
        power: p of the adaptive weight 1 / (error + c)^p; by default 0.75 for images and 0 for vectors. Above 0 the
            minimizer is no longer the mean velocity.
        offset: c of the adaptive weight.
        improved: iMF: the network's velocity as tangent, and a loss for it.
        target_guidance: weight a of the pair's velocity in the guided target; 1 with no mix is unguided.
        guidance_mix: weight k of the conditional velocity there; k = 1 - 1/w with a = 1 is scale w of iMF.
    """

    steering = (*FewStep.steering, "ratio", "state", "target")
    self_targeted = True
    full_precision = True

    def __init__(
        self,
        event: Event,
        source: Source,
        *,
        net: Net = None,
        coupling: CouplingSetting = None,
        ratio: Fraction = 0.75,
        state: LogitNormal | None = None,
        target: LogitNormal | None = None,
        power: Annotated[NonNegative | None, ByEvent(default_power)] = None,
        offset: Positive = 1e-3,
        improved: bool = False,
        target_guidance: NonNegative = 1.0,
        guidance_mix: Fraction = 0.0,
        shared: SharedSettings = DEFAULTS,
    ) -> None:
        if (target_guidance, guidance_mix) != (1.0, 0.0) and not shared.conditional:
            raise ConfigError("model.target_guidance and model.guidance_mix need model.conditional=true")
        super().__init__(event, source, net=net, coupling=coupling, shared=shared, times=2)
        self.ratio, self.state, self.target = ratio, state, target
        self.power = default_power(event) if power is None else power
        self.offset, self.improved = offset, improved
        self.guidance, self.mix = target_guidance, guidance_mix

    def draw_times(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw two times in order, and let the second equal the first for a share of them."""
        t, end = (logit_normal(n, law, generator) for law in (self.state, self.target or self.state))
        t, end = t if self.target else torch.minimum(t, end), torch.maximum(t, end)
        same = torch.rand(n, generator=generator, device=generator.device) >= self.ratio
        return t, torch.where(same, t, end)

    def loss(self, example: Example) -> dict[str, Tensor]:
        assert example.end is not None
        t, x, velocity = example.t, example.x, self.guided(example)
        label, interval = example.label, example.end - t

        def mean_velocity(t: Tensor, x: Tensor, interval: Tensor) -> Tensor:
            return self.net(t, x, label, interval)

        with sdpa_kernel(SDPBackend.MATH):  # fused attention has no forward derivative
            marginal = self.net(t, x, label, torch.zeros_like(t)) if self.improved else velocity
            ones = torch.ones_like(t)
            try:
                u, change = jvp(mean_velocity, (t, x, interval), (ones, marginal.detach(), -ones))  # type: ignore[misc]
            except NotImplementedError as error:
                raise ConfigError(f"meanflow needs a net with forward derivatives: {first_line(error)}") from error
            errors = [u - (velocity + expand(interval, x) * change).detach()]
            errors += [marginal - velocity] if self.improved else []
        squares = [error.square().flatten(1).sum(1) for error in errors]
        adapted = sum(square * (square.detach() + self.offset) ** -self.power for square in squares)
        return scalars((example.weight * adapted).mean(), example)

    @torch.no_grad()
    def guided(self, example: Example) -> Float[Tensor, "b *event"]:
        """Return the velocity of each pair, guided by the network's own velocities where its label was kept."""
        t, x, velocity, label = example.t, example.x, example.velocity, example.label
        a, k = self.guidance, self.mix
        if label is None or (a, k) == (1.0, 0.0):
            return velocity
        zero = torch.zeros_like(t)
        with_label, without = self.net(t, x, label, zero), self.net(t, x, None, zero)
        kept = expand(label != self.event.classes, x)
        return torch.where(kept, a * velocity + (1 - a - k) * without + k * with_label, velocity)

    def mean_velocity(self, t: Tensor, end: Tensor, x: Tensor, label: Int[Tensor, " b"] | None = None) -> Tensor:
        return self.net(t, x, label, end - t)


def logit_normal(n: int, law: LogitNormal | None, generator: torch.Generator) -> Float[Tensor, " n"]:
    """Draw times in [0, 1], uniformly or with a normal logit."""
    if law is None:
        return torch.rand(n, generator=generator, device=generator.device)
    mean, deviation = law
    return torch.sigmoid(mean + deviation * torch.randn(n, generator=generator, device=generator.device))
