"""Precision and recall, density and coverage: which samples lie among real images, and which real among samples."""

from collections.abc import Callable

import torch

from genbench.metrics.evaluation import Evaluation, Value, wilson
from genbench.metrics.extractors.feature_extractor import Extractor
from genbench.metrics.image.feature_sets import IMAGES, FeatureSets, Images, feature_sets
from genbench.metrics.image.neighbors import ROWS, Neighborhoods, squared_distance_blocks
from genbench.registry import metrics
from genbench.settings import Count

MAX_IMAGES = 10_000
"""Largest default number of samples and of real images: the cost grows with their product."""

OF_AS_MANY = ("recall", "coverage")
"""Values that depend on the number of samples, so that only as many held-out images give their floor."""


@metrics.register(
    "precision_recall", version=1, better="higher", bounds=(0, 1), of="samples", floor=False, curve=False, halves=True
)
def precision_recall(
    evaluation: Evaluation, *, images: Images = IMAGES, k: Count = 3, features: Extractor = None
) -> list[Value]:
    """Share of samples that lie among real images (precision), and of real images among samples (recall).

    An image lies among others if it is within the distance of one of them to its k-th neighbor of its own kind.

    Args:
        k: which neighbor.

    Reference: Kynkaanniemi et al., 2019.
    """
    sets = feature_sets(evaluation, features, images, n_max=MAX_IMAGES, n_min=k + 1)
    return _values(evaluation, sets, k, precision_and_recall)


@metrics.register(
    "density_coverage",
    version=1,
    better="higher",
    bounds={"density": (0, None), "coverage": (0, 1)},
    of="samples",
    floor=False,
    curve=False,
    halves=True,
)
def density_coverage(
    evaluation: Evaluation, *, images: Images = IMAGES, k: Count = 5, features: Extractor = None
) -> list[Value]:
    """Mean number of real neighborhoods that contain a sample (density), share of them that contain one (coverage).

    The neighborhood of a real image extends to its k-th neighbor. Density is divided by k: 1 for real images on
    average, more where samples concentrate in dense regions. Coverage grows with the number of samples.

    Args:
        k: which neighbor.

    Reference: Naeem et al., 2020.
    """
    sets = feature_sets(evaluation, features, images, n_max=MAX_IMAGES, n_min=k + 1)
    return _values(evaluation, sets, k, density_and_coverage)


def precision_and_recall(samples: Neighborhoods, real: Neighborhoods, k: int) -> dict[str, float]:
    """Return the precision and the recall of samples."""
    sample_radii, real_radii = samples.squared_radii(k), real.squared_radii(k)
    precise, recalled = [], torch.zeros(len(real.points), dtype=torch.bool)
    blocks = squared_distance_blocks(samples.points, real.points)
    for block, radii in zip(blocks, sample_radii.split(ROWS), strict=True):
        precise.append((block <= real_radii).any(1))
        recalled |= (block <= radii[:, None]).any(0)
    return {"precision": float(torch.cat(precise).double().mean()), "recall": float(recalled.double().mean())}


def density_and_coverage(samples: Neighborhoods, real: Neighborhoods, k: int) -> dict[str, float]:
    """Return the density and the coverage of samples."""
    real_radii = real.squared_radii(k)
    count, covered = 0, torch.zeros(len(real.points), dtype=torch.bool)
    for block in squared_distance_blocks(samples.points, real.points):
        inside = block < real_radii
        count += int(inside.sum())
        covered |= inside.any(0)
    return {"density": count / (k * len(samples.points)), "coverage": float(covered.double().mean())}


def _values(
    evaluation: Evaluation,
    sets: FeatureSets,
    k: int,
    measure: Callable[[Neighborhoods, Neighborhoods, int], dict[str, float]],
) -> list[Value]:
    # Both metrics use the same points; those of real images are the same for all models.
    samples = evaluation.cached(("neighborhoods", sets.network, sets.n), lambda: Neighborhoods(sets.samples))
    real = evaluation.cached_for_task(
        ("neighborhoods", sets.reference.source), lambda: Neighborhoods(sets.reference.rows[:MAX_IMAGES])
    )
    values, n_floor = measure(samples, real, k), len(sets.floor_samples)
    name = (measure.__name__, k)
    floors = sets.floor(evaluation, name, lambda x: measure(Neighborhoods(x), real, k), least=k + 1) or {}
    if n_floor < sets.n:
        floors = {part: floor for part, floor in floors.items() if part not in OF_AS_MANY}
    protocol = f"{sets.network}, k={k}, n={sets.n} against {len(real.points)} {sets.images.split} images"
    details = {"n_reference": len(real.points), "n_floor": n_floor}
    share = values.get("precision", 0.0)  # the one mean among these values
    error = {"standard_error": (share * (1 - share) / sets.n) ** 0.5} if 0 < share < 1 else {}
    shares = {"precision": error | wilson(share, sets.n)}
    return [
        Value(value, sets.n, protocol, part, floors.get(part), details | shares.get(part, {}))
        for part, value in values.items()
    ]
