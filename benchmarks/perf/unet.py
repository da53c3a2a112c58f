"""Time one CIFAR-10 training step of torchcfm and of genbench, with equal network, loss, optimizer and EMA.

    pip install 'genbench[perf]'
    python benchmarks/perf/unet.py --batch 16 --rounds 7 --threads 2
    python benchmarks/perf/unet.py --clock cpu --threads 1     # on a shared machine

Both networks get the same weights, and are first checked to compute the same function. A step draws noise, pairs it,
and computes loss, gradients, clipping, Adam and EMA: torchcfm as in its CIFAR-10 example, genbench as in
`genbench.training.loop.fit`. The steps of both alternate, so that other load on the machine slows both equally. Times
are medians over rounds; a ratio is the median of the ratios within a round, with its quartiles.

torchcfm's example trains in fp32. The columns "as it ships" compare with that; the columns "under autocast" run the
example's network in the same precision as genbench.
"""

import argparse
import copy
import statistics
import time
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


def ours(model: nn.Module, x1: Tensor, dtype: torch.dtype, compiled: bool = False) -> Callable[[], float]:
    """Return one step as `genbench.training.loop.fit` takes it."""
    module = torch.compile(model) if compiled else model
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
            loss = module(example)["loss"]
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


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Time a training step of torchcfm's U-Net against genbench's.")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: CPU time of all threads")
    parser.add_argument("--device", default="cpu", help="such as cuda; every step ends by waiting for it")
    parser.add_argument("--compile", action="store_true", help="also time genbench with plan.compile (needs g++)")
    arguments = parser.parse_args()
    clock = {"wall": time.perf_counter, "cpu": time.process_time}[arguments.clock]
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    reference, model = (side.to(device) for side in build())
    x1 = torch.rand(arguments.batch, *SHAPE, device=device) * 2 - 1
    steps: dict[str, Callable[[], float]] = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        steps[f"torchcfm {name}"] = theirs(copy.deepcopy(reference), x1, dtype)
        steps[f"genbench {name}"] = ours(copy.deepcopy(model), x1, dtype)
        if arguments.compile:
            steps[f"genbench {name} compiled"] = ours(copy.deepcopy(model), x1, dtype, compiled=True)
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for round in range(arguments.rounds + 1):
        for name, step in steps.items():
            start = clock()
            step()
            if round:  # round 0 is a warm-up
                taken[name].append(clock() - start)
    named = torch.cuda.get_device_name(device) if device.type == "cuda" else f"the {device.type}"
    print(
        f"torch {torch.__version__} on {named}, {arguments.threads} threads, batch {arguments.batch}, "
        f"{arguments.rounds} rounds, seconds of {arguments.clock} time a step\n\n"
        "| | s | torchcfm as it ships / this | quartiles | torchcfm under autocast / this | quartiles |\n"
        "|---|---|---|---|---|---|"
    )
    for name, seconds in taken.items():
        precision = name.split()[1]
        cells = [ratio(taken[f"torchcfm {other}"], seconds) for other in ("fp32", precision)]
        print(f"| {name} | {statistics.median(seconds):.2f} | {cells[0]} | {cells[1]} |")


def ratio(theirs: list[float], ours: list[float]) -> str:
    """Return two cells: the median of the ratios within each round, and their quartiles."""
    low, middle, high = statistics.quantiles([a / b for a, b in zip(theirs, ours, strict=True)], n=4)
    return f"{middle:.2f} | {low:.2f} to {high:.2f}"


if __name__ == "__main__":
    main()
