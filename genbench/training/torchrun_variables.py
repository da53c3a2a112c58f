"""The environment variables by which torchrun tells a process its place; they are checked before torch is imported."""

import os

from genbench.errors import ConfigError


def local_rank() -> int:
    """Return which process of this machine this is; 0 without the variables.

    Raises:
        ConfigError: if one of them is not a whole number.
    """
    rank, *_ = [variable(name, "0") for name in ("LOCAL_RANK", "RANK", "LOCAL_WORLD_SIZE", "WORLD_SIZE")]
    return rank


def variable(name: str, default: str = "") -> int:
    """Return the value of a variable that torchrun sets. Raises ConfigError if it is not a whole number."""
    value = os.environ.get(name, default)
    if not value.isdecimal():
        raise ConfigError(f"{name}={value or 'unset'} is not a whole number: start with torchrun, or unset it")
    return int(value)
