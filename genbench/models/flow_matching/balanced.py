"""W-CFM without the tilt: Gibbs weights made into the density of a transport plan by entropic potentials."""

import math
from collections.abc import Iterable
from typing import Annotated, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genbench.core import Event, Source
from genbench.errors import ConfigError, RunFailed
from genbench.models.flow_matching.couplings import Coupling, Pairs, PilotPairs, tilt
from genbench.models.flow_matching.methods import usual_kappa
from genbench.models.flow_matching.model import Conditional, Dequantise, Dropout, FlowMatching, Net
from genbench.models.flow_matching.paths import Straight
from genbench.numerics.entropic_transport import Cost, extend, log_kernel, sinkhorn
from genbench.registry import models
from genbench.settings import ByEvent, Count, NonNegative, Positive


class Balanced(Coupling):
    """W-CFM without the tilt: independent pairs weighted by the density of the entropic optimal transport plan.

    w = exp(-c(x0, x1) / epsilon + phi(x0) + psi(x1)),  E[w | x0] = E[w | x1] = 1

    The potentials are those of the plan between a reference sample of noise and one of data (Sinkhorn's algorithm),
    carried on to the points of a batch by the soft c-transform, each side from the other. A running reference takes
    in every batch, with the potentials that its points were given, in the place of its oldest points, as in online
    Sinkhorn (Mensch and Peyre, 2020): the errors of one finite sample then average out over training. A batch is
    weighed before it is taken in, so that no pair has a say in its own weight.

    Weights average 1 up to the error of that estimate, which is left as it is: there is no normaliser. What remains
    of the tilt is estimated on the pairs that a batch could have made, and logged.

    Args:
        shape: of one sample.
        epsilon: temperature, in units of the cost.
        cost: "norm" is |x0 - x1|, "sqnorm" its square.
        reference: points of noise and of data that are kept.
        running: whether batches replace the reference.
        classes: number of classes to balance within; 0 for none.
    """

    x0: Tensor
    x1: Tensor
    label: Tensor
    phi: Tensor
    psi: Tensor
    oldest: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        epsilon: float,
        cost: Cost = "norm",
        reference: int = 1024,
        running: bool = True,
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.epsilon, self.cost, self.running, self.classes = epsilon, cost, running, classes
        self.pilot = reference
        self.register_buffer("x0", torch.zeros(reference, *shape))
        self.register_buffer("x1", torch.zeros(reference, *shape))
        self.register_buffer("label", torch.zeros(reference, dtype=torch.int64))
        self.register_buffer("phi", torch.full((reference,), math.nan))
        self.register_buffer("psi", torch.full((reference,), math.nan))
        self.register_buffer("oldest", torch.zeros((), dtype=torch.int64))

    def prepare(self, pairs: Iterable[PilotPairs]) -> None:
        """Take the reference from independent pairs, and solve for its potentials."""
        for kept, parts in zip((self.x0, self.x1, self.label), zip(*pairs, strict=True), strict=True):
            kept.copy_(torch.cat(parts)[: self.pilot])
        mass = self._log_mass()[self.label]
        phi, psi = sinkhorn(log_kernel(self.x0, self.x1, **self._law(self.label, self.label)), mass, mass)
        self.phi.copy_(phi)
        self.psi.copy_(psi)

    def forward(self, x0: Tensor, x1: Tensor, label: Tensor | None, generator: torch.Generator) -> Pairs:
        """Weigh the pairs.

        Raises:
            RunFailed: if there are no potentials yet, or none of the batch's classes.
            ConfigError: if a running reference is too small for the batch.
        """
        if label is None:
            label = torch.zeros(len(x0), dtype=torch.int64, device=x0.device)
        phi, psi = self.potentials(x0, x1, label)
        if not bool(torch.isfinite(phi + psi).all()):
            raise RunFailed(self._lack(label))
        weight = torch.exp(log_kernel(x0, x1, **self._law(label, label)) + phi[:, None] + psi)
        if self.running and self.training:
            self._take_in(x0, x1, label, phi, psi)
        return Pairs(x0, weight.diagonal().clone(), tilt(weight, label))

    def potentials(
        self, x0: Float[Tensor, "b *event"], x1: Float[Tensor, "b *event"], label: Int[Tensor, " b"]
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """Return phi of noise and psi of data, from the reference of their class."""
        mass = self._log_mass()[self.label]
        law = self._law(label, self.label)
        return extend(x0, self.x1, self.psi, mass, **law), extend(x1, self.x0, self.phi, mass, **law)

    def _lack(self, label: Tensor) -> str:
        """Return why there is no potential."""
        if bool(torch.isnan(self.phi).any()):
            return "the potentials of wcfm-balanced are not estimated, or not finite: call prepare(data, seed) first"
        absent = sorted(set(label.tolist()) - set(self.label.tolist()))
        if absent:
            return f"class {absent[0]} is not among the {self.pilot} reference points: raise model.reference"
        return "a potential of wcfm-balanced is not finite"

    def _take_in(self, *batch: Tensor) -> None:
        count = len(batch[0])
        if 2 * count > self.pilot:  # with one batch in it, an error of the weights' level would never die out
            need = f"at least twice plan.batch_size={count}"
            raise ConfigError(f"model.reference={self.pilot} must be {need}, or model.running=false")
        places = (self.oldest + torch.arange(count, device=self.oldest.device)) % self.pilot
        for kept, new in zip((self.x0, self.x1, self.label, self.phi, self.psi), batch, strict=True):
            kept[places] = new
        self.oldest.copy_((self.oldest + count) % self.pilot)

    def _law(self, *labels: Tensor) -> dict[str, Any]:
        return {"epsilon": self.epsilon, "cost": self.cost, "groups": labels if self.classes else None}

    def _log_mass(self) -> Float[Tensor, " groups"]:
        """Return the log-probability of a reference point of each class; infinite where there is none."""
        return -torch.bincount(self.label, minlength=max(self.classes, 1)).to(self.phi).log()


@models.register("wcfm-balanced", version=1)
def wcfm_balanced(
    event: Event,
    source: Source,
    *,
    net: Net = None,
    sigma: NonNegative = 0.0,
    kappa: Annotated[Positive | None, ByEvent(usual_kappa, unless="epsilon")] = None,
    epsilon: Positive | None = None,
    cost: Cost = "norm",
    reference: Count = 1024,
    running: bool = True,
    conditional: Conditional = False,
    label_dropout: Dropout = 0.1,
    dequantise: Dequantise = True,
) -> FlowMatching:
    """Flow matching on independent pairs weighted by the density of the entropic transport plan: W-CFM untilted.

    w = exp(-c(x0, x1) / epsilon + phi(x0) + psi(x1)) has mean 1 given x0 and given x1, where the weights of W-CFM
    (https://arxiv.org/abs/2507.22270) do not. The potentials are estimated on a reference sample (Cuturi, 2013,
    https://arxiv.org/abs/1306.0895) that follows training (Mensch and Peyre, 2020, https://arxiv.org/abs/2003.01415).

    Args:
        sigma: standard deviation of the noise around the straight path.
        kappa: temperature in units of sqrt(d): epsilon = kappa sqrt(d); by default that of wcfm: 0.0902 for images,
            and 1 for vectors.
        epsilon: temperature in units of the cost, instead of kappa.
        cost: "norm", as in W-CFM, or "sqnorm", of which the small-epsilon limit is optimal transport for W2.
        reference: points of noise and of data on which the potentials rest, all classes together.
        running: whether batches replace the oldest points of the reference, which then holds at least two of them;
            in training only.
    """
    if epsilon is not None and kappa is not None:
        raise ConfigError("wcfm-balanced takes kappa or epsilon, not both: epsilon = kappa sqrt(d)")
    return FlowMatching(
        event,
        source,
        net=net,
        coupling=Balanced(
            event.shape,
            epsilon=epsilon or (kappa or usual_kappa(event)) * math.sqrt(event.dims),
            cost=cost,
            reference=reference,
            running=running,
            classes=event.classes if conditional else 0,
        ),
        path=Straight(sigma),
        conditional=conditional,
        label_dropout=label_dropout,
        dequantise=dequantise,
    )
