"""The geometry of the paths by which an ODE carries noise to samples."""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from genbench.config import Count
from genbench.core import Data, noise
from genbench.evaluate import Evaluation, Value
from genbench.metrics.distance import w2_squared
from genbench.ode import trajectory
from genbench.registry import metrics
from genbench.seeds import derive, generator


class Paths(NamedTuple):
    """What is integrated along the paths, one number a path."""

    energy: Float64[Tensor, " n"]
    """Integral of |v|^2."""
    straightness: Float64[Tensor, " n"]
    """Integral of |(z1 - z0) - v|^2."""
    length: Float64[Tensor, " n"]
    """Integral of |v|."""
    distance: Float64[Tensor, " n"]
    """|z1 - z0|."""


@metrics.register("path_energy", version=1, better="lower", of="model")
def path_energy(evaluation: Evaluation, *, n: Count = 2048, steps: Count = 64) -> Value:
    """Path energy E integral |v|^2 dt along the learned ODE, in model space.

    Tong et al., 2023, https://arxiv.org/abs/2302.00482.

    Args:
        n: paths.
        steps: rk4 steps, whose ends are the nodes of Simpson's rule (an even number).
    """
    return Value(_paths(evaluation, n, steps).energy.mean().item(), n, _protocol(steps))


@metrics.register("straightness", version=1, better="lower", of="model")
def straightness(evaluation: Evaluation, *, n: Count = 2048, steps: Count = 64) -> Value:
    """Straightness E integral |(z1 - z0) - v|^2 dt along the learned ODE: 0 for straight paths at constant speed.

    Liu et al., 2023, https://arxiv.org/abs/2209.03003.

    Args:
        n: paths.
        steps: rk4 steps, whose ends are the nodes of Simpson's rule (an even number).
    """
    return Value(_paths(evaluation, n, steps).straightness.mean().item(), n, _protocol(steps))


@metrics.register("npe", version=1, better="lower", of="model")
def npe(evaluation: Evaluation, *, n: Count = 2048, steps: Count = 64) -> list[Value]:
    """Normalised path energy |PE - W2^2| / W2^2, and its two signed parts.

    Tong et al., 2023, https://arxiv.org/abs/2302.00482. PE - W2^2 is the straightness (part `path`) plus what the
    squared displacement exceeds W2^2 by (part `transport`). A flow to the wrong marginal can make the second negative,
    and NPE then rewards it: read the parts.

    Args:
        n: paths.
        steps: rk4 steps, whose ends are the nodes of Simpson's rule (an even number).
    """
    paths = _paths(evaluation, n, steps)
    squared, how = task_distance(evaluation.data)
    protocol = f"{_protocol(steps)}; W2^2 {squared:.4g} {how}"
    path = paths.straightness.mean().item() / squared
    transport = paths.distance.square().mean().item() / squared - 1
    return [
        Value(abs(paths.energy.mean().item() / squared - 1), n, protocol),
        Value(path, n, protocol, part="path"),
        Value(transport, n, protocol, part="transport"),
    ]


@metrics.register("curvature", version=1, better="lower", of="model")
def curvature(evaluation: Evaluation, *, n: Count = 2048, steps: Count = 64) -> Value:
    """Curvature 1 - E|z1 - z0| / E length of the path: 0 for straight paths, whatever their speed.

    Args:
        n: paths.
        steps: rk4 steps, whose ends are the nodes of Simpson's rule (an even number).
    """
    paths = _paths(evaluation, n, steps)
    # A ratio of means: a mean of ratios is dominated by the paths that hardly move.
    return Value(1 - (paths.distance.mean() / paths.length.mean()).item(), n, _protocol(steps))


def _protocol(steps: int) -> str:
    return f"rk4 {steps} steps, Simpson"


def _paths(evaluation: Evaluation, n: int, steps: int) -> Paths:
    return evaluation.shared(("paths", n, steps), lambda: follow(evaluation, n, steps))


@torch.no_grad()
def follow(evaluation: Evaluation, n: int, steps: int) -> Paths:
    """Integrate along n paths from the noise of the evaluation, the same for every model.

    Raises:
        Unsupported: if the samples do not follow an ODE.
        ValueError: if the number of steps is odd.
    """
    model = evaluation.transport()
    if steps % 2:
        raise ValueError(f"Simpson's rule needs an even number of steps, not {steps}")
    device = next(model.parameters()).device
    times = torch.linspace(0, 1, steps + 1)
    weights = torch.full((steps + 1,), 2.0, dtype=torch.float64)
    weights[1::2], weights[0], weights[-1] = 4.0, 1.0, 1.0
    weights /= 3 * steps
    label = torch.arange(n) % model.event.classes if model.conditional else None
    parts = []
    for start in range(0, n, evaluation.batch):
        count = min(evaluation.batch, n - start)
        z0 = noise(model.source, count, evaluation.seed, start=start).to(device)
        asked = None if label is None else label[start : start + count].to(device)
        path, _ = trajectory(
            lambda t, x, asked=asked: model.velocity(t, x, asked), z0, times, method="rk4", steps=steps
        )
        move = (path[-1] - path[0]).double().flatten(1)
        energy, straight, length = (torch.zeros(count, dtype=torch.float64, device=device) for _ in range(3))
        for t, z, weight in zip(times, path, weights, strict=True):
            v = model.velocity(t.to(device), z, asked).double().flatten(1)
            square = v.square().sum(1)
            energy += weight * square
            straight += weight * (move - v).square().sum(1)
            length += weight * square.sqrt()
        parts.append(Paths(energy.cpu(), straight.cpu(), length.cpu(), move.norm(dim=1).cpu()))
    return Paths(*(torch.cat(column) for column in zip(*parts, strict=True)))


@lru_cache(maxsize=64)
def task_distance(data: Data) -> tuple[float, str]:
    """Return W2^2 between source and data in model space, and how it is known.

    Where it has no closed form it is the mean exact plan between four pairs of 2048 held-out samples, the same for
    every model and seed; the error of 2048 points makes it too high by some tenths of a percent.
    """
    if data.truth.w2_squared is not None:
        return data.truth.w2_squared, "in closed form"
    n, values = 2048, []
    for i in range(4):
        x0 = data.source.sample(n, generator(i, "task distance"))
        x1 = data.test.take(min(n, data.test.size or n), derive(i, "task distance")).x
        values.append(w2_squared(x0[: len(x1)].double().flatten(1), x1.double().flatten(1)))
    return sum(values) / len(values), "from 4 exact plans of 2048"
