"""ODEs, solved by torchdiffeq with counted evaluations: states, trajectories, log-densities; SDEs in Euler steps."""

import hashlib
import math
import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from genbench.errors import RunFailed
from genbench.seeds import generator


class Solver(NamedTuple):
    """An ODE solver.

    Args:
        name: name of the solver in torchdiffeq.
        stages: field evaluations per step; None for adaptive solvers.
    """

    name: str
    stages: int | None


SOLVERS = {
    "dopri5": Solver("dopri5", None),
    "euler": Solver("euler", 1),
    "midpoint": Solver("midpoint", 2),
    "heun": Solver("heun2", 2),
    "rk4": Solver("rk4", 4),
}

MAX_EVALUATIONS = 100_000
"""Evaluations of a field after which an adaptive solver gives up; a useful model needs a few hundred."""

if TYPE_CHECKING:
    Method: TypeAlias = str
    FixedStepMethod: TypeAlias = str
else:
    Method = Literal[*SOLVERS]
    FixedStepMethod = Literal[*(name for name, solver in SOLVERS.items() if solver.stages)]

Field = Callable[[Tensor, Any], Any]
"""(t, state) -> d state / dt; the state is a tensor, or a tuple of tensors that are solved together."""


class Solution(NamedTuple):
    """States of the solution, and the number of field evaluations."""

    x: Any
    nfe: int


def integrate(
    field: Field,
    x: Float[Tensor, "b *event"],
    *,
    method: Method = "dopri5",
    steps: int = 0,
    tol: float = 1e-5,
) -> Solution:
    """Solve dx/dt = field(t, x) from t = 0, and return the state at t = 1.

    Args:
        method: an adaptive solver, which uses `tol`, or a fixed-step solver, which takes exactly `steps` equal steps.
        tol: relative and absolute tolerance of an adaptive solver.

    Raises:
        RunFailed: if the adaptive step underflows, for example because the field is not finite, or the solver needs too
            many evaluations.
    """
    path, nfe = _solve(field, x, torch.tensor([0.0, 1.0]), method, steps, tol)
    return Solution(path[-1], nfe)


def trajectory(field: Field, x: Any, times: Float[Tensor, " times"], *, tol: float = 1e-5) -> Solution:
    """Solve the ODE by dopri5 from state x at times[0], and return the states at all given times (first axis)."""
    return _solve(field, x, times, "dopri5", 0, tol)


def _solve(field: Field, x: Any, times: Float[Tensor, " times"], method: Method, steps: int, tol: float) -> Solution:
    state = x if isinstance(x, Tensor) else x[0]
    times = times.to(state.device, state.dtype if state.dtype == torch.float64 else torch.float32)
    nfe = 0

    def counted(t: Tensor, y: Any) -> Any:
        nonlocal nfe
        nfe += 1
        if nfe > MAX_EVALUATIONS and SOLVERS[method].stages is None:
            raise RunFailed(
                f"{method} takes more than {MAX_EVALUATIONS:,} evaluations at tolerance {tol:g}: the field diverges"
            )
        return field(t, y)

    with warnings.catch_warnings():  # imported here, since it takes a third of a second
        warnings.simplefilter("ignore")
        from torchdiffeq import odeint

    options: dict[str, Any] = {}
    if SOLVERS[method].stages is not None:
        # torchdiffeq's own step_size option takes one step too many for some numbers of steps.
        grid = torch.linspace(float(times[0]), float(times[1]), steps + 1, dtype=torch.float64).to(times)
        options["grid_constructor"] = lambda func, y0, t: grid
    try:
        path = odeint(counted, x, times, rtol=tol, atol=tol, method=SOLVERS[method].name, options=options or None)
    except AssertionError as error:
        raise RunFailed(f"{method} cannot continue at tolerance {tol:g}: {error}") from error
    return Solution(path, nfe)


def log_density(
    field: Field,
    x: Float[Tensor, "b *event"],
    log_source: Callable[[Tensor], Float[Tensor, " b"]],
    *,
    probes: Float[Tensor, "probes b *event"] | None = None,
    tol: float = 1e-5,
) -> Solution:
    """Return log p_1(x) in nats, where the flow of the field carries the source density p_0 to p_1.

    d log p / dt = -div v along trajectories (Chen et al., 2018), solved from t = 1 to 0 together with the state.

    Args:
        x: points at t = 1.
        log_source: log p_0.
        probes: Rademacher probes of Hutchinson's estimator of div v (Grathwohl et al., 2019), constant along the
            trajectory; None computes the exact trace with one backward pass per dimension.
        tol: relative and absolute tolerance of dopri5.
    """

    def augmented(t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            y = state[0].detach().requires_grad_()
            v = field(t, y)
            divergence = _exact_divergence(v, y) if probes is None else _estimated_divergence(v, y, probes)
        return v.detach(), divergence.detach()

    with torch.no_grad():
        start = (x, torch.zeros(len(x), dtype=x.dtype, device=x.device))
        (path, change), nfe = trajectory(augmented, start, torch.tensor([1.0, 0.0]), tol=tol)
        return Solution(log_source(path[-1]) + change[-1], nfe)


def rademacher(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw +1 or -1 with equal probability."""
    return torch.randint(0, 2, shape, generator=generator, device=generator.device).float() * 2 - 1


def _exact_divergence(v: Tensor, y: Tensor) -> Float[Tensor, " b"]:
    flat = v.flatten(1)
    total = torch.zeros(len(y), dtype=y.dtype, device=y.device)
    for i in range(flat.shape[1]):
        (gradient,) = torch.autograd.grad(flat[:, i].sum(), y, retain_graph=i + 1 < flat.shape[1])
        total = total + gradient.flatten(1)[:, i]
    return total


def _estimated_divergence(v: Tensor, y: Tensor, probes: Tensor) -> Float[Tensor, " b"]:
    estimates = []
    for i, probe in enumerate(probes):
        (product,) = torch.autograd.grad(v, y, probe, retain_graph=i + 1 < len(probes))
        estimates.append((product * probe).flatten(1).sum(1))
    return torch.stack(estimates).mean(0)


def euler_maruyama(
    drift: Callable[[Tensor, Tensor], Tensor],
    variance: Callable[[float], float],
    x: Float[Tensor, "b *event"],
    *,
    steps: int,
) -> Solution:
    """Solve dx = drift(t, x) dt + sqrt(variance(t)) dW from t = 0, and return the state at t = 1.

    Steps are equal. Each step uses the drift at its start and the variance at its end, so a variance that vanishes at
    t = 1 leaves no noise in the samples. The random numbers of a sample depend only on its start, not on the device or
    the batch.

    Args:
        variance: rate at which noise adds variance to x, as a function of t.
    """
    streams = [_stream_of(start) for start in x]
    for t, end in pairwise(torch.linspace(0, 1, steps + 1, dtype=torch.float64).tolist()):
        x = x + (end - t) * drift(torch.tensor(t, dtype=x.dtype, device=x.device), x)
        if spread := math.sqrt(variance(end) * (end - t)):
            noise = torch.stack([torch.randn(x.shape[1:], generator=stream) for stream in streams])
            x = x + spread * noise.to(x)
    return Solution(x, steps)


def _stream_of(start: Float[Tensor, "*event"]) -> torch.Generator:
    """Return the random stream of the sample that starts at this state."""
    return generator(0, "diffusion", hashlib.sha256(start.float().cpu().contiguous().numpy().data).hexdigest())
