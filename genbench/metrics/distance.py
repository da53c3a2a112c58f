"""Distances between samples of vectors, in the units of the raw data. On images they are unsupported."""

import itertools
import math
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation, Value, standard_error, wilson
from genbench.metrics.wasserstein import (
    distances,
    exact_transport_bytes,
    random_directions,
    sliced_influence,
    sorted_projections,
    squared_w2,
)
from genbench.registry import metrics
from genbench.seeds import generator
from genbench.settings import Count, Fraction

ROWS = 128
"""Rows per block of a distance matrix: a block stays in the processor's cache."""

SAMPLES = 2048

N = Annotated[Count | None, f"number of samples, and of test points; by default all, up to {SAMPLES}"]


@metrics.register("w2", version=1, better="lower", bounds=(0, None), of="samples", memory=exact_transport_bytes)
def w2(evaluation: Evaluation, *, n: N = None) -> Value:
    """Exact 2-Wasserstein distance between samples and test data, in raw units.

    It is biased upward, more so with fewer samples: compare it with its floor at the same n. Its standard error over
    samples, from the dual potentials (del Barrio and Loubes, 2019), leaves out that bias; close to the floor it is up
    to 1.4 times too large.

    Reference: Bonneel et al., 2011 (network simplex); Flamary et al., 2021 (POT).
    """
    x, y = _vectors(evaluation, n, SAMPLES)
    return _root(*squared_w2(x, y), f"exact OT, raw units, n={len(x)} against test data")


@metrics.register("sliced_w2", version=1, better="lower", bounds=(0, None), of="samples")
def sliced_w2(evaluation: Evaluation, *, n: Count | None = None, directions: Count = 256) -> Value:
    """Sliced 2-Wasserstein distance, the root of the mean square over random directions, in raw units.

    Its standard error over samples comes from the dual potentials (del Barrio and Loubes, 2019).

    Args:
        n: number of samples, and of test points; by default all.
        directions: number of random directions; every model gets the same directions.

    Reference: Bonneel et al., 2015.
    """
    x, y = _vectors(evaluation, n)
    axes = random_directions(x.shape[1], directions, generator(evaluation.seed, "sliced_w2"))
    of_y = evaluation.cached_for_task(("sliced_w2", len(y), directions), lambda: sorted_projections(y, axes))
    protocol = f"{directions} directions, raw units, n={len(x)} against test data"
    squared = float((sorted_projections(x, axes) - of_y).square().mean())
    return _root(squared, sliced_influence(x, of_y, axes), protocol)


@metrics.register("conditional_w2", version=1, better="lower", bounds=(0, None), of="samples")
def conditional_w2(evaluation: Evaluation, *, n: N = None, bins: Count = 16) -> Value:
    """2-Wasserstein distance between samples and test data of similar conditions, in raw units.

    Samples and test data are sorted by the condition and cut into bins of equally many points. The distance is the root
    of the mean over bins of the exact squared W2 of the other coordinates. Its upward bias is larger than the bias of
    W2, since a bin has few samples: compare it with its floor at the same n.

    Args:
        bins: number of bins, each of at least 2 samples.
    """
    if evaluation.data.event.conditions != 1:
        raise Unsupported("it needs data with one continuous condition, such as branches")
    x, y = _vectors(evaluation, n, SAMPLES)
    if len(x) < 2 * bins:
        raise Unsupported(f"{len(x)} samples are fewer than 2 in each of {bins} bins: lower bins")
    parts = [torch.tensor_split(points[points[:, -1].argsort(), :-1], bins) for points in (x, y)]
    squared, influences = zip(*(squared_w2(*pair) for pair in zip(*parts, strict=True)), strict=True)
    protocol = f"exact OT within {bins} bins of the condition, raw units, n={len(x)} against test data"
    return _root(sum(squared) / bins, torch.cat(influences), protocol)


@metrics.register("energy_distance", version=1, better="lower", bounds=(None, None), of="samples", halves=True)
def energy_distance(evaluation: Evaluation, *, n: N = None) -> Value:
    """Energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'| in raw units; it may be negative.

    It is unbiased for independent samples and data. If the test data has equally many points in each mode,
    as in `8gaussians`, the value is too low: by about 0.005 at n = 1024, and by twice that for models with labels.

    Reference: Szekely and Rizzo, 2013.
    """
    x, y = _vectors(evaluation, n, SAMPLES)
    within = evaluation.cached_for_task(("energy distance", len(y)), lambda: _within(y))
    value = 2 * _between(x, y) - _within(x) - within
    return Value(value, len(x), f"unbiased, raw units, n={len(x)} against test data")


