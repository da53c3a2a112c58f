"""Precision of float32 arithmetic on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch


@contextmanager
def float32_products(precision: Literal["ieee", "tf32"]) -> Iterator[None]:
    """Compute float32 products and convolutions on a GPU in IEEE float32, or in TF32, for the duration of a block.

    TF32 rounds their inputs to 10 bits. Without this block, torch uses it for convolutions but not for products. The
    flags belong to the process; the block restores the previous ones. CPUs ignore them.
    """
    flags = _flags()
    before = [getattr(operator, name) for operator, name, _ in flags]
    try:
        for operator, name, values in flags:
            setattr(operator, name, values[precision])
        yield
    finally:
        for (operator, name, _), value in zip(flags, before, strict=True):
            setattr(operator, name, value)


def _flags() -> list[tuple[Any, str, dict[str, Any]]]:
    """Return each flag as an object, the name of its attribute, and its values by precision."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(products, "fp32_precision"):  # torch refuses to read the older flags once these differ
        values = {"ieee": "ieee", "tf32": "tf32"}
        return [(each, "fp32_precision", values) for each in (products, convolutions.conv, convolutions.rnn)]  # type: ignore[attr-defined]
    return [(each, "allow_tf32", {"ieee": False, "tf32": True}) for each in (products, convolutions)]
