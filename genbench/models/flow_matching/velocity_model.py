"""The flow-matching model. Its methods (`methods.py`) differ by coupling and path."""

import copy
from collections.abc import Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genbench.core import Normal, Samples, Transport
from genbench.errors import ConfigError, Unsupported
from genbench.models.flow_matching.couplings.base import Independent
from genbench.models.flow_matching.pair_model import Example, PairModel, scalars
from genbench.numerics.ode import SOLVERS, Method, euler_maruyama, integrate, log_density
from genbench.settings import NonNegative, Positive, Size

COUPLED = {"pool", "entropy", "kappa", "clip", "pairs"}
"""Settings of models whose pairs are not independent: transport plans, weights, bridges and reflow."""
OPTIONS = {"method", "steps"}
"""Options of samplers that `FlowMatching.check` is about."""


class FlowMatching(PairModel, Transport):
    """Regress a velocity field on the velocities of pairs (Lipman et al., 2023; Tong et al., 2023).

    (x0, x1), w ~ coupling;  t ~ U;  x_t, u = path(x0, x1, t);  loss = E[w mean (v(t, x_t) - u)^2].
    Samples solve dx/dt = v(t, x) from the source at t = 0 to t = 1.
    """

    steering = (
        *("sigma", "clip", "schedule"),  # paths
        *("kappa", "epsilon", "cost", "normalizer", "weigh", "reference", "running"),  # weights
        *("plan", "resample", "reg", "pool", "mismatch", "penalty", "entropy", "tolerance", "points"),  # transport
        *("label_dropout", "dequantize"),
    )

    def loss(self, example: Example) -> dict[str, Tensor]:
        v = self.net(example.t, example.x, example.label)
        return scalars((example.weight * (v - example.velocity).square().flatten(1).mean(1)).mean(), example)

    def velocity(self, t: Tensor, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the learned velocity field; without labels, the field of all data."""
        return self.net(t, x, label)

    def sample(
        self,
        x0: Float[Tensor, "b *event"],
        *,
        label: Int[Tensor, " b"] | None = None,
        method: Method = "dopri5",
        steps: Size = 0,
        tol: Positive = 1e-5,
        guidance: NonNegative = 0.0,
        diffusion: NonNegative = 0.0,
        dtype: Literal["float32", "float64"] = "float32",
    ) -> Samples:
        """Solve the ODE from the noise, or an SDE with the same marginals.

        Args:
            method: ODE solver; dopri5 is adaptive and takes `tol`, the others take `steps` equal steps.
            steps: number of steps, which a fixed-step solver needs; 0 for dopri5.
            tol: relative and absolute tolerance of dopri5.
            guidance: w of v_c + w (v_c - v_u), for conditional models (Ho and Salimans, 2022); 0 is the plain model.
            diffusion: noise strength k of the SDE dx = (v + k (1-t) score) dt + sqrt(2 k (1-t)) dW, solved in Euler
                steps. k > 0 needs independent pairs and noise from N(0, I): the velocity then determines the score.
            dtype: precision in which the equation is solved.

        Raises:
            Unsupported: if diffusion > 0 and the velocity does not determine the score.

        Reference: Ma et al., 2024, "SiT", which uses this diffusion with k = 1.
        """
        options = {"method": method, "steps": steps, "guidance": guidance, "diffusion": diffusion}
        FlowMatching.check(options, {"conditional": self.conditional and label is not None})
        net = copy.deepcopy(self.net).double() if dtype == "float64" else self.net

        def field(t: Tensor, x: Tensor) -> Tensor:
            v = net(t, x, label)
            return v + guidance * (v - net(t, x, None)) if guidance else v

        start = x0.to(getattr(torch, dtype))
        if not diffusion:
            x, nfe = integrate(field, start, method=method, steps=steps, tol=tol)
            return Samples(x, nfe * (2 if guidance else 1))
        if not (isinstance(self.coupling, Independent) and isinstance(self.source, Normal)):
            raise Unsupported("an SDE needs independent pairs and noise from N(0, I): set sample.diffusion=0")

        def drift(t: Tensor, x: Tensor) -> Tensor:
            v, now = field(t, x), float(t)
            return v + diffusion * (1 - now) * self.path.score(now, x, v)

        x, nfe = euler_maruyama(drift, lambda t: 2 * diffusion * (1 - t), start, steps=steps)
        return Samples(x, nfe * (2 if guidance else 1))

    @classmethod
    def check(cls, options: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        super().check(options, settings)
        if OPTIONS - options.keys() or options["method"] not in SOLVERS:  # a method of users with a sampler of its own
            return
        method, steps = options["method"], options["steps"]
        adaptive = SOLVERS[method].stages is None
        if adaptive and steps:
            raise ConfigError(
                f"sample.steps does not apply to {method}, which is adaptive: omit it, or set sample.method=euler"
            )
        if not adaptive and not steps:
            raise ConfigError(f"sample.method={method} needs a number of steps: set sample.steps=100, for example")
        if options.get("diffusion") and method != "euler":
            raise ConfigError(f"sample.diffusion takes Euler steps, not {method}: set sample.method=euler")
        if options.get("diffusion") and (coupled := sorted(COUPLED & settings.keys())):
            raise ConfigError(
                f"sample.diffusion needs independent pairs, which model.{coupled[0]} excludes: use cfm, fm or vp"
            )

    def at_budget(self, options: Mapping[str, Any], method: str, nfe: int) -> dict[str, Any]:
        stages = SOLVERS[method].stages
        if stages is None:
            raise Unsupported(f"{method} chooses its own number of evaluations")
        if options.get("diffusion") and method != "euler":
            raise Unsupported(f"sampling with diffusion takes Euler steps, not {method}")
        cost = stages * (2 if options.get("guidance") else 1)
        if nfe % cost:
            raise Unsupported(f"{method} takes {cost} evaluations per step, which do not divide {nfe}")
        return {**options, "method": method, "steps": nfe // cost}

    def log_prob(
        self, x: Float[Tensor, "b *event"], *, label: Int[Tensor, " b"] | None = None, tol: float = 1e-5
    ) -> Float[Tensor, " b"]:
        """Return the log-density in nats by the exact trace of the Jacobian, which suits vectors and small images."""
        return log_density(lambda t, y: self.velocity(t, y, label), x, self.source.log_prob, tol=tol).x
