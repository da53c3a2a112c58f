"""Flow matching: one class; CFM, OT-CFM, W-CFM and their kin are a coupling and a path each."""

import copy
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import torch
from annotated_types import Gt, Lt
from jaxtyping import Float, Int
from torch import Tensor, nn

from genbench.config import ByEvent, Fraction, NonNegative, Positive, Size
from genbench.core import Batch, Data, Event, Model, Normal, Samples, Source
from genbench.couplings import Gibbs, Independent, MinibatchOT, Pairs, Prepared, Sinkhorn, effective_share, sights
from genbench.errors import ConfigError, Unsupported
from genbench.nets.presets import NetChoice, NetSetting, build
from genbench.ode import STAGES, Method, integrate, log_density, trajectory
from genbench.paths import Bridge, Lipman, Path, Straight, VariancePreserving
from genbench.registry import models
from genbench.space import dequantise

Net = Annotated[NetSetting, "the network, a name or a table of its settings; by default the one that suits the data"]
Conditional = Annotated[bool, "whether the model is trained on labels; couplings then pair within each class"]
Dropout = Annotated[Fraction, "share of labels dropped in conditional training, for guidance"]
Dequantise = Annotated[bool, "whether quantised data is spread uniformly over its bins, as bits/dim require"]


class Example(NamedTuple):
    """One step of flow matching, all randomness drawn."""

    t: Float[Tensor, " b"]
    x: Float[Tensor, "b *event"]
    velocity: Float[Tensor, "b *event"]
    weight: Float[Tensor, " b"]
    ess: Float[Tensor, " b"]
    label: Int[Tensor, " b"] | None
    tilt: Float[Tensor, "b 2"] | None = None


