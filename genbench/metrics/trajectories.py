"""Geometry of the paths from noise to samples, in model space."""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genbench.core import Event, Transport
from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation, Value
from genbench.metrics.sampling import batches, drawn_labels, starting_points
from genbench.metrics.wasserstein import source_to_data
from genbench.numerics.ode import trajectory
from genbench.registry import metrics
from genbench.settings import ByEvent, Count, Positive


def default_paths(event: Event) -> int:
    """Return the default number of paths."""
    return 2048 if event.is_vector else 256


N = Annotated[Count | None, ByEvent(default_paths), "number of paths; by default 2048 for vectors, 256 for images"]
Tol = Annotated[Positive, "tolerance of dopri5, which solves for path and integrals together"]

ROUGH = -0.01
"""Lower bound of values that are 0 for straight paths, up to the error of the solver."""


class Paths(NamedTuple):
    """Per path: energy, the integral of |v|^2; length, the integral of |v|; chord |z1 - z0|; in float64."""

    energy: Float[Tensor, " n"]
    length: Float[Tensor, " n"]
    chord: Float[Tensor, " n"]
    protocol: str

    def value(self, each: Float[Tensor, " n"]) -> Value:
        """Return the mean over paths with its standard error."""
        error = float(each.std(correction=0)) / len(each) ** 0.5
        return Value(float(each.mean()), len(each), self.protocol, details={"standard_error": error})


@metrics.register("path_energy", version=1, better="none", bounds=(0, None), of="model")
def path_energy(evaluation: Evaluation, *, n: N = None, tol: Tol = 1e-5) -> Value:
    """Path energy E integral |v(t, z_t)|^2 dt of the learned ODE, in model space.

    It is at least W2^2 between source and samples, with equality for optimal transport.

    Reference: Tong et al., 2024; Benamou and Brenier, 2000.
    """
    paths = _paths(evaluation, n, tol)
    return paths.value(paths.energy)


@metrics.register("straightness", version=1, better="lower", bounds=(ROUGH, None), of="model")
def straightness(evaluation: Evaluation, *, n: N = None, tol: Tol = 1e-5) -> Value:
    """Straightness E integral |z1 - z0 - v(t, z_t)|^2 dt of the learned ODE, in model space; 0 is straight.

    It equals the path energy minus E|z1 - z0|^2.

    Reference: Liu et al., 2023.
    """
    paths = _paths(evaluation, n, tol)
    return paths.value(paths.energy - paths.chord.square())


@metrics.register(
    "npe", version=1, better="lower", bounds={"": (0, None), "path": (ROUGH, None), "transport": (-1, None)}, of="model"
)
def npe(evaluation: Evaluation, *, n: N = None, tol: Tol = 1e-5) -> list[Value]:
    """Normalized path energy |PE - W2^2| / W2^2, with its two signed parts `path` and `transport`.

    `path` is the straightness over W2^2. `transport` is (E|z1 - z0|^2 - W2^2) / W2^2, negative where samples are closer
    to the noise than data is, as with tilted marginals. `npe` is the absolute value of their sum. W2 is the
    distance from source to data: exact where known, otherwise an estimate from samples that is the same for every
    model and within 2 % in up to four dimensions.

    Raises:
        Unsupported: if W2 is neither known nor estimable, the model has labels, or the paths do not start from the
            source of the task.

    Reference: Tong et al., 2024.
    """
    model, data = evaluation.ode_model(), evaluation.data
    if model.conditional:
        raise Unsupported("its paths move noise to each class, and W2 is that to all data")
    if model.source is not data.source and model.source != data.source:
        raise Unsupported("its paths do not start from the source of the task")
    distance = source_to_data(data)
    if distance.squared == 0:
        raise Unsupported("source and data are the same distribution, so that W2 is 0")
    paths = _paths(evaluation, n, tol)
    energy, chord = float(paths.energy.mean()), float(paths.chord.square().mean())
    protocol = f"{paths.protocol}, {distance.source}"
    details = {"w2_squared": distance.squared, "w2_squared_error": distance.error}

    def value(number: float, part: str) -> Value:
        better = "none" if part == "transport" else ""  # below 0 is no better than above
        return Value(number / distance.squared, len(paths.energy), protocol, part, details=details, better=better)

    return [
        value(abs(energy - distance.squared), ""),
        value(energy - chord, "path"),
        value(chord - distance.squared, "transport"),
    ]


@metrics.register("detour", version=1, better="lower", bounds=(ROUGH, 1), of="model")
def detour(evaluation: Evaluation, *, n: N = None, tol: Tol = 1e-5) -> Value:
    """Detour 1 - E|z1 - z0| / E length: the share of the path length of the learned ODE that straight lines would save.

    It is a ratio of means, so that paths that hardly move carry no weight. The curvature of Lee et al. (2023) is
    `straightness`.
    """
    paths = _paths(evaluation, n, tol)
    length = float(paths.length.mean())
    if length == 0:
        raise Unsupported("its paths have length 0")
    return Value(1 - float(paths.chord.mean()) / length, len(paths.length), paths.protocol)


def _paths(evaluation: Evaluation, n: int | None, tol: float) -> Paths:
    """Return the paths that start at the noise of the first n samples, solved once for all metrics."""
    inner, model = evaluation.inner, evaluation.model
    n = n or default_paths(inner.data.event)
    labels = None if model is None else drawn_labels(model, evaluation.data, n, evaluation.seed, evaluation.labels)
    return inner.cached(("paths", n, tol), lambda: _solve_paths(inner, labels, n, tol))


@torch.no_grad()
def _solve_paths(evaluation: Evaluation, labels: Int[Tensor, " n"] | None, n: int, tol: float) -> Paths:
    model = evaluation.ode_model()
    velocity = cast(Transport, model).velocity

    def solve(rows: range) -> list[Tensor]:
        z0, label = starting_points(model, rows, evaluation.seed, labels)
        return [each.cpu() for each in _solve_batch(velocity, z0, label, tol)]

    parts = evaluation.group.map(solve, batches(n, evaluation.batch))
    energy, length, chord = (torch.cat(part).double() for part in zip(*parts, strict=True))
    bad = int((~torch.isfinite(energy + chord)).sum())
    if bad:
        raise Unsupported(f"{bad} of {n} paths are not finite")
    protocol = f"{evaluation.space}, dopri5 tol {tol:g}, n={n}{evaluation.stated_labels}"
    return Paths(energy, length, chord, protocol)


def _solve_batch(
    velocity: Callable[..., Tensor], z0: Float[Tensor, "b *event"], label: Int[Tensor, " b"] | None, tol: float
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Solve dz/dt = v, dE/dt = |v|^2, dL/dt = |v| together, all to the same error; return E, L and |z1 - z0|."""

    def field(t: Tensor, state: Any) -> Any:
        v = velocity(t, state[0], label)
        square = v.flatten(1).square().sum(1)
        return v, square, square.sqrt()

    zero = z0.new_zeros(len(z0))
    (z, energy, length), _ = trajectory(field, (z0, zero, zero), torch.tensor([0.0, 1.0]), tol=tol)
    return energy[-1], length[-1], (z[-1] - z0).flatten(1).norm(dim=1)
