"""One CIFAR-10 training step of torchcfm and of genbench, with equal network, loss, optimizer and EMA.

Both networks get the same weights, and are first checked to compute the same function. A step draws noise, pairs it,
and computes loss, gradients, clipping, Adam and EMA: torchcfm as in its CIFAR-10 example, genbench as in
`genbench.training.loop.fit`.

torchcfm's example trains in fp32. The row "as it ships" compares with that; the row "under autocast" runs the example's
network in the same precision as genbench.
"""

import copy
from collections.abc import Callable

import torch
from harness import Row, Sides
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from genbench.core import Batch, Event, Normal
from genbench.registry import models
from genbench.settings import bind, call
from genbench.training.optimizer import Adam
from genbench.training.plan import Plan

SHAPE = (3, 32, 32)
PLAN = Plan(optimizer="adam", lr=2e-4, clip=1.0, ema=0.9999)


def theirs(net: nn.Module, x1: Tensor, dtype: torch.dtype) -> Callable[[], float]:
    """Return one step of torchcfm's CIFAR-10 example."""
    from torchcfm.conditional_flow_matching import ConditionalFlowMatcher

    matcher = ConditionalFlowMatcher(sigma=0.0)
    average = copy.deepcopy(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(step, 5000) / 5000)
    net.train()

    def step() -> float:
        optimizer.zero_grad()
        t, xt, ut = matcher.sample_location_and_conditional_flow(torch.randn_like(x1), x1)
        with torch.autocast(x1.device.type, dtype, enabled=dtype != torch.float32):
            loss = torch.mean((net(t, xt) - ut) ** 2)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        new, kept = net.state_dict(), average.state_dict()
        for name in new:
            kept[name].data.copy_(kept[name].data * 0.9999 + new[name].data * (1 - 0.9999))
        return loss.item()

    return step


def ours(model: nn.Module, x1: Tensor, dtype: torch.dtype) -> Callable[[], float]:
    """Return one step as `genbench.training.loop.fit` takes it."""
    trained = list(model.parameters())
    average = [parameter.detach().clone() for parameter in trained]
    optimizer = Adam(trained, PLAN.optimizer, betas=PLAN.betas)
    update = get_ema_multi_avg_fn(PLAN.ema)
    generator = torch.Generator(x1.device).manual_seed(0)
    batch = Batch(x1, torch.zeros(len(x1), dtype=torch.long, device=x1.device))
    model.train()

    def step() -> float:
        example = model.draw(batch, generator)
        with torch.autocast(x1.device.type, dtype, enabled=dtype != torch.float32):
            loss = model(example)["loss"]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, PLAN.clip)
        optimizer.step(PLAN.lr)
        update(average, [parameter.detach() for parameter in trained], 0)
        return loss.item()

    return step


def build() -> tuple[nn.Module, nn.Module]:
    """Return torchcfm's network and a genbench model with equal, non-zero weights; check that their outputs agree."""
    from torchcfm.models.unet.unet import UNetModelWrapper

    torch.manual_seed(0)
    reference = UNetModelWrapper(
        dim=SHAPE,
        num_res_blocks=2,
        num_channels=128,
        channel_mult=[1, 2, 2, 2],
        num_heads=4,
        num_head_channels=64,
        attention_resolutions="16",
        dropout=0.1,
    )
    event, cfm = Event(SHAPE), models["cfm"].build
    model = call(cfm, event, Normal(SHAPE), settings=bind(cfm, {}, "cfm", context=event))
    with torch.no_grad():
        for a, b in zip(reference.parameters(), model.net.parameters(), strict=True):
            a.add_(0.02 * torch.randn_like(a))
            b.copy_(a.view(b.shape))
        t, x = torch.rand(2), torch.randn(2, *SHAPE)
        torch.testing.assert_close(reference.eval()(t, x), model.net.eval()(t, x), rtol=1e-4, atol=1e-4)
    return reference, model


def rows() -> list[Row]:
    """Return the rows of the U-Net training step."""
    batch = 8

    def sides(of_peer: torch.dtype, of_ours: torch.dtype) -> Callable[[], Sides]:
        def build_both() -> Sides:
            reference, model = build()
            x1 = torch.rand(batch, *SHAPE) * 2 - 1
            return Sides(
                ours(model, x1, of_ours),
                theirs(reference, x1, of_peer),
                (batch, batch),
                f"time per image, batch {batch}",
            )

        return build_both

    fp32, bf16 = torch.float32, torch.bfloat16
    work, shared = "CIFAR-10 training, the U-Net of 35.7 M", {"rounds": 5, "threads": 2}
    return [
        Row(name="unet-fp32", work=f"{work}, fp32", peer="torchcfm", sides=sides(fp32, fp32), aim=1.2, **shared),
        Row(
            name="unet-bf16",
            work=f"{work}, bf16",
            peer="torchcfm as it ships (fp32)",
            sides=sides(fp32, bf16),
            aim=2.0,
            **shared,
        ),
        Row(
            name="unet-autocast",
            work=f"{work}, bf16",
            peer="torchcfm under autocast",
            sides=sides(bf16, bf16),
            **shared,
        ),
    ]