@metrics.register("mode_coverage", version=1, better="higher", bounds=(0, 1), of="samples", halves=True)
def mode_coverage(
    evaluation: Evaluation, *, n: Count | None = None, share: Fraction = 0.1, quantile: Fraction = 0.99
) -> list[Value]:
    """Share of the data's modes that samples cover, with `on_mode` and `balance`.

    A sample belongs to the mode with the nearest center. It lies on the mode if its distance is at most the `quantile`
    of the distances of the mode's test data. A mode is covered if at least `share` times as many samples as test points
    lie on it. `on_mode` is the share of samples that lie on their mode; `balance` is 1 minus the total variation
    distance between the mode frequencies of samples and of test data.

    Args:
        n: number of samples; by default all.
        share: smallest number of samples that covers a mode, relative to the test data of that mode.
        quantile: share of the test data of a mode that lies on it.
    """
    modes = evaluation.data.truth.modes
    if modes is None or len(modes) < 2:
        raise Unsupported("the data has fewer than two known modes")
    n = n or len(evaluation.x)
    mode, distance = _nearest(evaluation.samples(n), modes)
    test_mode, test_distance = _nearest(evaluation.reference(n).x, modes)
    expected = torch.bincount(test_mode, minlength=len(modes))
    if (expected == 0).any():
        raise Unsupported(f"{n} test points do not reach all {len(modes)} modes")
    radius = torch.stack([test_distance[test_mode == k].quantile(quantile) for k in range(len(modes))])
    on_mode = distance <= radius[mode]
    counts = torch.bincount(mode[on_mode], minlength=len(modes))
    covered = counts >= share * expected
    by_mode = torch.bincount(mode, minlength=len(modes))
    share_on, balance = float(on_mode.double().mean()), 1 - float((by_mode - expected).abs().sum()) / (2 * n)
    protocol = f"{len(modes)} modes, n={n}"
    within = f"{protocol}, on a mode: within the {quantile:g} quantile of its data"
    return [
        Value(float(covered.double().mean()), n, f"{within}, covered: at least {share:g} of the due number"),
        Value(share_on, n, within, "on_mode", details=standard_error(on_mode) | wilson(share_on, n)),
        Value(balance, n, protocol, part="balance"),
    ]


def _vectors(
    evaluation: Evaluation, n: int | None, most: int | None = None
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
    """Return n samples and n test points as flat raw vectors in float64; by default all of both, up to `most`."""
    space = evaluation.data.space
    if space.bin > 0:
        raise Unsupported("distances between pixels say little about images; use a Frechet distance of features (fd-)")
    n = n or min(each for each in (len(evaluation.x), evaluation.data.test.size, most) if each is not None)
    if n < 2:
        raise Unsupported("a distance between distributions needs at least 2 samples")
    x, y = evaluation.decoded(n), space.decode(evaluation.reference(n).x)
    return x.double().flatten(1), y.double().flatten(1)


def _root(squared: float, influence: Float[Tensor, " n"], protocol: str) -> Value:
    """Return the root of a squared distance, with the standard error that the influence of each sample gives."""
    value = math.sqrt(squared)
    details = standard_error(influence, scale=1 / (2 * value)) if value else {}
    return Value(value, len(influence), protocol, details=details)


def _nearest(x: Float[Tensor, "n d"], modes: Float[Tensor, "modes d"]) -> tuple[Tensor, Tensor]:
    """Return the index of the nearest mode of each sample, and the distance to it."""
    closest = torch.cdist(x.double().flatten(1), modes.double()).min(1)
    return closest.indices, closest.values


def _between(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> float:
    """Return the mean of |x_i - y_j|."""
    return sum(float(distances(rows, y).sum()) for rows in x.split(ROWS)) / (len(x) * len(y))


def _within(x: Float[Tensor, "n d"]) -> float:
    """Return the mean of |x_i - x_j| over i != j; each pair is computed once."""
    sums = 0.0
    for end, rows in zip(itertools.count(ROWS, ROWS), x.split(ROWS), strict=False):
        sums += float(distances(rows, rows).sum()) + 2 * float(distances(rows, x[end:]).sum())
    return sums / (len(x) * (len(x) - 1))
