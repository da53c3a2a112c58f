"""Fidelity and coverage apart: which samples lie among real images, and which real images lie among samples."""

from collections.abc import Callable
from typing import Annotated

import torch

from genbench.metrics.evaluation import Evaluation, Value
from genbench.metrics.extractors.choice import Extractor
from genbench.metrics.image.feature_sets import Comparison, Real, Split, compare
from genbench.metrics.image.neighbors import ROWS, Cloud, squares
from genbench.registry import metrics
from genbench.settings import Count

MOST = 10_000
"""Images of each side: the cost grows with their product."""

Samples = Annotated[Count | None, "samples; by default all there are, up to 10,000"]


@metrics.register("precision_recall", version=1, better="higher", of="samples", floor=False, curve=False)
def precision_recall(
    evaluation: Evaluation,
    *,
    n: Samples = None,
    k: Count = 3,
    split: Split = "train",
    n_real: Real = 50_000,
    features: Extractor = None,
) -> list[Value]:
    """Share of samples among real images (precision), and of real images among samples (recall).

    An image is among others if it is no further from one of them than that one's k-th neighbour of its own kind.

    Args:
        k: which neighbour.

    Raises:
        Unsupported: if the network cannot be had, or there are too few images.

    Reference: Kynkaanniemi et al., 2019.
    """
    sides = compare(evaluation, features, split, n, most=MOST, real=n_real, needs=k + 1)
    return _values(evaluation, sides, k, among)


@metrics.register("density_coverage", version=1, better="higher", of="samples", floor=False, curve=False)
def density_coverage(
    evaluation: Evaluation,
    *,
    n: Samples = None,
    k: Count = 5,
    split: Split = "train",
    n_real: Real = 50_000,
    features: Extractor = None,
) -> list[Value]:
    """How many real images a sample is among (density), and which real images have a sample near them (coverage).

    Density is the mean number of real neighbourhoods that hold a sample, divided by k: 1 for real images on average,
    more where samples keep to the dense regions. Coverage is the share of real images whose neighbourhood, up to their
    k-th neighbour, holds a sample; it grows with the number of samples.

    Args:
        k: which neighbour.

    Raises:
        Unsupported: if the network cannot be had, or there are too few images.

    Reference: Naeem et al., 2020.
    """
    sides = compare(evaluation, features, split, n, most=MOST, real=n_real, needs=k + 1)
    return _values(evaluation, sides, k, near)


def among(x: Cloud, y: Cloud, k: int) -> dict[str, float]:
    """Return the precision and the recall of samples x against real y."""
    own, real = x.radii(k), y.radii(k)
    right, reached = [], torch.zeros(len(y.x), dtype=torch.bool)
    for block, radius in zip(squares(x.x, y.x), own.split(ROWS), strict=True):
        right.append((block <= real).any(1))
        reached |= (block <= radius[:, None]).any(0)
    return {"precision": float(torch.cat(right).double().mean()), "recall": float(reached.double().mean())}


def near(x: Cloud, y: Cloud, k: int) -> dict[str, float]:
    """Return the density and the coverage of samples x against real y."""
    real = y.radii(k)
    held, reached = 0, torch.zeros(len(y.x), dtype=torch.bool)
    for block in squares(x.x, y.x):
        inside = block < real
        held += int(inside.sum())
        reached |= inside.any(0)
    return {"density": held / (k * len(x.x)), "coverage": float(reached.double().mean())}


def _values(
    evaluation: Evaluation, sides: Comparison, k: int, measure: Callable[[Cloud, Cloud, int], dict[str, float]]
) -> list[Value]:
    # Both metrics look at the same points; real ones are the same for all models.
    samples = evaluation.cached(("cloud", sides.network, sides.n), lambda: Cloud(sides.samples))
    real = evaluation.cached_for_task(("cloud", sides.real.path), lambda: Cloud(sides.real.rows[:MOST]))
    others = evaluation.cached_for_task(("cloud", sides.held.path, sides.n), lambda: Cloud(sides.others))
    values = measure(samples, real, k)
    floors = measure(others, real, k) if len(others.x) > k else {}
    protocol = f"{sides.network}, k={k}, n={sides.n} against {len(real.x)} {sides.part} images"
    details = {"n_reference": len(real.x), "n_floor": len(others.x)}
    return [
        Value(value, sides.n, protocol, part=part, floor=floors.get(part), details=details)
        for part, value in values.items()
    ]