class FlowMatching(Model):
    """Regress a velocity field on the velocities of pairs (Lipman et al., 2023; Tong et al., 2023).

    (x0, x1), w ~ coupling;  t ~ U;  x_t, u = path(x0, x1, t);  loss = E[w mean (v(t, x_t) - u)^2].
    Samples solve dx/dt = v(t, x) from the source at t = 0 to t = 1.
    """

    nfe_curve = True
    steering = (
        *("sigma", "kappa", "epsilon", "cost", "normaliser", "weigh", "plan", "resample", "reg", "clip", "schedule"),
        *("reference", "running", "label_dropout", "dequantise"),
    )

    def __init__(
        self,
        event: Event,
        source: Source,
        *,
        net: Net,
        coupling: nn.Module,
        path: Path,
        conditional: bool,
        label_dropout: float,
        dequantise: bool,
    ) -> None:
        super().__init__()
        if conditional and not event.classes:
            raise ConfigError("model.conditional=true needs data with classes; this data has none")
        self.event, self.source, self.conditional = event, source, conditional
        self.net = build(event, event.classes if conditional else 0, NetChoice().resolve(net, "net", event))
        self.coupling, self.laborious = coupling, getattr(coupling, "laborious", False)
        self.path, self.label_dropout = path, label_dropout
        self.width = event.bin if dequantise else 0.0
        self.density = "dequantised data" if self.width else "data"

    @classmethod
    def stackable(cls, event: Event, settings: Mapping[str, Any]) -> bool:
        """Return whether the network is the one for vectors."""
        return settings["net"]["name"] == "mlp"

    def prepare(self, data: Data, seed: int) -> None:
        """Show the coupling independent pairs of noise and data, if it has constants to estimate."""
        if isinstance(self.coupling, Prepared) and self.coupling.pilot:
            count, width = self.coupling.pilot, self.width
            shown = sights(data.train, self.source, count, seed, width=width, labelled=self.conditional)
            self.coupling.prepare(shown)

    @torch.no_grad()
    def draw(self, batch: Batch, generator: torch.Generator) -> Example:
        """Draw noise, pair it with the data, place each pair at its time."""
        x1 = dequantise(batch.x, self.width, generator)
        label = batch.label if self.conditional else None
        pairs = self.coupling(self.source.sample(len(x1), generator), x1, label, generator)
        return self.placed(pairs, x1, label, generator)

    def placed(self, pairs: Pairs, x1: Tensor, label: Tensor | None, generator: torch.Generator) -> Example:
        """Place each pair at its time, and drop labels."""
        low, high = self.path.span
        t = low + (high - low) * torch.rand(len(x1), generator=generator, device=x1.device)
        x, velocity = self.path(pairs.x0, x1, t.view(-1, *[1] * (x1.dim() - 1)), generator)
        if label is not None:
            dropped = torch.rand(len(x1), generator=generator, device=x1.device) < self.label_dropout
            label = torch.where(dropped, self.event.classes, label)
        # Of the whole batch, for each sample: a process that works a share of the batch logs it as it is.
        ess = effective_share(pairs.weight).expand(len(x1))
        return Example(t, x, velocity, pairs.weight, ess, label, pairs.tilt)

    def loss(self, example: Example) -> dict[str, Tensor]:
        """Return the weighted squared error, the effective share of the batch under the weights, and their tilt."""
        t, x, velocity, weight, ess, label, tilt = example
        error = (self.net(t, x, label) - velocity).square().flatten(1).mean(1)
        tilts = {} if tilt is None else {"source_tilt": tilt[:, 0].mean(), "data_tilt": tilt[:, 1].mean()}
        return {"loss": (weight * error).mean(), "ess": ess.mean(), **tilts}

    def velocity(self, t: Tensor, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the learned field; without labels, that of the data as a whole."""
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
        dtype: Literal["float32", "float64"] = "float32",
    ) -> Samples:
        """Solve the ODE from the noise.

        Args:
            method: ODE solver; dopri5 is adaptive and takes `tol`, the others take `steps` equal steps.
            steps: steps of a fixed-step solver, which needs them; the adaptive one takes none.
            tol: relative and absolute tolerance of dopri5.
            guidance: w of v_c + w (v_c - v_u), for conditional models (Ho and Salimans, 2022); 0 is the plain model.
            dtype: precision in which the ODE is solved.
        """
        self.check({"method": method, "steps": steps, "guidance": guidance}, {"conditional": self.conditional})
        net = copy.deepcopy(self.net).double() if dtype == "float64" else self.net

        def field(t: Tensor, x: Tensor) -> Tensor:
            v = net(t, x, label)
            return v + guidance * (v - net(t, x, None)) if guidance else v

        x, nfe = integrate(field, x0.to(getattr(torch, dtype)), method=method, steps=steps, tol=tol)
        return Samples(x, nfe * (2 if guidance else 1))

    @torch.no_grad()
    def trajectory(
        self,
        x0: Float[Tensor, "b *event"],
        times: Float[Tensor, " times"],
        *,
        label: Int[Tensor, " b"] | None = None,
        tol: float = 1e-5,
    ) -> Float[Tensor, "times b *event"]:
        """Return where the samples are at the given times, the first of which is where x0 is."""
        return trajectory(lambda t, x: self.velocity(t, x, label), x0, times, tol=tol).x

    @classmethod
    def check(cls, options: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        """Refuse steps that the solver would ignore, a solver that lacks them, and guidance without labels."""
        method, steps = options["method"], options["steps"]
        if method == "dopri5" and steps:
            raise ConfigError(f"sample.steps: dopri5 chooses its own; set sample.method=euler to take {steps} steps")
        if method != "dopri5" and not steps:
            raise ConfigError(f"sample.steps: {method} needs a number of steps, such as sample.steps=100")
        if options["guidance"] and not settings["conditional"]:
            raise ConfigError("sample.guidance needs a conditional model; set model.conditional=true and train it")

    def at_budget(self, options: Mapping[str, Any], method: str, nfe: int) -> dict[str, Any]:
        """Return options that spend that many evaluations of the network a sample."""
        cost = STAGES[method] * (2 if options.get("guidance") else 1)
        if nfe % cost:
            raise Unsupported(f"{method} spends {cost} evaluations a step, {nfe} is no multiple")
        return {**options, "method": method, "steps": nfe // cost}

    def log_prob(
        self, x: Float[Tensor, "b *event"], *, label: Int[Tensor, " b"] | None = None, tol: float = 1e-5
    ) -> Float[Tensor, " b"]:
        """Return the log-density in nats by the exact trace: for vectors and small images."""
        return log_density(lambda t, y: self.velocity(t, y, label), x, self.source.log_prob, tol=tol).x


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
