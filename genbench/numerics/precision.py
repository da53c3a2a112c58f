"""Kernels of a GPU: the precision of float32 arithmetic, and whether they are deterministic."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

from genbench.errors import ConfigError, first_line


@contextmanager
def float32_products(precision: Literal["ieee", "tf32"]) -> Iterator[None]:
    """Compute float32 products and convolutions on a GPU in IEEE float32, or in TF32, for the duration of a block.

    TF32 rounds inputs to 10 bits. Without this block, torch uses TF32 for convolutions but not for products. The
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


@contextmanager
def deterministic_kernels(wanted: bool) -> Iterator[None]:
    """Let torch choose kernels, if wanted, that give equal results for equal inputs, for the duration of a block.

    Raises:
        ConfigError: if an operation has no such kernel.
    """
    if not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it at its first use
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        raise ConfigError(f"plan.deterministic=true is impossible here: {first_line(error)}") from error
    finally:
        torch.use_deterministic_algorithms(before)


def _flags() -> list[tuple[Any, str, dict[str, Any]]]:
    """Return each flag as an object, the name of its attribute, and its values by precision."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(products, "fp32_precision"):  # torch refuses to read the older flags once these differ
        values = {"ieee": "ieee", "tf32": "tf32"}
        return [(each, "fp32_precision", values) for each in (products, convolutions.conv, convolutions.rnn)]  # type: ignore[attr-defined]
    return [(each, "allow_tf32", {"ieee": False, "tf32": True}) for each in (products, convolutions)]
