"""Precision and recall, density and coverage: which samples lie among real images, and which real among samples."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from genbench.metrics.evaluation import Evaluation, Value, standard_error, stated, wilson
from genbench.metrics.extractors.build import Extractor
from genbench.metrics.image.feature_sets import IMAGES, FeatureSets, Images, feature_sets
from genbench.metrics.image.neighbors import ROWS, Neighborhoods, squared_distance_blocks
from genbench.registry import metrics
from genbench.seeds import generator
from genbench.settings import Count

MAX_IMAGES = 10_000
"""Largest default number of samples and of real images: the cost grows with their product."""

OF_AS_MANY = ("recall", "coverage")
"""Values that depend on the number of samples, so that only as many held-out images give their floor."""

PARTS = 32
"""Random parts of the samples that tell the error of recall, to 13 %."""

SIGNS = (0, 1, -1, 0.75, -0.5, 0.25)
"""Weight, in the variance of coverage, of regions with no sample, with one, two and so on (Efron and Thisted, 1976)."""

RECALL = 0.82
"""Spread of recall over samples relative to its jackknife, which takes it for a mean: 0.77 to 0.86 on digits."""


@metrics.register("precision_recall", version=1, better="higher", of="samples", floor=False, curve=False)
def precision_recall(
    evaluation: Evaluation, *, images: Images = IMAGES, k: Count = 3, features: Extractor = None
) -> list[Value]:
    """Share of samples among real images (precision), and of real images among samples (recall).

    An image lies among others if it is within the distance of one of them to its k-th neighbor of its own kind.
    The standard error of precision over samples is binomial; that of recall is from random parts (delete-d jackknife),
    corrected by what it was found to be of the spread over samples.

    Args:
        k: which neighbor.

    Reference: Kynkaanniemi et al., 2019.
    """
    sets = feature_sets(evaluation, features, images, n_max=MAX_IMAGES, n_min=k + 1)
    return _values(evaluation, sets, k, precision_and_recall, precision_and_recall_errors)


@metrics.register("density_coverage", version=1, better="higher", of="samples", floor=False, curve=False)
def density_coverage(
    evaluation: Evaluation, *, images: Images = IMAGES, k: Count = 5, features: Extractor = None
) -> list[Value]:
    """Mean number of real neighborhoods that contain a sample (density), share of them that contain one (coverage).

    The neighborhood of a real image extends to its k-th neighbor. Density is divided by k: 1 for real images on
    average, more where samples concentrate in dense regions. Coverage grows with the number of samples. The standard
    error of density over samples is that of a mean; that of coverage is unbiased for samples whose number is random.

    Args:
        k: which neighbor.

    Reference: Naeem et al., 2020.
    """
    sets = feature_sets(evaluation, features, images, n_max=MAX_IMAGES, n_min=k + 1)
    return _values(evaluation, sets, k, density_and_coverage, density_and_coverage_errors)


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


def precision_and_recall_errors(
    samples: Neighborhoods, real: Neighborhoods, k: int, values: Mapping[str, float], seed: int
) -> dict[str, dict[str, float]]:
    """Return the details that state the errors of precision and recall over samples.

    That of recall is of the first thousand samples, if there are more.
    """
    n, points, precision = len(samples.points), samples.points[:ROWS], values["precision"]
    (within,), (between,) = squared_distance_blocks(points, points), squared_distance_blocks(points, real.points)
    within.fill_diagonal_(0)
    parts = _parts(len(points), seed)

    def recall(rows: Int[Tensor, " r"]) -> Float64[Tensor, ""]:
        radii = within[rows][:, rows].kthvalue(k + 1).values
        return (between[rows] <= radii[:, None]).any(0).double().mean()

    shares = torch.stack([recall(rows) for rows in parts]) if parts.shape[1] > k else torch.zeros(2)
    error = RECALL * _jackknife(shares, parts, len(points)) * (len(points) / n) ** (1 / 3)
    of_precision = stated(precision * (1 - precision) / n) | wilson(precision, n)
    return {"precision": of_precision, "recall": stated(error**2)}


def density_and_coverage_errors(
    samples: Neighborhoods, real: Neighborhoods, k: int, values: Mapping[str, float], seed: int
) -> dict[str, dict[str, float]]:
    """Return the details that state the errors of density and coverage over samples."""
    n, m, real_radii = len(samples.points), len(real.points), real.squared_radii(k)
    weight = torch.randint(2**39, (n,), generator=generator(seed, "coverage")).double()  # their sums are exact
    count, code, around = torch.zeros(m, dtype=torch.float64), torch.zeros(m, dtype=torch.float64), []
    blocks = squared_distance_blocks(samples.points, real.points)
    for block, chosen in zip(blocks, weight.split(ROWS), strict=True):
        inside = (block < real_radii).double()
        around.append(inside.sum(1))
        count += inside.sum(0)
        code += chosen @ inside
    of_coverage = stated(covered_variance(count, code, n) / m**2)
    return {"density": standard_error(torch.cat(around), scale=1 / k), "coverage": of_coverage}


def covered_variance(count: Float64[Tensor, " m"], code: Float64[Tensor, " m"], n: int) -> float:
    """Return the variance of the number of regions that contain any of n samples.

    Two regions with c samples expected in both and d in one only are empty together with covariance
    e^-(c+d) - e^-(2c+d). If the number of samples is Poisson, this is the mean of -(-1)^N where all N > 0 samples in
    either region lie in both, and of 0 elsewhere: summed over all pairs, g regions with the same samples add g^2. Terms
    of many samples are damped, as they add more noise than they correct. What a random number of samples adds is
    subtracted: n times the square of what one sample adds. The terms of one sample alone are the jackknife, too large
    (Efron and Stein, 1981): 1 to 3 times where up to 2.8 samples are expected. The result is kept within these bounds.

    Args:
        count: number of samples in each region.
        code: a number for which samples these are.
    """
    some = count > 0
    _, group, regions = torch.unique(code[some], return_inverse=True, return_counts=True)
    samples = torch.zeros(len(regions), dtype=torch.long).index_put_((group,), count[some].long())
    by_samples = torch.zeros(max(n + 1, len(SIGNS)), dtype=torch.float64).index_add_(
        0, samples, regions.double().square()
    )
    fixed = float((count == 1).sum()) ** 2 / n
    variance = float(by_samples[: len(SIGNS)] @ torch.tensor(SIGNS, dtype=torch.float64)) - fixed
    jackknife = max(float(by_samples[1]) - fixed, 0.0)
    return min(max(variance, jackknife / 3), jackknife)


def _parts(n: int, seed: int) -> Int[Tensor, "parts r"]:
    """Return the rows of random parts, two thirds of n samples each."""
    return torch.stack([torch.randperm(n, generator=generator(seed, "part", i))[: 2 * n // 3] for i in range(PARTS)])


def _jackknife(values: Float[Tensor, " parts"], parts: Int[Tensor, "parts r"], n: int) -> float:
    """Return the standard error of a statistic of n samples from its values on parts of r of them.

    The delete-d jackknife: parts share samples, so that a mean over r of n varies (n - r) / r times as little.

    Reference: Shao and Wu, 1989.
    """
    r = parts.shape[1]
    return float(values.double().std()) * (r / (n - r)) ** 0.5


def _values(
    evaluation: Evaluation,
    sets: FeatureSets,
    k: int,
    measure: Callable[[Neighborhoods, Neighborhoods, int], dict[str, float]],
    errors: Callable[[Neighborhoods, Neighborhoods, int, Mapping[str, float], int], dict[str, dict[str, float]]],
) -> list[Value]:
    # Both metrics use the same points; those of real images are the same for all models.
    samples = evaluation.cached(("neighborhoods", sets.network, sets.n), lambda: Neighborhoods(sets.samples))
    real = evaluation.cached_for_task(
        ("neighborhoods", sets.reference.path), lambda: Neighborhoods(sets.reference.rows[:MAX_IMAGES])
    )
    floor_samples = evaluation.cached_for_task(
        ("neighborhoods", sets.held_out.path, sets.n), lambda: Neighborhoods(sets.floor_samples)
    )
    values = measure(samples, real, k)
    floors = measure(floor_samples, real, k) if len(floor_samples.points) > k else {}
    if len(floor_samples.points) < sets.n:
        floors = {part: floor for part, floor in floors.items() if part not in OF_AS_MANY}
    protocol = f"{sets.network}, k={k}, n={sets.n} against {len(real.points)} {sets.images.split} images"
    details = {"n_reference": len(real.points), "n_floor": len(floor_samples.points)}
    known = errors(samples, real, k, values, evaluation.seed) if evaluation.errors else {}
    return [
        Value(value, sets.n, protocol, part, floors.get(part), details | known.get(part, {}))
        for part, value in values.items()
    ]
