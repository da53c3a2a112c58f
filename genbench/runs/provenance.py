"""Provenance: what a number depends on in addition to its spec, and what it cost."""

import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import torch

from genbench.runs.record_types import Code, Machine, Origin

LIBRARIES = ("torch", "torchvision", "torchdiffeq", "POT", "numpy", "pillow", "scikit-learn", "scipy")


@lru_cache
def code() -> dict[str, Any]:
    """Return the version of genbench and, if it runs from its own checkout, the commit."""
    package = Path(__file__).resolve().parents[1]
    description: dict[str, Any] = {"genbench": _version("genbench")}
    # Only a checkout that tracks this file is genbench's; the working directory may be another repository.
    if _git(package, "ls-files", "--error-unmatch", "runs/provenance.py") is not None:
        description["commit"] = _git(package, "rev-parse", "HEAD")
        description["dirty"] = bool(_git(package, "status", "--porcelain", "--untracked-files=no", "--", "."))
    return description


def machine(device: torch.device) -> dict[str, Any]:
    """Return the versions and the hardware of this process."""
    description = {"python": platform.python_version(), "system": platform.system(), "machine": platform.machine()}
    description |= {"processor": _processor(), "cores": os.cpu_count(), "device": str(device.type)}
    if device.type == "cuda":
        description["device"] = torch.cuda.get_device_name(device)
    return description | {"libraries": {name: _version(name) for name in LIBRARIES}}


def origin(device: torch.device, cost: Mapping[str, float], **versions: int) -> Origin:
    """Return the origin of something that this process made, with its cost rounded.

    Args:
        versions: versions of parts of genbench, such as its training.
    """
    spent = {name: round(value, 4) for name, value in cost.items()}
    return {"code": cast(Code, code() | versions), "machine": cast(Machine, machine(device)), "cost": spent}


class Meter:
    """Measures the wall seconds of a block and the peak memory of the process meanwhile.

    On CPU, memory is the resident memory of the whole process, with libraries, data, caches and leftovers of earlier
    blocks; on CUDA, it is the memory of all tensors on the device.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = 0.0
        self.peak_mib = 0.0

    def __enter__(self) -> "Meter":
        with suppress(OSError):  # only Linux can start a new high-water mark; elsewhere it covers the whole process
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self._start = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            self.peak_mib = torch.cuda.max_memory_allocated(self.device) / 2**20
        else:
            self.peak_mib = _peak_mib()
        self.seconds = time.perf_counter() - self._start


def _peak_mib() -> float:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, ValueError, IndexError):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        return text.partition("model name")[2].partition(":")[2].partition("\n")[0].strip() or platform.processor()
    except OSError:
        return platform.processor()


@lru_cache
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
