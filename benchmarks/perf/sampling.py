"""Sampling by ODE: genbench compared with torchcfm, which uses torchdiffeq and torchdyn in its examples.

Both networks have equal weights and solve from equal noise at equal tolerance; the states and the numbers of
evaluations are checked to be equal.
"""

import copy
from collections.abc import Callable
from functools import partial

import torch
from harness import Row, Sides
from torch import Tensor, nn

from genbench.core import Model, Normal
from genbench.metrics.sampling import noise
from genbench.numerics.ode import trajectory
from genbench.registry import datasets, models
from genbench.settings import bind, call
from genbench.training.loop import fit
from genbench.training.plan import Plan
from genbench.training.process_group import start_group


class Counted(nn.Module):
    """A field that counts its evaluations."""

    def __init__(self, field: nn.Module) -> None:
        super().__init__()
        self.field, self.evaluations = field, 0

    def forward(self, t: Tensor, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        """Return the value of the field; torchdyn passes additional arguments."""
        self.evaluations += 1
        return self.field(t, x)


def of_the_plane() -> tuple[nn.Module, Model]:
    """Return torchcfm's wrapped MLP and a genbench model with equal weights, trained for 500 steps."""
    from torchcfm.models.models import MLP
    from torchcfm.utils import torch_wrapper

    data, build = datasets["8gaussians-moons"].build(), models["cfm"].build
    model = call(build, data.event, data.source, settings=bind(build, {}, "cfm", context=data.event))
    plan = Plan(steps=500)
    fit(model, data, plan, start_group("cpu"), seed=0)
    reference = MLP(dim=2, time_varying=True)
    with torch.no_grad():
        for a, b in zip(reference.parameters(), model.net.parameters(), strict=True):
            a.copy_(b)
    return torch_wrapper(reference), model.eval()


def of_images() -> tuple[nn.Module, Model]:
    """Return torchcfm's CIFAR-10 U-Net and a genbench model with equal weights."""
    from unet import build

    reference, model = build()
    return reference.eval(), model.eval()


def checked(x: Tensor, nfe: float, y: Tensor, evaluations: int) -> None:
    """Raise AssertionError if two solutions differ."""
    torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-3)
    if nfe != evaluations:
        raise AssertionError(f"{nfe:g} evaluations of ours, {evaluations} of the peer's")


def dopri5(nets: tuple[nn.Module, Model], x0: Tensor, tol: float, count: int = 2) -> Sides:
    """Return dopri5 by torchdiffeq at this many times from 0 to 1.

    torchcfm's compute_fid.py stores two times. Its 2D tutorials store 100 by torchdyn, which starts the solver anew at
    each of them, with 20 times as many evaluations: torchdiffeq interpolates, as genbench does.
    """
    from torchdiffeq import odeint

    field, model, times = Counted(nets[0]), nets[1], torch.linspace(0, 1, count)

    @torch.no_grad()
    def theirs() -> Tensor:
        return odeint(field, x0, times, rtol=tol, atol=tol, method="dopri5")

    @torch.no_grad()
    def ours() -> object:
        return model.sample(x0, tol=tol) if count == 2 else trajectory(model.velocity, x0, times, tol=tol)

    x, nfe = ours()
    y = theirs()
    checked(x, nfe, y[-1] if count == 2 else y, field.evaluations)
    stored = f"{count} times per trajectory; " if count > 2 else ""
    return Sides(ours, theirs, note=f"{stored}NFE {nfe:g} on both sides")


def euler(nets: tuple[nn.Module, Model], x0: Tensor, steps: int) -> Sides:
    """Return Euler's method as in torchcfm's compute_fid.py, by torchdyn."""
    from torchdyn.core import NeuralODE

    field, model = Counted(nets[0]), nets[1]
    node = NeuralODE(field, solver="euler")

    @torch.no_grad()
    def theirs() -> Tensor:
        return node.trajectory(x0, t_span=torch.linspace(0, 1, steps + 1))[-1]

    @torch.no_grad()
    def ours() -> object:
        return model.sample(x0, method="euler", steps=steps)

    x, nfe = ours()
    field.evaluations = 0
    checked(x, nfe, theirs(), field.evaluations)
    return Sides(ours, theirs, note=f"NFE {nfe:g} on both sides")


def stacked(nets: tuple[nn.Module, Model], x0: Tensor, steps: int) -> Sides:
    """Return Euler's method for ten models, as one ensemble and one after the other."""
    from torch.func import functional_call, stack_module_state, vmap

    fields: list[nn.Module] = [copy.deepcopy(nets[1].net) for _ in range(10)]  # type: ignore[arg-type]
    parameters, _ = stack_module_state(fields)
    batches, times = x0[None].repeat(10, 1, 1), torch.arange(steps) / steps

    def at(own: dict[str, Tensor], x: Tensor, t: Tensor) -> Tensor:
        return functional_call(fields[0], own, (t, x, None))

    @torch.no_grad()
    def together() -> Tensor:
        x = batches
        for t in times:
            x = x + vmap(at, (0, 0, None))(parameters, x, t) / steps
        return x

    @torch.no_grad()
    def in_turn() -> Tensor:
        return torch.stack([_euler(field, x, times) for field, x in zip(fields, batches, strict=True)])

    torch.testing.assert_close(together(), in_turn(), rtol=1e-3, atol=1e-3)
    return Sides(together, in_turn, note="one model of 2,048 rows already saturates a core")


def _euler(field: nn.Module, x: Tensor, times: Tensor) -> Tensor:
    for t in times:
        x = x + field(t, x, None) / len(times)
    return x


def rows() -> list[Row]:
    """Return the rows of sampling."""

    def plane(how: Callable[..., Sides], setting: float) -> Callable[[], Sides]:
        def sides() -> Sides:
            nets = of_the_plane()
            return how(nets, noise(nets[1].source, 2048, 0), setting)

        return sides

    def images(how: Callable[..., Sides], setting: float, n: int) -> Callable[[], Sides]:
        return lambda: how(of_images(), noise(Normal((3, 32, 32)), n, 0), setting)

    return [
        Row(
            name="sample-2d-stacked",
            work="10 x 2048 samples in 2D, Euler, 100 steps, as one ensemble",
            peer="the same, one after the other",
            sides=plane(stacked, 100),
            aim=5.0,
        ),
        Row(
            name="sample-2d-euler",
            work="2048 samples in 2D, Euler, 100 steps",
            peer="torchcfm, torchdyn",
            sides=plane(euler, 100),
            aim=1.05,
            rounds=9,
        ),
        Row(
            name="sample-2d-dopri5",
            work="2048 samples in 2D, dopri5, tolerance 1e-5",
            peer="torchcfm, torchdiffeq",
            sides=plane(dopri5, 1e-5),
            aim=1.2,
            rounds=9,
        ),
        Row(
            name="sample-2d-trajectory",
            work="2048 trajectories in 2D, dopri5, tolerance 1e-4",
            peer="torchcfm, torchdiffeq",
            sides=plane(partial(dopri5, count=100), 1e-4),
            aim=1.2,
            rounds=9,
        ),
        Row(
            name="sample-cifar-euler",
            work="8 images of CIFAR size, Euler, 4 steps",
            peer="torchcfm, torchdyn",
            sides=images(euler, 4, 8),
            aim=1.05,
            rounds=3,
            threads=2,
        ),
        Row(
            name="sample-cifar-dopri5",
            work="8 images of CIFAR size, dopri5, tolerance 1e-3",
            peer="torchcfm, torchdiffeq",
            sides=images(dopri5, 1e-3, 8),
            aim=1.2,
            rounds=3,
            threads=2,
        ),
    ]
