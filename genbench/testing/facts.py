"""Facts: small statements that raise AssertionError, with a sentence that says which fact is violated."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from genbench.settings import settings_of


def explained(builder: Callable, name: str) -> None:
    """Check that every setting of a builder says what it means, and the builder what it is."""
    assert (builder.__doc__ or "").strip(), f"{name} has no docstring: its first line is what `genbench list` shows"
    for setting in settings_of(builder).values():
        assert setting.meaning, f"the setting {name}.{setting.name} has no meaning: explain it under Args"


def reasoned(refusal: Exception, who: str) -> str:
    """Return the reason of a refusal, which has to be there."""
    reason = str(refusal)
    if not reason:
        raise AssertionError(f"{who} refuses, and must say why")
    return reason


def same(one: Tensor, other: Tensor, sentence: str, tolerance: float = 0.0) -> None:
    """Check that two tensors agree in shape and values."""
    assert one.shape == other.shape, f"{sentence}: shapes {tuple(one.shape)} and {tuple(other.shape)}"
    if one.numel() and not torch.equal(one, other):
        worst = float((one.double() - other.double()).abs().max())
        scale = 1 + float(other.double().abs().max())
        assert worst <= tolerance * scale, f"{sentence}: they differ by {worst:.2g}"


def finite(x: Tensor, what: str) -> None:
    """Check that no number is NaN or infinite."""
    assert bool(torch.isfinite(x).all()), f"{what} must be finite"


@contextmanager
def own_randomness(what: str) -> Iterator[None]:
    """Check that a block leaves the global random state alone: randomness comes from the generator or the seed."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(before, torch.get_rng_state()), f"{what} must not draw from the global random state"


def copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a copy of a state that later training does not change."""
    return {name: value.detach().clone() for name, value in state.items()}


def unchanged(before: Mapping[str, Tensor], after: Mapping[str, Tensor], what: str) -> None:
    """Check that no parameter or buffer has changed."""
    for name, value in before.items():
        assert torch.equal(value, after[name]), f"{what} must be pure, and changes '{name}'"
