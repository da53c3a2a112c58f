"""The library of the fake device, compiled once for each version of torch and of its source, and kept."""

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

SOURCE = Path(__file__).with_name("device.cpp")
FLAGS = ("-std=c++20", "-O1", "-fPIC", "-shared", "-w", "-DNDEBUG")
"""Without NDEBUG some classes of torch have other members than in its libraries."""


def unavailable() -> str | None:
    """Return why there is no fake device here; None if there is one."""
    if not re.search(r"^cuda\b.*= None$", (torch_folder() / "version.py").read_text("utf-8"), re.MULTILINE):
        return "torch is built for CUDA, whose device takes the place of the fake one"
    if shutil.which(_compiler()) is None:
        return f"there is no C++ compiler ({_compiler()}) to build the fake device with"
    if not (torch_folder() / "include" / "ATen" / "ATen.h").exists():
        return "torch was installed without the headers that the fake device needs"
    return None


def library() -> Path:
    """Return the compiled library, and compile it first where it is missing; other processes wait meanwhile."""
    made_from = f"{version('torch')} {_compiler()} {FLAGS} {SOURCE.read_text('utf-8')}"
    key = hashlib.sha256(made_from.encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"genbench-fake-gpu-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    built = folder / f"{key}.so"
    with open(folder / f"{key}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            _compile(built)
    return built


def _compile(built: Path) -> None:
    torch, unfinished = torch_folder(), built.with_suffix(".part")
    includes = [f"-I{torch / 'include' / folder}" for folder in (".", "torch/csrc/api/include")]
    links = [f"-L{torch / 'lib'}", "-ltorch_cpu", "-lc10"]
    command = [_compiler(), *FLAGS, *includes, str(SOURCE), "-o", str(unfinished), *links]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the fake device does not compile with torch {version('torch')}:\n{done.stderr[-3000:]}")
    unfinished.rename(built)


def _compiler() -> str:
    return os.environ.get("CXX", "g++")


def torch_folder() -> Path:
    """Return the folder of torch, which is not imported: the library has to be loaded before it."""
    found = importlib.util.find_spec("torch")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent
