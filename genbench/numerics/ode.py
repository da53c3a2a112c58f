"""ODEs: solve, follow, and carry a density along, over torchdiffeq, counting every evaluation of the field."""

import warnings
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from genbench.errors import RunFailed

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torchdiffeq import odeint

Method = Literal["dopri5", "euler", "midpoint", "heun", "rk4"]
Field = Callable[[Tensor, Any], Any]
"""(t, state) -> d state / dt; the state is a tensor, or a tuple of tensors that are solved together."""

STAGES = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4}
"""Evaluations a step of each fixed-step method."""

_TORCHDIFFEQ = {"heun": "heun2"}


class Solution(NamedTuple):
    """Where the ODE arrives, and how many evaluations of the field that took."""

    x: Any
    nfe: int


def integrate(
    field: Field,
    x: Float[Tensor, "b *event"],
    t0: float = 0.0,
    t1: float = 1.0,
    *,
    method: Method = "dopri5",
    steps: int = 0,
    tol: float = 1e-5,
) -> Solution:
    """Solve dx/dt = field(t, x) from t0 to t1.

    Args:
        field: the velocity, (t, x) -> dx/dt.
        x: the state at t0.
        t0: start.
        t1: end.
        method: dopri5 is adaptive and takes its tolerance; the others take exactly `steps` equal steps.
        steps: number of steps of a fixed-step method.
        tol: relative and absolute tolerance of dopri5.

    Raises:
        RunFailed: if the adaptive step underflows, as with a field that is not finite.
    """
    path, nfe = trajectory(field, x, torch.tensor([t0, t1]), method=method, steps=steps, tol=tol)
    return Solution(path[-1], nfe)


def trajectory(
    field: Field,
    x: Any,
    times: Float[Tensor, " times"],
    *,
    method: Method = "dopri5",
    steps: int = 0,
    tol: float = 1e-5,
) -> Solution:
    """Solve the ODE and return the state at each of the given times (first axis), starting at times[0].

    A fixed-step method takes `steps` equal steps over the whole span, and must meet every requested time:
    the number of intervals has to divide them. The state may be a tuple of tensors.
    """
    state = x if isinstance(x, Tensor) else x[0]
    times = times.to(state.device, state.dtype if state.dtype == torch.float64 else torch.float32)
    counted = 0

    def count(t: Tensor, y: Any) -> Any:
        nonlocal counted
        counted += 1
        return field(t, y)

    options: dict[str, Any] = {}
    if method != "dopri5":
        if steps < 1 or steps % (len(times) - 1):
            raise ValueError(f"{method} needs a number of steps that {len(times) - 1} intervals divide, not {steps}")
        # The grid is given whole: torchdiffeq's step_size makes one step too many for some step counts.
        grid = torch.linspace(float(times[0]), float(times[-1]), steps + 1, dtype=torch.float64).to(times)
        grid[:: steps // (len(times) - 1)] = times
        options["grid_constructor"] = lambda func, y0, t: grid
    try:
        path = odeint(
            count, x, times, rtol=tol, atol=tol, method=_TORCHDIFFEQ.get(method, method), options=options or None
        )
    except AssertionError as error:
        raise RunFailed(f"{method} cannot continue at tolerance {tol:g}: {error}") from error
    return Solution(path, counted)


def log_density(
    field: Field,
    x: Float[Tensor, "b *event"],
    log_source: Callable[[Tensor], Float[Tensor, " b"]],
    *,
    probes: Float[Tensor, "probes b *event"] | None = None,
    method: Method = "dopri5",
    steps: int = 0,
    tol: float = 1e-5,
) -> Solution:
    """Return the log-density in nats of x under the flow of the field from the source at t = 0 to t = 1.

    The instantaneous change of variables d log p / dt = -div v (Chen et al., 2018), solved from 1 to 0 together
    with the state.

    Args:
        field: the velocity, (t, x) -> dx/dt.
        x: points at t = 1.
        log_source: log-density at t = 0.
        probes: Rademacher probes of Hutchinson's estimator (Grathwohl et al., 2019), kept along the trajectory;
            None takes the exact trace, one backward pass a dimension.
        method: solver, as in `integrate`.
        steps: number of steps of a fixed-step method.
        tol: tolerance of dopri5.
    """

    def augmented(t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            y = state[0].detach().requires_grad_()
            v = field(t, y)
            if probes is None:
                div = _trace(v, y)
            else:
                div = torch.stack([_product(v, y, p, keep=i < len(probes) - 1) for i, p in enumerate(probes)]).mean(0)
        return v.detach(), div.detach()

    with torch.no_grad():
        start = (x, torch.zeros(len(x), dtype=x.dtype, device=x.device))
        (path, change), nfe = trajectory(
            augmented, start, torch.tensor([1.0, 0.0]), method=method, steps=steps, tol=tol
        )
        return Solution(log_source(path[-1]) + change[-1], nfe)


def rademacher(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw +-1 with equal probability."""
    return torch.randint(0, 2, shape, generator=generator, device=generator.device).float() * 2 - 1


def _trace(v: Tensor, y: Tensor) -> Float[Tensor, " b"]:
    flat = v.flatten(1)
    total = torch.zeros(len(y), dtype=y.dtype, device=y.device)
    for i in range(flat.shape[1]):
        (row,) = torch.autograd.grad(flat[:, i].sum(), y, retain_graph=i + 1 < flat.shape[1])
        total = total + row.flatten(1)[:, i]
    return total


def _product(v: Tensor, y: Tensor, probe: Tensor, *, keep: bool) -> Float[Tensor, " b"]:
    (row,) = torch.autograd.grad(v, y, probe, retain_graph=keep)
    return (row * probe).flatten(1).sum(1)
