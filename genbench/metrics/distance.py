"""Distances between samples of vectors, in the units of the raw data."""

import itertools
import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation, Value
from genbench.metrics.wasserstein import directions_of, distances, ranked, squared_w2
from genbench.registry import metrics
from genbench.seeds import generator
from genbench.settings import Count, Fraction

ROWS = 128
"""Rows of a matrix of distances at once: the block stays in the processor's cache."""

SAMPLES = 2048


@metrics.register("w2", version=1, better="lower", of="samples")
def w2(evaluation: Evaluation, *, n: Count | None = None) -> Value:
    """Exact 2-Wasserstein distance between samples and test data, in raw units.

    It is biased upward, the more the fewer samples: compare it with its floor, of which it shares n.

    Args:
        n: samples of each; by default all there are, up to 2048.

    Raises:
        Unsupported: on images.

    Reference: Bonneel et al., 2011 (network simplex); Flamary et al., 2021 (POT).
    """
    x, y = _vectors(evaluation, n or min(len(evaluation.x), SAMPLES))
    return Value(math.sqrt(squared_w2(x, y)), len(x), f"exact OT, raw units, n={len(x)} against test data")


@metrics.register("sliced_w2", version=1, better="lower", of="samples")
def sliced_w2(evaluation: Evaluation, *, n: Count | None = None, directions: Count = 256) -> Value:
    """Sliced 2-Wasserstein distance, the root of the mean square over random directions, in raw units.

    Args:
        n: samples of each; by default all there are.
        directions: number of directions, the same for every model.

    Raises:
        Unsupported: on images.

    Reference: Bonneel et al., 2015.
    """
    x, y = _vectors(evaluation, n or len(evaluation.x))
    axes = directions_of(x.shape[1], directions, generator(evaluation.seed, "sliced_w2"))
    other = evaluation.cached_for_task(("ranked", len(y), directions), lambda: ranked(y, axes))
    protocol = f"{directions} directions, raw units, n={len(x)} against test data"
    return Value(math.sqrt(float((ranked(x, axes) - other).square().mean())), len(x), protocol)


@metrics.register("mmd", version=1, better="lower", of="samples")
def mmd(evaluation: Evaluation, *, n: Count | None = None) -> Value:
    """Squared maximum mean discrepancy of a sum of five Gaussian kernels, unbiased: it may be negative.

    k(x, y) = sum over h of exp(-|x - y|^2 / (2 h^2)) / 5 with h = m/4, m/2, m, 2m, 4m; m is the median distance
    within the reference sample, so that the kernel never depends on the model.

    Args:
        n: samples of each; by default all there are, up to 2048.

    Raises:
        Unsupported: on images.

    Reference: Gretton et al., 2012.
    """
    x, y = _vectors(evaluation, n or min(len(evaluation.x), SAMPLES))
    median = evaluation.cached_for_task(("median", len(y)), lambda: float(torch.pdist(y[:1024]).median()))
    if median == 0:
        raise Unsupported("half of the data is one point, so that the median distance is no bandwidth")

    def kernel(distance: Float[Tensor, "n m"]) -> Float[Tensor, ""]:
        # From the widest kernel to the next: half the bandwidth is the fourth power.
        value = distance.square_().mul_(-1 / (2 * (4 * median) ** 2)).exp_()
        total = value.sum()
        for _ in range(4):
            total = total + value.square_().square_().sum()
        return total / 5

    within = evaluation.cached_for_task(("mmd", len(y)), lambda: _within(kernel, y))
    value = _within(kernel, x) + within - 2 * _between(kernel, x, y)
    protocol = f"5 Gaussian kernels around {median:.3g}, squared, unbiased, raw units, n={len(x)} against test data"
    return Value(value, len(x), protocol)


@metrics.register("energy_distance", version=1, better="lower", of="samples")
def energy_distance(evaluation: Evaluation, *, n: Count | None = None) -> Value:
    """Energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'| in raw units, unbiased: it may be negative.

    Args:
        n: samples of each; by default all there are, up to 2048.

    Raises:
        Unsupported: on images.

    Reference: Szekely and Rizzo, 2013.
    """
    x, y = _vectors(evaluation, n or min(len(evaluation.x), SAMPLES))

    within = evaluation.cached_for_task(("energy distance", len(y)), lambda: _within(torch.sum, y))
    value = 2 * _between(torch.sum, x, y) - _within(torch.sum, x) - within
    return Value(value, len(x), f"unbiased, raw units, n={len(x)} against test data")


