"""The rules of the device itself: what it refuses, and what makes the host wait."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from fake_gpu import device
from fake_gpu.proof import Cases, check


def cases() -> Cases:
    for rule in (refusals, waits, products):
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
