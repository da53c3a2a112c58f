"""Faults of devices, planted one by one: how many does the proof find? `python -m fake_gpu.mutations [PATTERN]`.

Each is planted in a copy of the package, in a process forked from one that has imported torch but not genbench, and
only the cases that reach it are proven.
"""

import compileall
import os
import re
import shutil
import sys
import tempfile
import time
import tomllib
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from fake_gpu import device

ROOT = Path(__file__).parents[2]


class Mutation(NamedTuple):
    """One planted fault, as mutations.toml has it."""

    what: str
    file: str
    old: str
    new: str
    cases: tuple[str, str]


def mutations(pattern: str) -> list[Mutation]:
    """Return those of mutations.toml whose file or description matches."""
    table = tomllib.loads(Path(__file__).with_name("mutations.toml").read_text("utf-8"))["mutation"]
    return [Mutation(**each) for each in table if re.search(pattern, f"{each['file']} {each['what']}")]


def main(pattern: str = "") -> None:
    """Plant each mutation whose file or description matches, print what became of it, and count."""
    device.install()
    import_module("torch").set_num_threads(1)
    for slow in ("torchdiffeq", "ot", "scipy.stats", "sklearn.datasets", "pydantic", "torchmetrics.image", "zuko"):
        import_module(slow)
    caught, missed = [], []
    sound: list[tuple[str, str]] = []  # cases that pass where nothing is planted
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "genbench", f"{folder}/genbench", ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(folder, quiet=2)
        sys.path.insert(0, folder)
        sys.dont_write_bytecode = True
        for mutation in mutations(pattern):
            path = Path(folder) / "genbench" / mutation.file
            if mutation.cases not in sound:
                sound.append(mutation.cases)
                wrong = in_child(mutation, folder)
                assert not wrong, f"before anything is planted: {wrong}"
            path.write_text(path.read_text("utf-8").replace(mutation.old, mutation.new), "utf-8")
            verdict = in_child(mutation, folder)
            shutil.copy2(ROOT / path.relative_to(folder), path)
            (caught if verdict else missed).append(mutation)
            print(f"{verdict or 'MISSED'}: {mutation.file}: {mutation.what}: {mutation.new[:70]!r}", flush=True)
    print(f"{len(caught)} of {len(caught) + len(missed)} mutations are caught")


def in_child(mutation: Mutation, folder: str, patience: float = 120.0) -> str:
    """Return how the proof finds a planted mutation, in a process of its own; nothing if it does not."""
    result = Path(folder) / "result.txt"
    result.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        try:
            result.write_text(proof_of(mutation, folder), "utf-8")
        except BaseException as error:
            result.write_text(f"caught at import: {error!r}"[:300], "utf-8")
        finally:
            os._exit(0)
    end = time.monotonic() + patience
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.kill(child, 9)
            os.waitpid(child, 0)
            return f"caught: it does not end within {patience:.0f} s"
        time.sleep(0.05)
    return result.read_text("utf-8") if result.exists() else "caught: the process ended"


def proof_of(mutation: Mutation, folder: str) -> str:
    """Prove the cases of a mutation in this process."""
    from fake_gpu.expectations import violations

    os.environ["GENBENCH_HOME"] = f"{folder}/home"
    group, pattern = mutation.cases
    proven = 0
    for name, prove in import_module(f"fake_gpu.{group}").cases():
        if re.search(pattern, name):
            proven += 1
            if wrong := violations(prove()):
                return f"caught by '{name}': {wrong[0][:160]}"
    assert proven, f"no case of {group} is called {pattern}"
    return ""


if __name__ == "__main__":
    main(*sys.argv[1:])