@metrics.register("mode_coverage", version=1, better="higher", of="samples")
def mode_coverage(
    evaluation: Evaluation, *, n: Count | None = None, share: Fraction = 0.1, quantile: Fraction = 0.99
) -> list[Value]:
    """Share of the data's modes that samples cover, with `on_mode` and `balance`.

    A sample belongs to the mode with the nearest centre, and lies on it within the distance that a `quantile` of the
    reference sample keeps. A mode is covered if at least `share` of its due number of samples lie on it. `on_mode`
    is the share of samples that lie on their mode, `balance` is 1 minus the total variation between the shares of
    samples and of reference data that belong to each mode.

    Args:
        n: samples; by default all there are.
        share: part of a mode's due number of samples that covers it.
        quantile: part of the reference data of a mode that lies on it.

    Raises:
        Unsupported: if the modes are not known, or there are fewer than two.
    """
    modes = evaluation.data.truth.modes
    if modes is None or len(modes) < 2:
        raise Unsupported("the data has no known modes to tell apart")
    n = n or len(evaluation.x)
    near, distance = _nearest(evaluation.samples(n), modes)
    due, reach = _nearest(evaluation.reference(n).x, modes)
    expected = torch.bincount(due, minlength=len(modes))
    if (expected == 0).any():
        raise Unsupported(f"{n} reference samples do not reach all {len(modes)} modes")
    radius = torch.stack([reach[due == k].quantile(quantile) for k in range(len(modes))])
    on_mode = distance <= radius[near]
    covered = torch.bincount(near[on_mode], minlength=len(modes)) >= share * expected
    balance = 1 - float((torch.bincount(near, minlength=len(modes)) - expected).abs().sum()) / (2 * n)
    protocol = f"{len(modes)} modes, n={n}"
    within = f"{protocol}, on a mode: within the {quantile:g} quantile of its data"
    return [
        Value(float(covered.double().mean()), n, f"{within}, covered: at least {share:g} of the due number"),
        Value(float(on_mode.double().mean()), n, within, part="on_mode"),
        Value(balance, n, protocol, part="balance"),
    ]


def _vectors(evaluation: Evaluation, n: int) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
    """Return n samples and n reference samples, raw, flat and in float64."""
    space = evaluation.data.space
    if space.bin > 0:
        raise Unsupported("distances between pixels say little about images; use a Frechet distance of features (fd-)")
    if n < 2:
        raise Unsupported("a distance between distributions needs at least 2 samples")
    x, y = evaluation.decoded(n), space.decode(evaluation.reference(n).x)
    return x.double().flatten(1), y.double().flatten(1)


def _nearest(x: Float[Tensor, "n d"], modes: Float[Tensor, "modes d"]) -> tuple[Tensor, Tensor]:
    """Return the index of the nearest mode of each sample, and the distance to it."""
    closest = torch.cdist(x.double().flatten(1), modes.double()).min(1)
    return closest.indices, closest.values


def _between(total: Callable[[Tensor], Tensor], x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> float:
    """Return the mean over pairs (x_i, y_j) of a function of distances.

    Args:
        total: the sum of the function over a block of distances, which it may overwrite.
        x: first sample.
        y: second sample.
    """
    return sum(float(total(distances(rows, y))) for rows in x.split(ROWS)) / (len(x) * len(y))


def _within(total: Callable[[Tensor], Tensor], x: Float[Tensor, "n d"]) -> float:
    """Return the mean over pairs of different x, likewise; each pair is looked at once."""
    sums = -len(x) * float(total(x.new_zeros(1, 1)))
    for end, rows in zip(itertools.count(ROWS, ROWS), x.split(ROWS), strict=False):
        sums += float(total(distances(rows, rows))) + 2 * float(total(distances(rows, x[end:])))
    return sums / (len(x) * (len(x) - 1))
