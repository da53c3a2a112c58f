"""Training on 2D data: genbench and the loop of torchcfm's 2D tutorial, on the same task, network and batch size.

Times are per step and model, from the first step to trained weights, including preparation and data. Both sides have
one thread: genbench draws the plans of OT-CFM in the thread that trains, as in a worker of a sweep.
"""

import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
from harness import Row, Sides
from jax_loop import jax_loop

from genbench.core import Learner, Model
from genbench.registry import datasets, models
from genbench.settings import bind, call
from genbench.training.ensemble import Ensemble
from genbench.training.loop import fit
from genbench.training.plan import Plan
from genbench.training.process_group import start_group

TASK = "8gaussians-moons"
BATCH = 256
STEPS = 200
SEEDS = 10


def torchcfm_loop(matcher: str, steps: int, *, drawn: bool = False) -> Callable[[], None]:
    """Return the tutorial's training loop.

    Args:
        matcher: class of torchcfm that pairs the batch.
        steps: optimizer steps of one call.
        drawn: whether data is drawn beforehand, once, instead of in every step.
    """
    from torchcfm import conditional_flow_matching
    from torchcfm.models.models import MLP
    from torchcfm.utils import sample_8gaussians, sample_moons

    torch.manual_seed(0)
    net = MLP(dim=2, time_varying=True)
    optimizer = torch.optim.Adam(net.parameters())
    match = getattr(conditional_flow_matching, matcher)(sigma=0.1)
    kept = (sample_8gaussians(BATCH), sample_moons(BATCH))

    def loop() -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            x0, x1 = kept if drawn else (sample_8gaussians(BATCH), sample_moons(BATCH))
            t, xt, ut = match.sample_location_and_conditional_flow(x0, x1)
            vt = net(torch.cat([xt, t[:, None]], dim=-1))
            loss = torch.mean((vt - ut) ** 2)
            loss.backward()
            optimizer.step()

    return loop


def genbench_loop(
    name: str, steps: int, seeds: int, batch: int = BATCH, task: str = TASK, *, compiled: bool = False, **of_task: Any
) -> Callable[[], Learner]:
    """Return the training of one model, or of several as an ensemble, with these settings."""
    data, build = datasets[task].build(**of_task), models[name].build
    plan = Plan(steps=steps, batch_size=batch, compile=compiled)
    settings = bind(build, {"sigma": 0.1}, name, context=data.event)

    def model() -> Model:
        return call(build, data.event, data.source, settings=settings)

    def loop() -> Learner:
        learner = model() if seeds == 1 else Ensemble([model() for _ in range(seeds)], range(seeds))
        with mock.patch("genbench.training.loop.second_thread_allowed", return_value=False):
            return fit(learner, data, plan, start_group("cpu"), seed=0)

    return loop


def _seconds(loop: Callable[[], object]) -> float:
    began = time.perf_counter()
    loop()
    return time.perf_counter() - began


def rows() -> list[Row]:
    """Return the rows of training."""
    plain, paired = "ConditionalFlowMatcher", "ExactOptimalTransportConditionalFlowMatcher"

    def row(name: str, model: str, matcher: str, seeds: int, aim: float | None, *, compiled: bool = False) -> Row:
        def sides() -> Sides:
            ours, theirs = genbench_loop(model, STEPS, seeds, compiled=compiled), torchcfm_loop(matcher, STEPS)
            note = f"{_seconds(ours):.0f} s of compilation not included" if compiled else ""
            return Sides(ours, theirs, (seeds * STEPS, STEPS), note)

        how = f"{seeds} seeds as one ensemble" if seeds > 1 else "one model"
        return Row(
            name=f"2d-{name}",
            work=f"2D training, {model}, {how}" + (", plan.compile" if compiled else ""),
            peer=f"torchcfm's loop ({'OT-CFM' if matcher == paired else 'CFM'})",
            sides=sides,
            aim=aim,
        )

    def beside_jax(name: str, aim: float | None, *, compiled: bool = False) -> Row:
        def sides() -> Sides:
            ours, theirs = genbench_loop("cfm", STEPS, SEEDS, compiled=compiled), jax_loop(STEPS, SEEDS, BATCH)
            compilation = _seconds(ours) if compiled else 0.0, _seconds(theirs)
            note = "{:.0f} s and {:.0f} s of compilation not included".format(*compilation)
            return Sides(ours, theirs, (SEEDS * STEPS, SEEDS * STEPS), note)

        how = f"{SEEDS} seeds as one ensemble" + (", plan.compile" if compiled else "")
        peer = "JAX: vmap over seeds, scan over steps"
        return Row(name=name, work=f"2D training, cfm, {how}", peer=peer, sides=sides, aim=aim)

    return [
        row("cfm", "cfm", plain, SEEDS, 10.0),
        row("wcfm", "wcfm", plain, SEEDS, 10.0),
        row("otcfm", "otcfm", paired, SEEDS, 3.0),
        row("compiled-cfm", "cfm", plain, SEEDS, 10.0, compiled=True),
        row("compiled-wcfm", "wcfm", plain, SEEDS, 10.0, compiled=True),
        row("compiled-otcfm", "otcfm", paired, SEEDS, 3.0, compiled=True),
        beside_jax("2d-jax", None),
        beside_jax("2d-jax-compiled", 1.0, compiled=True),
        row("single-cfm", "cfm", plain, 1, None),
        row("single-otcfm", "otcfm", paired, 1, None),
        Row(
            name="2d-drawn",
            work=f"2D training, cfm, {SEEDS} seeds as one ensemble",
            peer="torchcfm's loop (CFM) on data drawn in advance",
            sides=lambda: Sides(
                genbench_loop("cfm", STEPS, SEEDS), torchcfm_loop(plain, STEPS, drawn=True), (SEEDS * STEPS, STEPS)
            ),
        ),
    ]
