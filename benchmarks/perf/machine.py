"""What speed tables are measured on: the machine, the versions of libraries, and the code of genbench."""

import os
import platform
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from genbench.runs.provenance import code

PACKAGES = (
    *("torch", "numpy", "scipy", "POT", "torchdiffeq", "torchcfm", "torchdyn", "zuko", "jax"),
    *("clean-fid", "torch-fidelity", "torchmetrics", "benchopt"),
)


def here() -> str:
    """Describe this machine, the installed versions, the code and the day."""
    return f"{hardware()} Measured on {date.today().isoformat()}, genbench {commit()}."


def commit() -> str:
    """Return the commit of genbench, in short, or its version if it runs from no checkout."""
    own = code()
    return f"{own.get('commit', own['genbench'])[:8]}{' with uncommitted changes' if own.get('dirty') else ''}"


def hardware() -> str:
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
