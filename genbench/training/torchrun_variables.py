"""The environment variables by which torchrun tells a process its place; they are checked before torch is imported."""

import os

from genbench.errors import ConfigError


def by_torchrun() -> bool:
    """Return whether torchrun has started this process."""
    return "LOCAL_WORLD_SIZE" in os.environ


def local_rank() -> int:
    """Return which process of this machine this is; 0 without the variables.

    Raises:
        ConfigError: if one of them is not a whole number.
    """
    for name in ("RANK", "LOCAL_WORLD_SIZE", "WORLD_SIZE"):  # refused here, before torch is imported
        variable(name, "0")
    return variable("LOCAL_RANK", "0")


def variable(name: str, default: str = "") -> int:
    """Return the value of a variable that torchrun sets. Raises ConfigError if it is not a whole number."""
    value = os.environ.get(name, default)
    if not value.isdecimal():
        raise ConfigError(f"{name}={value or 'unset'} is not a whole number: start with torchrun, or unset it")
    return int(value)
