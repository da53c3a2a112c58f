"""Precision, recall, density, coverage: which samples lie among real images, and which real images among samples."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from genbench.metrics.evaluation import Evaluation, Value, wilson
from genbench.metrics.extractors.feature_extractor import Extractor
from genbench.metrics.image.feature_sets import IMAGES, FeatureSets, Images, feature_sets
from genbench.registry import metrics
from genbench.settings import Count

ROWS = 1000
"""Rows of a block of distances."""

DEFAULT_K = 5
"""Number of neighbors found at once: the largest default of k."""

MAX_IMAGES = 10_000
"""Largest default number of samples and of real images: the cost grows with their product."""

OF_AS_MANY = ("recall", "coverage")
"""Values that depend on the number of samples: their floor needs as many held-out images."""


def squared_distance_blocks(x: Float[Tensor, "n k"], y: Float[Tensor, "m k"]) -> Iterator[Float64[Tensor, "rows m"]]:
    """Yield the squared distances from a block of rows of x to all of y."""
    y = y.double()
    squares = y.square().sum(1)
    for rows in x.split(ROWS):
        rows = rows.double()
        yield torch.addmm(squares, rows, y.T, alpha=-2).add_(rows.square().sum(1)[:, None]).clamp_(min=0)


class Neighborhoods:
    """Points in rows, with the distances to their nearest neighbors among themselves, which are computed once."""

    def __init__(self, points: Float[Tensor, "n k"]) -> None:
        self.points = points
        self._squares = torch.empty(len(points), 0, dtype=torch.float64)

    def squared_radii(self, k: int) -> Float64[Tensor, " n"]:
        """Return the squared distance of each point to its k-th nearest neighbor."""
        if self._squares.shape[1] <= k:
            self._squares = self._smallest_squares(max(k, DEFAULT_K) + 1)
        return self._squares[:, k]

    def _smallest_squares(self, count: int) -> Float64[Tensor, "n count"]:
        """Return the smallest squared distances of each point in increasing order, its own 0 first.

        Each block also serves its columns, which halves the work.
        """
        parts = self.points.split(ROWS)
        found: list[list[Tensor]] = [[] for _ in parts]
        for i, rows in enumerate(parts):
            for j, columns in enumerate(parts[: i + 1]):
                (block,) = squared_distance_blocks(rows, columns)
                if i == j:
                    block.fill_diagonal_(0)  # rounding may leave these above 0
                found[i].append(_smallest(block, count))
                if i != j:
                    found[j].append(_smallest(block.T, count))
        return torch.cat([_smallest(torch.cat(values, 1), count) for values in found])


def _smallest(values: Float64[Tensor, "n m"], count: int) -> Float64[Tensor, "n smallest"]:
    return values.topk(min(count, values.shape[1]), largest=False).values


def nearest(x: Float[Tensor, "n k"], y: Float[Tensor, "m k"]) -> tuple[Float64[Tensor, " n"], Int[Tensor, " n"]]:
    """Return the distance of each row of x to the nearest row of y, exactly 0 between equal rows, and its index."""
    indices = torch.cat([block.argmin(1) for block in squared_distance_blocks(x, y)])
    parts = zip(x.split(ROWS), indices.split(ROWS), strict=True)
    return torch.cat([(rows.double() - y[index].double()).norm(dim=1) for rows, index in parts]), indices


@metrics.register(
    "precision_recall", version=1, better="higher", bounds=(0, 1), of="samples", floor=False, curve=False, halves=True
)
def precision_recall(
    evaluation: Evaluation, *, images: Images = IMAGES, k: Count = 3, features: Extractor = None
) -> list[Value]:
    """Share of samples that lie among real images (precision), and of real images among samples (recall).

    Each image y of a set has a ball that reaches to its k-th nearest neighbor in the set. An image lies among the set
    if it lies in one of these balls.

    Args:
        k: rank of the nearest neighbor that bounds a neighborhood.

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
    """Mean number of real neighborhoods around a sample (density), and share of them with a sample (coverage).

    The neighborhood of a real image extends to its k-th nearest real neighbor. Density is divided by k: real images
    have density 1 on average; samples that concentrate in dense regions have more. Coverage grows with the number of
    samples.

    Args:
        k: rank of the nearest neighbor that bounds a neighborhood.

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
    # Both metrics share these points, and all models share the real points.
    samples = evaluation.cached(("neighborhoods", sets.extractor.protocol, sets.n), lambda: Neighborhoods(sets.samples))
    real = evaluation.cached_for_task(
        ("neighborhoods", sets.reference.source), lambda: Neighborhoods(sets.reference.rows[:MAX_IMAGES])
    )
    values, n_floor = measure(samples, real, k), len(sets.floor_samples)
    name = (measure.__name__, k)
    floors = sets.floor(evaluation, name, lambda x: measure(Neighborhoods(x), real, k), least=k + 1) or {}
    if n_floor < sets.n:
        floors = {part: floor for part, floor in floors.items() if part not in OF_AS_MANY}
    protocol = f"{sets.extractor.protocol}, k={k}, n={sets.n} against {len(real.points)} {sets.images.split} images"
    details = {"n_reference": len(real.points), "n_floor": n_floor}
    share = values.get("precision", 0.0)  # the one mean among these values
    error = {"standard_error": (share * (1 - share) / sets.n) ** 0.5} if 0 < share < 1 else {}
    shares = {"precision": error | wilson(share, sets.n)}
    return [
        Value(value, sets.n, protocol, part, floors.get(part), details | shares.get(part, {}))
        for part, value in values.items()
    ]
