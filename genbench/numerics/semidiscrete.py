"""Semidiscrete optimal transport: from a source that can be sampled to finitely many points of equal mass.

For the squared distance, x goes to the point y_j with the largest score <x, y_j> + h_j. The potentials h are those for
which every point receives the same mass. With entropy, x goes to y_j with probability softmax(2 score / epsilon)_j.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genbench.errors import RunFailed

CHUNK = 2**24
"""Number of scores in memory at once."""

BATCH = 256
"""Number of draws per step of ascent."""

STEPS = 200
"""Number of steps in the first round."""

MAX_ROUNDS = 20

MANY = 2048
"""Number of points above which rounds double in length while they help."""

FIRST_STEP = 10.0
"""Step of the first round, in units of the mean norm of the points times draws of a step per point."""

COARSEST = 100
"""Largest number of points that are solved for first."""

REFINEMENT = 4
"""The factor by which the number of points grows."""

EXTENSION = 8192
"""Number of draws from which h is extended to more points."""

GROUPS = 8
"""Number of groups of points whose masses are leveled."""

MAX_LEVELINGS = 6

MAX_PRODUCTS, MAX_DRAWS = 2**30, 2**18
"""Limits of one leveling: multiplications (draws x points x dimensions), and draws; at least the draws of chi2."""

SMOOTHING = (0.03, 0.01, 0.003, 0.001)
"""Temperatures of a leveling without entropy, one after the other, in units of the deviation of the scores."""


def assign(
    x: Float[Tensor, "b d"],
    points: Float[Tensor, "n d"],
    h: Float[Tensor, " n"],
    epsilon: float,
    generator: torch.Generator,
) -> Int[Tensor, " b"]:
    """Return the point that each x goes to, drawn at random if epsilon is positive."""
    best, chosen = x.new_full((len(x),), -torch.inf), torch.zeros(len(x), dtype=torch.int64, device=x.device)
    size = max(1, CHUNK // len(x))
    for start, some, potential in zip(range(0, len(points), size), points.split(size), h.split(size), strict=True):
        score = torch.addmm(potential, x, some.T)
        if epsilon:  # the largest of scores plus Gumbel noise is a draw from their softmax
            uniform = torch.rand(score.shape, generator=generator, device=x.device, dtype=x.dtype)
            score = score * (2 / epsilon) - (-uniform.clamp(1e-20).log()).log()
        top, index = score.max(1)
        chosen = torch.where(top > best, start + index, chosen)
        best = torch.maximum(top, best)
    return chosen


def potentials(
    points: Float[Tensor, "n d"],
    draw: Callable[[int], Float[Tensor, "b d"]],
    *,
    epsilon: float = 0.0,
    tolerance: float = 0.05,
) -> Float[Tensor, " n"]:
    """Solve for the potentials h by averaged stochastic ascent of the dual, from few points to all.

    h_j <- h_j + step (1/n - share of the draws that go to y_j)

    Each round starts from the best average so far. While rounds help, the next one has half the step and 1.3 times the
    steps; otherwise it has twice the step and up to twice the steps. Rounds end when chi2 on fresh draws is at most the
    tolerance (Genevay et al., 2016; the stopping rule follows ott-jax). With many points, each receives few draws: the
    next round is then twice as long if a round helps, and otherwise has half the step. The potentials of a part of the
    points extend to more points as h(y) = min_x (max_j (<x, y_j> + h_j) - <x, y>) over draws x (Merigot, 2011), which
    balances masses far from one another. Finally the masses of a few groups of neighbors are leveled: a group with a
    few percent too much hardly changes chi2, but costs much in transport distance.

    Args:
        points: the targets, all of the same mass.
        draw: draws that many independent x from the source.
        epsilon: strength of the entropy, in units of the squared distance; 0 for none.
        tolerance: largest chi2.

    Raises:
        RunFailed: if chi2 is above the tolerance after the last round, or the potentials are not finite.
    """
    points = points - points.mean(0)  # adds the same number to all scores of an x
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(0)).to(points.device)
    sizes = [len(points)]
    while sizes[0] > COARSEST:
        sizes.insert(0, sizes[0] // REFINEMENT)
    h, chi2 = -points[order[: sizes[0]]].square().sum(1) / 2, math.inf
    for size in sizes:
        part, known = points[order[:size]], len(h)
        if size > known:
            x = draw(EXTENSION)
            top = torch.addmm(h, x, part[:known].T).max(1, keepdim=True).values
            h = (top - x @ part.T).min(0).values
        h, chi2 = _balance(part, h, draw, epsilon, tolerance)
    if len(points) > COARSEST:
        h, chi2 = _level(points[order], h, draw, epsilon, tolerance)
    if chi2 > tolerance:
        raise RunFailed(
            f"semidiscrete potentials end at chi2 = {chi2:.3g}, above tolerance={tolerance:g}: raise tolerance"
        )
    return (h - h.mean())[order.argsort()]


def _balance(
    points: Tensor, h: Tensor, draw: Callable[[int], Tensor], epsilon: float, tolerance: float
) -> tuple[Tensor, float]:
    n, steps, best = len(points), float(STEPS), math.inf
    step, checks = _first_step(points), _draws_for_chi2(n, tolerance)
    for number in range(MAX_ROUNDS):
        mean = _ascent(points, h, draw, step, round(steps), epsilon)
        chi2 = inequality(points, mean, draw, checks, epsilon)
        if not math.isfinite(chi2):
            raise RunFailed(
                f"semidiscrete potentials are not finite: entropy={epsilon:g} is too small for this data: raise it"
            )
        helped = chi2 < 0.8 * best
        if n > MANY:
            step, steps = (step, 2 * steps) if helped else (step / 2, steps)
        elif helped or number < 5:
            step, steps = step / 2, 1.3 * steps
        else:  # slow directions remain, which need long averages of large steps
            step, steps = 2 * step, min(2 * steps, 16.0 * STEPS)
        if chi2 < best:
            h, best = mean, chi2
        if best <= tolerance:
            break
    return h, best


def _ascent(
    points: Tensor, h: Tensor, draw: Callable[[int], Tensor], step: float, steps: int, epsilon: float
) -> Tensor:
    """Return the average of the potentials over steps of ascent from h."""
    mean, n = torch.zeros_like(h), len(points)
    for k in range(steps):
        h = h + step * (1 / n - _mass(draw(BATCH), points, h, epsilon)[0] / BATCH)
        mean += (h - mean) / (k + 1)
    return mean


def _first_step(points: Tensor) -> float:
    return FIRST_STEP * float(points.norm(dim=1).mean()) * min(1.0, BATCH / min(len(points), MANY))


def _draws_for_chi2(n: int, tolerance: float) -> int:
    """Return how many draws estimate the chi2 of n points with a standard error of a quarter of the tolerance."""
    return max(2, math.ceil(4 * math.sqrt(2 * n) / tolerance))


def _level(
    points: Tensor, h: Tensor, draw: Callable[[int], Tensor], epsilon: float, tolerance: float
) -> tuple[Tensor, float]:
    """Level the masses of groups in turns with short ascents, until the leveling keeps chi2 within the tolerance.

    If there is no gap between groups, this may never happen; then an ascent is the last step.
    """
    group, checks = _groups(points), _draws_for_chi2(len(points), tolerance)
    count = max(checks, min(MAX_PRODUCTS // points.numel(), MAX_DRAWS))
    for _ in range(MAX_LEVELINGS):
        h = h + _shifts(points, h, group, draw(count), epsilon)[group]
        chi2 = inequality(points, h, draw, checks, epsilon)
        if chi2 <= tolerance:
            return h, chi2
        h = _ascent(points, h, draw, _first_step(points) / 8, 4 * STEPS, epsilon)
    return _balance(points, h, draw, epsilon, tolerance)


def _groups(points: Tensor) -> Int[Tensor, " n"]:
    """Return groups of neighbors: the cells of points that are far from one another, moved to their centers."""
    centers = points[:1]
    for _ in range(GROUPS - 1):
        centers = torch.cat([centers, points[torch.cdist(points, centers).min(1).values.argmax()][None]])
    for _ in range(10):
        group = torch.cdist(points, centers).argmin(1)
        centers = torch.stack([points[group == g].mean(0) for g in group.unique().tolist()])
    return torch.cdist(points, centers).argmin(1)


def _shifts(points: Tensor, h: Tensor, group: Tensor, x: Tensor, epsilon: float) -> Float[Tensor, " groups"]:
    """Return what to add to the potentials of each group of points, so that the group receives its share of draws.

    It maximizes the dual over such shifts s by Newton's method, sum_g b_g s_g - mean_x max_g (M_g(x) + s_g), where
    M_g(x) is the largest score of a point of the group. Without entropy, the maximum over groups is smoothed.
    """
    groups = int(group.max()) + 1
    share = torch.bincount(group, minlength=groups).double() / len(group)
    members = [(group == g).nonzero()[:, 0] for g in range(groups)]
    scores = []
    for part in x.split(max(1, CHUNK // len(points))):
        score = torch.addmm(h, part, points.T)
        rows = [score[:, rows] for rows in members]
        best = [row.max(1).values if not epsilon else (row * 2 / epsilon).logsumexp(1) * epsilon / 2 for row in rows]
        scores.append(torch.stack(best, 1))
    top, shift = torch.cat(scores), torch.zeros_like(share)
    for temperature in [epsilon / 2] if epsilon else [part * float(top.std()) for part in SMOOTHING]:
        for _ in range(20):
            p = ((top + shift.to(top)) / temperature).softmax(1)
            mass = p.double().mean(0)
            hessian = (mass.diag() - (p.T @ p).double() / len(p)) / temperature
            # The dual does not change with a shift of all groups: their sum is held.
            step = torch.linalg.solve(hessian + 1 / groups, share - mass)
            limit = 4 * temperature / step.abs().max().clamp(min=4 * temperature)
            shift += limit * step
            if step.abs().max() < 1e-3 * temperature:
                break
    return shift.to(h)


def inequality(
    points: Float[Tensor, "n d"],
    h: Float[Tensor, " n"],
    draw: Callable[[int], Float[Tensor, "b d"]],
    count: int,
    epsilon: float = 0.0,
) -> float:
    """Return chi2 = n sum_j q_j^2 - 1 of the masses q_j that the points receive; 0 if they are equal.

    It is estimated without bias from `count` draws.
    """
    size = max(1, min(count, CHUNK // len(points)))
    batches = max(1, math.ceil(count / size))
    mass, square = torch.stack([_mass(draw(size), points, h, epsilon) for _ in range(batches)]).double().sum(0)
    total = size * batches
    return float(len(points) * (mass.square() - square).sum() / (total * (total - 1.0)) - 1)


def _mass(x: Tensor, points: Tensor, h: Tensor, epsilon: float) -> Float[Tensor, "2 n"]:
    """Return the sums over draws of the probabilities to go to each point, and of their squares."""
    if not epsilon:
        count = torch.bincount(assign(x, points, h, 0.0, torch.Generator()), minlength=len(points)).to(x)
        return count.expand(2, -1)
    share = torch.softmax(torch.addmm(h, x, points.T) * (2 / epsilon), 1)
    return torch.stack([share.sum(0), share.square().sum(0)])
