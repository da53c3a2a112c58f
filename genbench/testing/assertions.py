"""Assertions: each raises AssertionError with a sentence that says which requirement is violated."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from genbench.settings import settings_of


def assert_documented(builder: Callable, name: str) -> None:
    """Check that a builder has a docstring and every setting of it a meaning."""
    assert (builder.__doc__ or "").strip(), f"{name} has no docstring: its first line is what `genbench list` shows"
    for setting in settings_of(builder).values():
        assert setting.meaning, f"the setting {name}.{setting.name} has no meaning: explain it under Args"


def reason_of(refusal: Exception, name: str) -> str:
    """Return the reason of a refusal, which must not be empty."""
    assert str(refusal), f"{name} raises Unsupported without a reason, and must give one"
    return str(refusal)


def assert_equal(one: Tensor, other: Tensor, sentence: str, tolerance: float = 0.0) -> None:
    """Check that two tensors agree in shape and values, up to the tolerance times 1 + the largest value."""
    assert one.shape == other.shape, f"{sentence}: shapes {tuple(one.shape)} and {tuple(other.shape)}"
    if one.numel() and not torch.equal(one, other):
        worst = float((one.double() - other.double()).abs().max())
        scale = 1 + float(other.double().abs().max())
        assert worst <= tolerance * scale, f"{sentence}: they differ by {worst:.2g}"


def assert_finite(x: Tensor, what: str) -> None:
    """Check that no number is NaN or infinite."""
    assert bool(torch.isfinite(x).all()), f"{what} must be finite"


@contextmanager
def no_global_randomness(what: str) -> Iterator[None]:
    """Check that a block leaves the global random state alone: randomness comes from the generator or the seed."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(before, torch.get_rng_state()), f"{what} must not draw from the global random state"


@contextmanager
def state_unchanged(module: torch.nn.Module, what: str) -> Iterator[None]:
    """Check that a block changes no parameter and no buffer."""
    before = {name: value.clone() for name, value in module.state_dict().items()}
    yield
    for name, value in module.state_dict().items():
        assert torch.equal(before[name], value), f"{what} must be pure, but it changes '{name}'"
