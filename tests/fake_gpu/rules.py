"""The rules of the device itself: what it refuses, what makes the host wait, and what it must not change."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from fake_gpu import device
from fake_gpu.proof import Cases, check


def cases() -> Cases:
    for rule in (refusals, waits, products, views, sizes, generators, modes):
        name = f"rule of {rule.__name__}"
        yield name, partial(check, name, rule)


def refused(work: Callable[[], Any]) -> bool:
    try:
        work()
    except RuntimeError as error:
        return "device" in str(error)
    return False


def refusals() -> None:
    """Operands and generators of two devices do not meet; numbers of the CPU may."""
    x, cpu = torch.ones(3, device="cuda"), torch.ones(3)
    assert refused(lambda: x + cpu)
    assert refused(lambda: x + torch.ones(3, device="cuda:1"))
    assert refused(lambda: torch.cat([x, cpu]))
    assert refused(lambda: torch.stack([x[0], torch.tensor(1.0)]))
    assert refused(lambda: torch.where(cpu > 0, x, 0.0))
    assert refused(lambda: torch.rand(3, device="cuda", generator=torch.Generator()))
    assert refused(lambda: torch.rand(3, generator=torch.Generator("cuda")))
    assert refused(lambda: torch.nn.functional.linear(x, torch.ones(3, 3)))
    assert (x + torch.tensor(1.0)).device == x.device


def waits() -> None:
    """The host waits for values, for shapes that depend on values, and for copies that are not pinned."""
    x = torch.arange(4.0, device="cuda")
    pinned = torch.ones(4).pin_memory()
    assert pinned.is_pinned()
    for work, expected in (
        (lambda: x.sum().item(), 1),
        (lambda: x.cpu(), 1),
        (lambda: torch.ones(4).to("cuda"), 1),
        (lambda: torch.tensor([1.0, 2.0], device="cuda"), 1),
        (lambda: pinned.to("cuda"), 1),
        (lambda: x.nonzero(), 1),
        (lambda: x[x > 1], 1),
        (lambda: x[torch.tensor([0, 1])], 1),
        (lambda: bool((x > 1).all()), 1),
        (lambda: pinned.to("cuda", non_blocking=True), 0),
        (lambda: x[x.long()], 0),
        (lambda: x.masked_fill(x > 1, 0.0).sum() * 2 + torch.zeros((), device="cuda"), 0),
    ):
        with device.watch() as seen:
            work()
        assert len(seen.waits) == expected, seen.waits


def products() -> None:
    """Products of the host are seen, those of the device are not, whatever kernel computes them."""
    a = torch.ones(2, 2)
    with device.watch() as seen:
        _ = a.to("cuda") @ a.to("cuda"), torch.cdist(a.to("cuda"), a.to("cuda"))
    assert not seen.host_products
    with device.watch() as seen:
        _ = a @ a
    assert [op for op, _ in seen.host_products] == ["aten::mm"]


def views() -> None:
    """A view shares memory, also with a tensor that is written in place."""
    x = torch.zeros(4, 4, device="cuda")
    x[1].copy_(torch.ones(4, device="cuda"))
    x.t()[2] += 1
    x.view(2, 8)[0, 0] = 5
    assert x.sum().item() == 13


def sizes() -> None:
    """Operators that resize their result, and storages that are set."""
    out = torch.empty(0, device="cuda")
    torch.add(torch.ones(3, device="cuda"), 1, out=out)
    assert out.tolist() == [2, 2, 2]
    assert out.resize_(2).tolist() == [2, 2]
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.data = torch.ones(3, device="cuda")
    assert parameter.sum().item() == 3


def generators() -> None:
    """A seed gives the numbers of the CPU; dropout draws from the device's stream, which is saved and restored."""

    def dropped() -> Tensor:
        return torch.nn.functional.dropout(torch.ones(64, device="cuda"), 0.5)

    own = torch.rand(3, device="cuda", generator=torch.Generator("cuda").manual_seed(5)).cpu()
    assert torch.equal(own, torch.rand(3, generator=torch.Generator().manual_seed(5)))
    torch.cuda.manual_seed(1)
    first = dropped()
    with torch.random.fork_rng(devices=[0]):
        second = dropped()
    assert not torch.equal(first, second)
    assert torch.equal(second, dropped())
    torch.manual_seed(1)
    torch.ones(3).bernoulli_()
    assert torch.equal(first, dropped())


def modes() -> None:
    """Inference mode, autocast and derivatives are those of the device."""
    x = torch.ones(2, 2, device="cuda", requires_grad=True)
    with torch.inference_mode():
        assert (x.t() * 2).is_inference()
    with torch.autocast("cuda", torch.bfloat16):
        assert (x @ x).dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert (x @ x).dtype == torch.float32
    (x @ x).sum().backward()
    assert x.grad is not None
    assert x.grad.device == x.device
