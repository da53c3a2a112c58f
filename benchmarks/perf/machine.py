"""A description of the machine on which a speed table was measured."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    *("torch", "numpy", "scipy", "POT", "torchdiffeq", "torchcfm", "torchdyn", "zuko", "jax"),
    *("clean-fid", "torch-fidelity", "torchmetrics", "benchopt"),
)


def described(load: float, took: float) -> str:
    """Say how to read the table and on which machine it was measured.

    Args:
        load: load average when the measurement began.
        took: duration of the measurement in seconds.
    """
    cores = os.cpu_count() or 1
    busy = f" **The machine was busy: load {load:.1f} on {cores} cores at the start.**" if load > 0.5 * cores else ""
    return (
        "Each row times genbench and a peer on the same work, alternating in one process, with equal numbers of "
        'threads and equal precision. A figure with "x" is the time of the peer divided by the time of genbench: above '
        '1x, genbench is faster. A figure with "%" is the cost of one part of genbench relative to the peer. Figures '
        "are medians over rounds. Times of 2D training are per step of one model. Made by `make bench`.\n\n"
        f"{here()} It took {took / 60:.0f} minutes.{busy}"
    )


def here() -> str:
    """Describe this machine and the installed versions."""
    versions = ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name)))
    return (
        f"{_processor()}, {os.cpu_count() or 1} cores, {_memory()}, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}; {versions}."
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    return text.partition("model name")[2].partition(":")[2].partition("\n")[0].strip() or platform.processor()


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    except (OSError, ValueError):
        return "memory unknown"
