"""Few-step generators: networks that predict where the flow between pairs leads, not only its velocity."""

from abc import abstractmethod
from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genbench.core import Event, Samples, Source
from genbench.errors import ConfigError, Unsupported
from genbench.models.flow_matching.pair_model import PairModel, SharedSettings
from genbench.models.flow_matching.paths import Straight
from genbench.nets.presets import Net
from genbench.registry import couplings
from genbench.settings import Nested, NonNegative, Size

COUPLING = Nested(couplings, lambda event: "independent")

CouplingSetting = Annotated[
    dict[str, Any] | str | None,
    COUPLING,
    "how noise is paired with data, a name or a table of its settings; independent by default",
]


class FewStep(PairModel):
    """A model of the mean velocity u(x_t, t, r) = (X_r - x_t) / (r - t) of the flow that takes x_t to X_r.

    Samples take steps x_r = x_t + (r - t) u(x_t, t, r) at equal intervals from t = 0 to t = 1. They solve no ODE, so
    there is no density.
    """

    steering = ("coupling", "label_dropout", "dequantise")
    limits: Mapping[str, Any] = MappingProxyType({})
    """The settings that decide which numbers of steps are possible."""
    fewest = 1
    """The smallest number of steps."""

    def __init__(
        self,
        event: Event,
        source: Source,
        *,
        net: Net,
        coupling: CouplingSetting,
        shared: SharedSettings,
        times: int = 1,
    ) -> None:
        built = COUPLING.build(coupling, "coupling", event, event, shared.classes(event))
        super().__init__(event, source, net=net, coupling=built, path=Straight(), shared=shared, times=times)

    @abstractmethod
    def mean_velocity(
        self,
        t: Float[Tensor, ""],
        end: Float[Tensor, ""],
        x: Float[Tensor, "b *event"],
        label: Int[Tensor, " b"] | None,
    ) -> Float[Tensor, "b *event"]:
        """Return the mean velocity from time t to a later time."""

    def jump(
        self,
        t: Float[Tensor, ""],
        end: Float[Tensor, ""],
        x: Float[Tensor, "b *event"],
        label: Int[Tensor, " b"] | None = None,
        guidance: float = 0.0,
    ) -> Float[Tensor, "b *event"]:
        """Return the state at a later time by one evaluation, or two with guidance."""
        u = self.mean_velocity(t, end, x, label)
        if guidance:
            u = u + guidance * (u - self.mean_velocity(t, end, x, None))
        return x + (end - t) * u

    def sample(
        self,
        x0: Float[Tensor, "b *event"],
        *,
        label: Int[Tensor, " b"] | None = None,
        method: Literal["euler"] = "euler",
        steps: Size = 0,
        guidance: NonNegative = 0.0,
    ) -> Samples:
        """Take a few steps from the noise.

        Args:
            method: steps are Euler steps of the mean velocity.
            steps: number of equal steps; 0 takes the fewest that the model knows.
            guidance: w of u_c + w (u_c - u_u), for conditional models; doubles the evaluations.
        """
        self.check({"steps": steps, "guidance": guidance}, {**self.limits, "conditional": self.conditional})
        x, steps = x0, steps or self.fewest
        for t, end in pairwise(torch.linspace(0, 1, steps + 1, device=x0.device)):
            x = self.jump(t, end, x, label, guidance)
        return Samples(x, steps * (2 if guidance else 1))

    def at_budget(self, options: Mapping[str, Any], method: str, nfe: int) -> dict[str, Any]:
        cost = 2 if options.get("guidance") else 1
        if method != "euler":
            raise Unsupported(f"it takes Euler steps of its mean velocity, no {method}")
        if nfe % cost:
            raise Unsupported(f"guidance takes {cost} evaluations per step, which do not divide {nfe}")
        found = {**options, "method": method, "steps": nfe // cost}
        try:
            self.check(found, {**self.limits, "conditional": self.conditional})
        except ConfigError as reason:
            raise Unsupported(str(reason)) from reason
        return found
