"""Rectified flow: a trained flow, trained further on pairs of noise and its own samples."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genbench.core import CPU, Batch, Data, Event, Source, Split, Trainable
from genbench.errors import RunFailed, Unsupported
from genbench.models.flow_matching.couplings.base import Coupling, Pairs
from genbench.models.flow_matching.pair_model import DEFAULTS, SharedSettings
from genbench.models.flow_matching.paths import Straight
from genbench.models.flow_matching.velocity_model import FlowMatching
from genbench.nets.presets import Net
from genbench.registry import models
from genbench.seeds import derive, generator
from genbench.settings import Count, NonNegative, Positive

CHUNK = 2**18
"""Size (samples x dimensions) of a block of noise; a block shares its adaptive steps, so pairs depend on its size."""

FRESH = 2**15
"""Default number of pairs for data generated on the fly."""


@dataclass(frozen=True)
class Pool(Split):
    """Pairs of noise and the teacher's sample from this noise, each of shape (2, *event), noise first.

    Args:
        evaluations: total evaluations of the teacher's network.
    """

    x: Float[Tensor, "n 2 *event"]
    label: Int[Tensor, " n"]
    evaluations: float

    @property
    def size(self) -> int:
        return len(self.x)

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """Return pairs drawn with replacement, independently at every step."""
        return self._rows(torch.randint(self.size, (size,), generator=generator(seed, "pool", step)))

    def take(self, n: int, seed: int) -> Batch:
        return self._rows(torch.randperm(self.size, generator=generator(seed, "pool"))[:n])

    def _rows(self, rows: Int[Tensor, " b"]) -> Batch:
        return Batch(self.x[rows], self.label[rows])


class FromTeacher(Coupling):
    """The pairs of a `Pool`."""

    def forward(self, x0: Tensor, x1: Tensor, label: Tensor | None, generator: torch.Generator) -> Pairs:
        raise Unsupported("it pairs noise with its teacher's samples, not with data")


@models.register("reflow", version=2, teacher="cfm", held_out=False)
class Reflow(FlowMatching):
    """2-rectified flow: a cfm, trained further with the same plan on pairs of noise and its own samples.

    x1 = teacher(x0);  loss = E mean (v(t, (1 - t) x0 + t x1) - (x1 - x0))^2;  v starts as the teacher's velocity

    A pool of pairs is solved once. Paths between its pairs do not cross, so the new flow is straighter; its samples are
    at best as good as the teacher's. An existing run of cfm with the same settings, plan and seed is reused. The record
    states the cost of training, of the teacher and of the pairs separately.

    Liu, Gong and Liu, 2023, "Flow straight and fast: learning to generate and transfer data with rectified flow",
    https://arxiv.org/abs/2209.03003, who fine-tune the previous flow (on 4 million pairs for CIFAR-10, according to
    Kim et al., 2025, https://arxiv.org/abs/2510.25229).

    Args:
        sigma: standard deviation of the noise around the straight path, for the teacher as well.
        start: weights before the first step: the teacher's, as published, or fresh ones ("anew").
        pairs: number of pairs to train on; by default as many as training samples, so that a plan passes over both
            equally often; 32,768 for data generated on the fly.
        tol: relative and absolute tolerance of dopri5, which solves for the pairs.
    """

    def __init__(
        self,
        event: Event,
        source: Source,
        *,
        net: Net = None,
        sigma: NonNegative = 0.0,
        start: Literal["teacher", "anew"] = "teacher",
        pairs: Count | None = None,
        tol: Positive = 1e-4,
        shared: SharedSettings = DEFAULTS,
    ) -> None:
        super().__init__(event, source, net=net, coupling=FromTeacher(), path=Straight(sigma), shared=shared)
        self.density = self.density.replace("N(0, ", "N(0, 2 * ")  # samples of the teacher have this noise already
        self.start, self.count, self.tol = start, pairs, tol
        self.pool: Pool | None = None

    @classmethod
    def stackable(cls, event: Event, settings: Mapping[str, Any]) -> bool:
        return False  # every seed has another teacher and other pairs

    def learn_from(self, trained: Mapping[str, Trainable], data: Data, seed: int) -> dict[str, float]:
        """Take the weights of the teacher, and solve for its pairs; the cost states the evaluations of all pairs."""
        began = time.monotonic()
        teacher = cast(FlowMatching, trained["teacher"])
        if self.start == "teacher":
            self.net.load_state_dict(teacher.net.state_dict())
        pool = self.pairs(teacher, data, derive(seed, "pairs"), self.count or data.train.size or FRESH)
        self.learn(pool)
        seconds = time.monotonic() - began
        return {"pairs": float(pool.size), "pair_evaluations": pool.evaluations, "pair_seconds": seconds}

    def pairs(self, teacher: FlowMatching, data: Data, seed: int, count: int) -> Pool:
        """Solve for pairs; a conditional model has the labels of training samples."""
        size = max(1, min(count, CHUNK // self.event.dims))
        device = next(teacher.parameters()).device
        ends, labels, spent = [], [], 0.0
        for part in range(math.ceil(count / size)):
            x0 = self.source.sample(size, generator(seed, "pairs", part))
            label = data.train.batch(part, size, derive(seed, "labels")).label
            condition = label.to(device) if self.conditional else None
            x1, nfe = teacher.sample(x0.to(device), label=condition, tol=self.tol)
            ends.append(torch.stack([x0, x1.cpu()], 1))
            labels.append(label if self.conditional else torch.zeros_like(label))
            spent += nfe * size
        return Pool(torch.cat(ends)[:count], torch.cat(labels)[:count], spent)

    def learn(self, pool: Pool) -> None:
        """Set the pairs to train on, which must be finite."""
        bad = int((~torch.isfinite(pool.x.flatten(1)).all(1)).sum())
        if bad:
            raise RunFailed(f"{bad} of {pool.size} samples of the teacher are not finite")
        self.pool = pool

    def batch_source(self, data: Data, device: torch.device = CPU) -> Split:
        if self.pool is None:
            raise RunFailed("the model has no pairs yet: call learn(pairs(teacher, ...)) with a trained flow")
        return self.pool

    def pair(self, batch: Batch, generator: torch.Generator) -> tuple[Pairs, Tensor | None]:
        """Return the batch, whose samples are pairs; the coupling refuses samples that are data."""
        if batch.x.dim() != len(self.event.shape) + 2:
            return super().pair(batch, generator)
        x0, x1 = batch.x.unbind(1)
        return Pairs(x0, x0.new_ones(len(x0)), x1=x1), batch.label if self.conditional else None
