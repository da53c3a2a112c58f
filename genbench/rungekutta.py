"""Explicit Runge-Kutta methods for one ODE, or for several side by side that each choose steps of their own.

A method is data. Whatever it computes is y + h sum_i w_i k_i for some weights w: a stage, a step, the estimate of the
error, and the state anywhere within a step.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]

Field = Callable[[Float[Tensor, " s"], Float[Tensor, "s *state"]], Float[Tensor, "s *state"]]
"""(t, y) -> dy/dt of s systems, each at a time of its own."""


class Tableau(NamedTuple):
    """k_i = f(t + c_i h, y + h sum_j a_ij k_j) for each stage; y(t + h) = y + h sum_i b_i k_i."""

    c: tuple[float, ...]
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]


FIXED = {
    "euler": Tableau((0,), ((),), (1,)),
    "midpoint": Tableau((0, 1 / 2), ((), (1 / 2,)), (0, 1)),
    "heun": Tableau((0, 1), ((), (1,)), (1 / 2, 1 / 2)),
    # The 3/8 rule of Kutta: the error of the usual fourth order is larger.
    "rk4": Tableau((0, 1 / 3, 2 / 3, 1), ((), (1 / 3,), (-1 / 3, 1), (1, -1, 1)), (1 / 8, 3 / 8, 3 / 8, 1 / 8)),
}
"""Methods of equal steps."""

DOPRI5 = Tableau(
    (0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1),
    (
        (),
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0),
)
"""Dormand and Prince (1980); the last stage is the first of the next step."""

ERROR = np.array(DOPRI5.b) - [1951 / 21600, 0, 22642 / 50085, 451 / 720, -12231 / 42400, 649 / 6300, 1 / 60]
"""Weights of the difference from an embedded method of fourth order (Shampine, 1986)."""

MIDDLE = np.array(
    [
        6025192743 / 60171106304,
        0,
        51252292925 / 130801643196,
        -2691868925 / 90256659456,
        187940372067 / 3189068634112,
        -1776094331 / 39487288512,
        11237099 / 470086768,
    ]
)
"""Weights of the state in the middle of a step (Shampine, 1986)."""

ORDER, SAFETY, SHRINK, GROW = 5, 0.9, 0.2, 10.0


class Underflow(ArithmeticError):
    """The adaptive step vanished: the field is not finite, or the tolerance is out of reach."""


def fixed(field: Field, y: Float[Tensor, "s *state"], grid: Array, method: str, every: int) -> Tensor:
    """Step from each point of the grid to the next, and return the state at every so many points, the first included.

    Args:
        field: of all systems at one time.
        y: the states at grid[0].
        grid: times of all steps.
        method: a key of FIXED.
        every: points of the grid from one returned state to the next.
    """
    path, tableau, steps = [y], FIXED[method], np.diff(grid)
    times = _tensor(grid[:-1, None] + steps[:, None] * tableau.c, y)
    for i, h in enumerate(steps.tolist()):
        y = _move(y, h, tableau.b, _stages(field, times[i].expand(len(y), -1), h, y, [], tableau))
        if (i + 1) % every == 0:
            path.append(y)
    return torch.stack(path)


def adaptive(
    field: Field, y: Float[Tensor, "s *state"], times: Array, tol: float, parts: tuple[int, ...] = ()
) -> tuple[Tensor, list[int]]:
    """Follow each system by DOPRI5, with steps of its own, and return states at the times and evaluations of each.

    An error is measured in units of tol (1 + |y|), as its root mean square over the state.

    Args:
        field: of all systems; it is asked about those that have arrived until all have.
        y: the states at times[0].
        times: ascending.
        tol: relative and absolute tolerance.
        parts: sizes of the parts of a flat state, such as points and log-densities; the largest error counts.

    Raises:
        Underflow: if a step vanishes.

    Reference: Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, 1993, II.4.
    """
    path = y.new_empty(len(times), *y.shape)
    path[0] = y
    t, place = np.full(len(y), times[0]), np.ones(len(y), dtype=int)
    slope = field(_tensor(t, y), y)
    h = _first(field, t, y, slope, tol, parts)
    evaluations = np.full(len(y), 2)
    while (moving := place < len(times)).any():
        if not (t + h > t)[moving].all():
            raise Underflow(f"the step vanishes at t = {t[moving].min():g}")
        k = _stages(field, _tensor(t[:, None] + h[:, None] * DOPRI5.c, y), h, y, [slope], DOPRI5)
        evaluations += 6 * moving
        new = _move(y, h, DOPRI5.b, k)
        scale = torch.maximum(y.abs(), new.abs()).mul_(tol).add_(tol)
        error = _norm(_move(torch.zeros_like(y), h, ERROR, k).div_(scale), parts)
        accepted = moving & (error <= 1)
        for system in np.flatnonzero(accepted):
            end = t[system] + h[system]
            while place[system] < len(times) and times[place[system]] <= end:
                inside = (times[place[system]] - t[system]) / h[system]
                path[place[system], system] = _inside(inside, slice(system, system + 1), y, h, k)
                place[system] += 1
        t = np.where(accepted, t + h, t)
        if accepted.all():
            y, slope = new, k[-1]
        elif accepted.any():
            chosen = torch.from_numpy(accepted).to(y.device).view(-1, *[1] * (y.dim() - 1))
            y, slope = torch.where(chosen, new, y), torch.where(chosen, k[-1], slope)
        with np.errstate(divide="ignore"):
            factor = SAFETY / error ** (1 / ORDER)
        h = h * np.clip(factor, np.where(error < 1, 1.0, SHRINK), GROW)
    return path, evaluations.tolist()


def _stages(
    field: Field, times: Float[Tensor, "s stages"], h: Array | float, y: Tensor, k: list[Tensor], tableau: Tableau
) -> list[Tensor]:
    """Return all stages; k has those that are known."""
    for i in range(len(k), len(tableau.c)):
        k.append(field(times[:, i], _move(y, h, tableau.a[i], k)))
    return k


def _move(y: Tensor, h: Array | float, weights: tuple[float, ...] | Array, k: list[Tensor]) -> Tensor:
    """Return y + h sum_i w_i k_i, with one h, or one of each system."""
    one = (None if len(h) > 1 else float(h[0])) if isinstance(h, np.ndarray) else h
    for weight, slope in zip(weights, k, strict=False):
        if weight and one is not None:
            y = torch.add(y, slope, alpha=weight * one)
        elif weight:
            y = torch.addcmul(y, slope, _tensor(weight * np.asarray(h), y).view(-1, *[1] * (y.dim() - 1)))
    return y


def _inside(part: float, system: slice, y: Tensor, h: Array, k: list[Tensor]) -> Tensor:
    """Return the state of one system at a part of the step, on the quartic through both ends and the middle."""
    p2, p3, p4 = part**2, part**3, part**4
    weights = (-5 * p2 + 14 * p3 - 8 * p4) * np.array(DOPRI5.b) + 16 * (p2 - 2 * p3 + p4) * MIDDLE
    weights[0] += part - 4 * p2 + 5 * p3 - 2 * p4
    weights[-1] += p2 - 3 * p3 + 2 * p4
    return _move(y[system], h[system], weights, [slope[system] for slope in k])[0]


def _first(field: Field, t: Array, y: Tensor, slope: Tensor, tol: float, parts: tuple[int, ...]) -> Array:
    """Return the first step: small enough that an explicit Euler step changes little."""
    scale = y.abs().mul_(tol).add_(tol)
    size, speed = _norm(y / scale, parts), _norm(slope / scale, parts)
    small = (size < 1e-5) | (speed < 1e-5)
    h = np.where(small, 1e-6, 0.01 * size / np.where(small, 1.0, speed))
    there = field(_tensor(t + h, y), _move(y, h, (1.0,), [slope]))
    steepest = np.maximum(speed, _norm((there - slope) / scale, parts) / h)
    flat = steepest <= 1e-15
    later = np.where(flat, np.maximum(1e-6, h * 1e-3), (0.01 / np.where(flat, 1.0, steepest)) ** (1 / ORDER))
    return np.minimum(100 * h, later)


def _norm(x: Tensor, parts: tuple[int, ...]) -> Array:
    """Return the root mean square of each system, the largest over its parts."""
    flat = x.flatten(1)
    means = [part.square().mean(1) for part in (flat.split(parts, 1) if parts else (flat,))]
    return np.sqrt(np.array((means[0] if len(means) == 1 else torch.stack(means).amax(0)).tolist()))


def _tensor(values: Array, like: Tensor) -> Tensor:
    return torch.from_numpy(values).to(like.device, like.dtype)
