"""Self-distillation: flow maps that learn longer intervals from their own velocity, without a teacher."""

import torch
from torch import Tensor

from genbench.models.flow_matching.flow_map import (
    FlowMap,
    MapLoss,
    Ratio,
    derivative,
    flow_map,
    mean_square,
    moved,
    ordered_times,
    velocity_of,
)
from genbench.models.flow_matching.pair_model import Example, expand
from genbench.models.flow_matching.shortcut import AveragedWeights
from genbench.settings import Fraction


class SelfDistillation(MapLoss):
    """A loss without a teacher: the model learns u on longer intervals from its own u on intervals of length 0.

    Args:
        ratio: share of pairs that learn an interval; the others train the velocity itself.
    """

    def __init__(self, *, ratio: Ratio = 0.25) -> None:
        super().__init__()
        self.ratio = ratio

    def draw_times(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw two ordered times, which are equal for a share 1 - `ratio` of the pairs."""
        return ordered_times(n, self.ratio, None, None, generator)


@flow_map("progressive", version=1)
class ProgressiveLoss(SelfDistillation):
    """Generation in any number of steps by progressive self-distillation (PSD), on pairs of any coupling.

    One jump from t to r agrees with two jumps, from t to m and from m to r, where m is uniform in [t, r]:

    loss = |u(x_t, t, r) - sg(g u(x_t, t, m) + (1 - g) u(X_m, m, r))|^2,   g = (m - t) / (r - t)

    At r = t this is flow matching. Boffi et al., 2025, https://arxiv.org/abs/2505.18825.
    """

    def completed(self, model: FlowMap, example: Example, generator: torch.Generator) -> Example:
        """Draw a time within each interval, uniformly."""
        assert example.end is not None
        share = torch.rand(len(example.t), generator=generator, device=generator.device)
        return example._replace(middle=example.t + share * (example.end - example.t))

    def error(self, model: FlowMap, example: Example) -> Tensor:
        t, end, middle, x, label = example.t, example.end, example.middle, example.x, example.label
        assert end is not None and middle is not None  # noqa: PT018
        with torch.no_grad():
            first = model.net(t, x, label, middle - t)
            second = model.net(middle, x + expand(middle - t, x) * first, label, end - middle)
            share = expand((middle - t) / (end - t).clamp(min=torch.finfo(t.dtype).tiny), x)
            target = torch.where(expand(end > t, x), share * first + (1 - share) * second, example.velocity)
        return mean_square(model.net(t, x, label, end - t) - target)


@flow_map("eulerian", version=1)
class EulerianLoss(SelfDistillation):
    """Generation in any number of steps by Eulerian self-distillation (ESD), on pairs of any coupling.

    The end X_r(x_t, t) of a jump does not change while its start moves along the flow, v = sg u(x_t, t, t):

    loss = |dX_r/dt + v grad_x X_r|^2;  at r = t this is flow matching, |u(x_t, t, t) - (x1 - x0)|^2

    Boffi et al., 2025, https://arxiv.org/abs/2505.18825. Gradients pass through the derivative. MeanFlow
    uses the velocity of pairs for v and stops these gradients.
    """

    def error(self, model: FlowMap, example: Example) -> Tensor:
        t, end, x, label = example.t, example.end, example.x, example.label
        assert end is not None
        with torch.no_grad():
            tangent = torch.where(expand(end > t, x), velocity_of(model, t, x, label), example.velocity)
        start = lambda t, x: moved(model, t, end, x, label)  # noqa: E731
        _, change = derivative(start, (t, x), (torch.ones_like(t), tangent))
        return mean_square(change)  # on an interval of length 0: the pair's velocity minus the network's


@flow_map("lagrangian", version=1)
class LagrangianLoss(SelfDistillation):
    """Generation in any number of steps by Lagrangian self-distillation (LSD), on pairs of any coupling.

    As r grows, the end X_r = x_t + (r - t) u(x_t, t, r) of a jump moves with the velocity at X_r:

    loss = |dX_r/dr - sg u(X_r, r, r)|^2;  at r = t this is flow matching, |u(x_t, t, t) - (x1 - x0)|^2

    Boffi et al., 2025, "How to build a consistency model", https://arxiv.org/abs/2505.18825.
    """

    def error(self, model: FlowMap, example: Example) -> Tensor:
        t, end, x, label = example.t, example.end, example.x, example.label
        assert end is not None
        there, speed = derivative(lambda end: moved(model, t, end, x, label), (end,), (torch.ones_like(t),))
        return mean_square(speed - self.target(model, example, there.detach()))

    def target(self, model: FlowMap, example: Example, there: Tensor) -> Tensor:
        """Return the velocity at the ends of jumps, and the pair's velocity where there is no interval."""
        assert example.end is not None
        with torch.no_grad():
            own = velocity_of(model, example.end, there, example.label)
        return torch.where(expand(example.end > example.t, there), own, example.velocity)


@flow_map("tvm", version=1)
class TerminalVelocityLoss(LagrangianLoss):
    """Generation in any number of steps by terminal velocity matching (TVM), on pairs of any coupling.

    The loss is the one of `lagrangian`, but averaged weights compute the velocity at the end of a jump.
    "Terminal velocity matching", 2025, https://arxiv.org/abs/2511.19797. genbench omits the paper's architecture
    and its distribution of times: both times are uniform, in order.

    Args:
        decay: decay of the averaged weights.
    """

    average: AveragedWeights

    def __init__(self, *, ratio: Ratio = 0.25, decay: Fraction = 0.99) -> None:
        super().__init__(ratio=ratio)
        self.decay = decay

    def attach(self, model: FlowMap) -> None:
        self.average = AveragedWeights(model.net, self.decay)
        model.draws = "step"  # targets depend on the weights

    @torch.no_grad()
    def completed(self, model: FlowMap, example: Example, generator: torch.Generator) -> Example:
        """Replace the velocities of pairs that learn an interval by the velocities at the ends of their jumps."""
        if model.training:  # the loss on validation data draws examples too
            self.average.update(model.net)
        t, end, x, label = example.t, example.end, example.x, example.label
        assert end is not None
        training = model.training
        there = moved(model.eval(), t, end, x, label)  # dropout would draw from no stream of the step
        model.train(training)
        own = self.average(model.net, end, there, label, torch.zeros_like(end))
        return example._replace(velocity=torch.where(expand(end > t, x), own, example.velocity))

    def target(self, model: FlowMap, example: Example, there: Tensor) -> Tensor:
        return example.velocity
