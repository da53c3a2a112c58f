"""Training on 2D data: genbench against the loop of torchcfm's 2D tutorial, on the same task, net and batch."""

from collections.abc import Callable

import torch
from harness import Row, Sides

from genbench.config import bind, call
from genbench.registry import datasets, models
from genbench.train import Plan, fabric_of, fit

TASK = "8gaussians-moons"
BATCH = 256
STEPS = 200


def torchcfm_loop(matcher: str, steps: int, *, drawn: bool = False) -> Callable[[], None]:
    """Return the tutorial's training loop.

    Args:
        matcher: class of torchcfm that pairs the batch.
        steps: optimiser steps of one call.
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


def genbench_loop(name: str, steps: int) -> Callable[[], None]:
    """Return the training of one model by genbench, from its first step."""
    data = datasets[TASK].build()
    build = models[name].build
    plan = Plan(steps=steps, batch_size=BATCH)
    settings = bind(build, {"sigma": 0.1}, name, context=data.event)

    def loop() -> None:
        model = call(build, data.event, data.source, settings=settings)
        fit(model, data, plan, fabric_of(plan, "cpu"), seed=0)

    return loop


def rows() -> list[Row]:
    """Return the rows of training."""

    def one(name: str, matcher: str, drawn: bool = False) -> Callable[[], Sides]:
        return lambda: Sides(genbench_loop(name, STEPS), torchcfm_loop(matcher, STEPS, drawn=drawn), (STEPS, STEPS))

    plain, paired = "ConditionalFlowMatcher", "ExactOptimalTransportConditionalFlowMatcher"
    return [
        Row(
            name="2d-cfm-single",
            work="2D training step, CFM, one model",
            peer="torchcfm's loop",
            sides=one("cfm", plain),
        ),
        Row(name="2d-wcfm-single", work="the same, W-CFM", peer="torchcfm's loop (CFM)", sides=one("wcfm", plain)),
        Row(name="2d-otcfm-single", work="the same, OT-CFM", peer="torchcfm's loop", sides=one("otcfm", paired)),
        Row(
            name="2d-cfm-drawn",
            work="the same, CFM, peer's data drawn beforehand",
            peer="torchcfm's loop",
            sides=one("cfm", plain, True),
        ),
    ]
