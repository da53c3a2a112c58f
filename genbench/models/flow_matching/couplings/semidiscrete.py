"""Semidiscrete optimal transport: noise is paired with points of the whole training set, not of a batch."""

import copy
import hashlib
import logging
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

from genbench import activity
from genbench.core import Data, Event, Source, Split
from genbench.errors import ConfigError, Unsupported
from genbench.models.flow_matching.couplings.base import Coupling, Pairs
from genbench.numerics.semidiscrete import assign, potentials
from genbench.registry import couplings
from genbench.seeds import derive, generator
from genbench.settings import Count, NonNegative
from genbench.storage import cache, tensors

VERSION = 2
"""Version in the cache key: raise it when the code would find other potentials for the same points."""

log = logging.getLogger("genbench")


@dataclass(frozen=True, kw_only=True)
class SemidiscreteSettings:
    """Settings of semidiscrete transport.

    Args:
        entropy: strength of the entropy, in units of the squared distance; 0 pairs each noise with a single point.
        tolerance: largest chi-square distance between the masses that the points receive and equal masses.
        points: number of points that represent data generated on the fly, in the proportions of its modes if these are
            known.
        mirrored: whether mirror images (`data.flip`) are points as well; the batches of other methods contain them.
    """

    entropy: NonNegative = 0.0
    tolerance: Annotated[float, Ge(1e-4)] = 0.05  # a check takes more draws, the smaller the tolerance
    points: Count = 2048
    mirrored: bool = False


SEMIDISCRETE = SemidiscreteSettings()


@couplings.register("semidiscrete", version=2, held_out=False)
class Semidiscrete(Coupling):
    """The optimal transport of the source to all training points, as in SD-CFM.

    Mousavi-Hosseini et al., 2025, https://arxiv.org/abs/2509.25519.

    x1 = argmax_j <x0, y_j> + h_j

    The potentials h are found once and cached by the content of the points. Unlike the plan of a batch, they do not
    depend on the batch size, and they move the data: the drawn noise decides which points a batch holds. The data's
    marginal is exact up to `tolerance`. With labels, each class has its own potentials. Finding them for 4,000 points
    in 784 dimensions takes three minutes on one core. `data.flip` has no effect unless `mirrored` is set.
    """

    fixed_points = True

    def __init__(self, event: Event, classes: int, *, settings: SemidiscreteSettings = SEMIDISCRETE) -> None:
        super().__init__()
        if event.dims == 1:  # float32 does not tell apart the scores of many points on a line
            raise Unsupported(
                "semidiscrete transport needs two or more dimensions; in one, use minibatch plans (otcfm)"
            )
        self.settings, self.classes = settings, classes
        self.targets: dict[int, tuple[Tensor, Tensor]] = {}
        """{class, or 0: points and potentials}; not part of the state, because the cache holds them."""

    def attach(self, train: Split, source: Source, device: torch.device) -> None:
        seed = derive(0, "semidiscrete")
        if self.settings.mirrored and not train.augmented:
            raise ConfigError("model.mirrored=true needs mirrored images: set data.flip=true, or omit model.mirrored")
        if train.augmented and not self.settings.mirrored:
            log.warning(
                "semidiscrete transport pairs noise with the original training images: data.flip has no effect "
                "(--set model.mirrored=true adds their mirror images)"
            )
        if self.settings.mirrored:
            x, label = train.views(seed)
        else:
            x, label = train.stand_in(self.settings.points if train.size is None else train.size, seed)
        groups = label.unique().tolist() if self.classes else [0]
        for group in groups:
            points = x[label == group] if self.classes else x
            self.targets[group] = (points.to(device), self._potentials(points, source, device))

    def _potentials(
        self, points: Float[Tensor, "n *event"], source: Source, device: torch.device
    ) -> Float[Tensor, " n"]:
        flat = points.flatten(1).contiguous()
        epsilon, tolerance = self.settings.entropy, self.settings.tolerance
        law = hashlib.sha256(source.sample(64, generator(0, "identity")).numpy().tobytes()).hexdigest()
        content = hashlib.sha256(flat.numpy().data).hexdigest()
        determinants = {"points": content, "source": law, "entropy": epsilon, "tolerance": tolerance}
        if device.type != "cpu":  # other devices draw other noise
            determinants["device"] = device.type
        draws = generator(0, "potentials", device=device)

        def make() -> dict[str, Tensor]:
            activity.report(f"computing the potentials of {len(flat):,} points, once")
            solved = potentials(
                flat.to(device), lambda n: source.sample(n, draws).flatten(1), epsilon=epsilon, tolerance=tolerance
            )
            return {"h": solved.cpu()}

        name = f"{cache.key(version=VERSION, **determinants)}.safetensors"
        return tensors.cached("potentials", name, make)["h"].to(device)

    def forward(self, x0: Tensor, x1: Tensor, label: Tensor | None, generator: torch.Generator) -> Pairs:
        """Replace the data by the points that the noise goes to, within the classes of the batch."""
        if not self.training or not self.targets:  # held-out data would be replaced by training data
            raise Unsupported("semidiscrete transport pairs noise with training data only, and only in training")
        weight = x0.new_ones(len(x0))
        if label is None:
            return Pairs(x0, weight, x1=self._targets_of(x0, 0, generator))
        # Labels are sorted on the CPU: finding the noise of a class on a GPU would make it wait once per class.
        ordered, order = torch.sort(label.cpu(), stable=True)
        groups, counts = ordered.unique_consecutive(return_counts=True)
        order = order.to(x0.device)
        parts = x0[order].split(counts.tolist())
        found = [self._targets_of(part, group, generator) for part, group in zip(parts, groups.tolist(), strict=True)]
        return Pairs(x0, weight, x1=torch.empty_like(x1).index_copy(0, order, torch.cat(found)))

    def exact_samples(self, x0: Tensor, data: Data, *, tol: float) -> Tensor:
        """Return the training points assigned to the noise; optimal paths do not cross, so the flow ends there."""
        trained = copy.copy(self)
        trained.targets = {}
        trained.attach(data.train, data.source, x0.device)
        return trained._targets_of(x0, 0, generator(0, "exact samples"))

    def _targets_of(self, x0: Tensor, group: int, generator: torch.Generator) -> Tensor:
        points, h = self.targets[group]
        return points[assign(x0.flatten(1), points.flatten(1), h, self.settings.entropy, generator)]
