"""W-CFM without the tilt: independent pairs weighted by the density of the entropic transport plan."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genbench.core import Data, Event
from genbench.errors import ConfigError, RunFailed, Unsupported
from genbench.models.flow_matching.couplings.base import Pairs, PilotPairs
from genbench.models.flow_matching.couplings.wcfm_weights import KERNEL, KernelCoupling, KernelSettings
from genbench.numerics.optimal_transport import Kernel, sinkhorn
from genbench.numerics.weighted_pairs import tilt_of_batch
from genbench.registry import couplings
from genbench.settings import Count


@dataclass(frozen=True, kw_only=True)
class ReferenceSettings:
    """Settings of the sample from which potentials are estimated.

    Args:
        reference: number of noise points, and of data points, from which the potentials are estimated, over all
            classes.
        running: whether each training batch replaces the oldest reference points; the reference must then hold at
            least two batches.
    """

    reference: Count = 1024
    running: bool = True


REFERENCE = ReferenceSettings()


@couplings.register("balanced", version=1)
class Balanced(KernelCoupling):
    """Independent pairs weighted by the density of the entropic plan: W-CFM without the tilt.

    w = exp(-c(x0, x1) / epsilon + phi(x0) + psi(x1)),  E[w | x0] = E[w | x1] = 1

    Sinkhorn's algorithm finds the potentials between a reference sample of noise and one of data; the soft c-transform
    extends them to the points of a batch. In training, a running reference replaces its oldest points by each batch,
    as online Sinkhorn does (Mensch and Peyre, 2020): the errors of a finite sample then average out. A batch is
    weighted before it enters the reference, so that no pair influences its own weight.

    There is no normalizer: weights average 1 up to the error of the potentials. The remaining tilt is logged.

    Raises:
        Unsupported: if the data has continuous conditions, because each condition would need its own potentials.
    """

    x0: Tensor
    x1: Tensor
    label: Tensor
    phi: Tensor
    psi: Tensor
    oldest: Tensor

    def __init__(
        self, event: Event, classes: int, *, kernel: KernelSettings = KERNEL, settings: ReferenceSettings = REFERENCE
    ) -> None:
        if event.conditions:
            raise Unsupported("it has no potentials for continuous conditions")
        super().__init__(event, kernel)
        self.classes = classes
        self.running, self.pilot_size = settings.running, settings.reference
        reference = settings.reference
        self.register_buffer("x0", torch.zeros(reference, *event.shape))
        self.register_buffer("x1", torch.zeros(reference, *event.shape))
        self.register_buffer("label", torch.zeros(reference, dtype=torch.int64))
        self.register_buffer("phi", torch.full((reference,), math.nan))
        self.register_buffer("psi", torch.full((reference,), math.nan))
        self.register_buffer("oldest", torch.zeros((), dtype=torch.int64))

    @property
    def kernel(self) -> Kernel:
        """The kernel of all pairs."""
        return Kernel(self.epsilon, self.cost)

    def prepare(self, pairs: Iterable[PilotPairs]) -> None:
        for buffer, parts in zip((self.x0, self.x1, self.label), zip(*pairs, strict=True), strict=True):
            buffer.copy_(torch.cat(parts)[: self.pilot_size])
        mass = self._log_mass()[self.label]
        phi, psi = sinkhorn(self.kernel.log(self.x0, self.x1, self._groups(self.label, self.label)), mass, mass)
        self.phi.copy_(phi)
        self.psi.copy_(psi)

    def forward(self, x0: Tensor, x1: Tensor, label: Tensor | None, generator: torch.Generator) -> Pairs:
        if label is None:
            label = torch.zeros(len(x0), dtype=torch.int64, device=x0.device)
        phi, psi = self.potentials(x0, x1, label)
        if not bool(torch.isfinite(phi + psi).all()):
            raise RunFailed(self._why_not_finite(label))
        weight = torch.exp(self.kernel.log(x0, x1, self._groups(label, label)) + phi[:, None] + psi)
        if self.running and self.training:
            self._replace_oldest(x0, x1, label, phi, psi)
        return Pairs(x0, weight.diagonal().clone(), tilt_of_batch(weight, label))

    def exact_samples(self, x0: Tensor, data: Data, *, tol: float) -> None:
        return None

    def potentials(
        self, x0: Float[Tensor, "b *event"], x1: Float[Tensor, "b *event"], label: Int[Tensor, " b"]
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """Return phi at the noise and psi at the data, from the reference points of their class."""
        mass, groups = self._log_mass()[self.label], self._groups(label, self.label)
        phi = self.kernel.c_transform(x0, self.x1, self.psi + mass, groups)
        return phi, self.kernel.c_transform(x1, self.x0, self.phi + mass, groups)

    def _why_not_finite(self, label: Tensor) -> str:
        if absent := sorted(set(label.tolist()) - set(self.label.tolist())):
            return f"class {absent[0]} is not among the {self.pilot_size} reference points: raise model.reference"
        return "the potentials of wcfm-balanced are not estimated, or not finite: call prepare(data, seed) first"

    def _replace_oldest(self, *batch: Tensor) -> None:
        count = len(batch[0])
        if 2 * count > self.pilot_size:  # with a single batch as reference, an error of its mean weight would persist
            least = f"at least twice plan.batch_size={count}"
            raise ConfigError(f"model.reference={self.pilot_size} must be {least}; or set model.running=false")
        rows = (self.oldest + torch.arange(count, device=self.oldest.device)) % self.pilot_size
        for buffer, new in zip((self.x0, self.x1, self.label, self.phi, self.psi), batch, strict=True):
            buffer[rows] = new
        self.oldest.copy_((self.oldest + count) % self.pilot_size)

    def _groups(self, of_rows: Tensor, of_columns: Tensor) -> tuple[Tensor, Tensor] | None:
        return (of_rows, of_columns) if self.classes else None

    def _log_mass(self) -> Float[Tensor, " classes"]:
        """Return log(1 / number of reference points) of each class; infinite for an absent class."""
        member = self.label == torch.arange(max(self.classes, 1), device=self.label.device)[:, None]
        return -member.sum(1).to(self.phi).log()
