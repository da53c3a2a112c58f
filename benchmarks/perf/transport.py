"""Optimal transport between samples, for metrics and for couplings in training, compared with POT."""

from collections.abc import Callable

import numpy as np
import torch
from harness import Row, Sides
from torch import Tensor

from genbench.core import Event, Normal
from genbench.metrics.wasserstein import random_directions, sorted_projections
from genbench.models.flow_matching.couplings.minibatch_ot import MinibatchOT
from genbench.models.flow_matching.couplings.wcfm_weights import Gibbs, KernelSettings
from genbench.registry import datasets

IMAGE = (3, 32, 32)
SHORT = 8
"""Number of images in the timed training step; its time is scaled to a batch of 128."""


def points(n: int) -> tuple[Tensor, Tensor]:
    """Return n points of noise and of data in the plane, in float64."""
    data = datasets["8gaussians"].build()
    return data.source.sample(n, torch.Generator().manual_seed(0)).double(), data.test.take(n, 0).x.double()


def sliced(n: int, directions: int) -> Sides:
    """Return the sliced distance along equal directions."""
    import ot

    x, y = points(n)
    axes = random_directions(x.shape[1], directions, torch.Generator().manual_seed(0))
    a, b, projections = x.numpy(), y.numpy(), axes.T.numpy()

    def theirs() -> float:
        return ot.sliced_wasserstein_distance(a, b, n_projections=directions, projections=projections) ** 2

    def ours() -> float:
        return float((sorted_projections(x, axes) - sorted_projections(y, axes)).square().mean())

    np.testing.assert_allclose(ours(), theirs(), rtol=1e-9)
    return Sides(ours, theirs, note=f"n = {n:,}, {directions} directions")


def coupling(pair: Callable[[], object], batch: int) -> Callable[[], Sides]:
    """Return a coupling of images, and the CIFAR-10 training step that it is a part of."""

    def sides() -> Sides:
        from unet import build, ours

        _, model = build()
        step = ours(model, torch.rand(SHORT, *IMAGE) * 2 - 1, torch.float32)
        note = f"batch {batch}; the step is timed on {SHORT} images and scaled"
        return Sides(pair, step, (1, SHORT / batch), note)

    return sides


def gibbs(batch: int) -> Callable[[], object]:
    """Return the coupling of W-CFM on a batch of images."""
    weighted = Gibbs(Event(IMAGE), 0, kernel=KernelSettings(epsilon=5.0))
    stream = torch.Generator().manual_seed(0)
    x0, x1 = (Normal(IMAGE).sample(batch, stream) for _ in range(2))
    weighted.calibrate(weighted.log_kernel(x0, x1), torch.zeros(batch, dtype=torch.int64))
    return lambda: weighted(x0, x1, None, stream)


def permutation(batch: int) -> Callable[[], object]:
    """Return the coupling of OT-CFM on a batch of images."""
    paired, stream = MinibatchOT(), torch.Generator().manual_seed(0)
    x0, x1 = (Normal(IMAGE).sample(batch, stream) for _ in range(2))
    return lambda: paired(x0, x1, None, stream)


def rows() -> list[Row]:
    """Return the rows of optimal transport."""
    step = "training step of the CIFAR-10 net"
    shared = {"peer": step, "kind": "share", "rounds": 3, "threads": 2}
    return [
        Row(name="coupling-wcfm", work="coupling of W-CFM", sides=coupling(gibbs(128), 128), aim=0.01, **shared),
        Row(
            name="coupling-otcfm",
            work="coupling of OT-CFM, not overlapped with the step",
            sides=coupling(permutation(256), 256),
            aim=0.1,
            **shared,
        ),
        Row(name="sliced", work="sliced W2 in 2D", peer="POT", sides=lambda: sliced(10_000, 256), aim=10.0, rounds=5),
    ]
