"""Time a sweep against the sum of its cells, each run in a separate process.

    python benchmarks/perf/reproduce.py synthetic digits --jobs 2
    python benchmarks/perf/reproduce.py synthetic --swept 480    # the sweep was timed before: 480 s

Cells that differ only in their seed take equal time, so one of each kind is run, as by `genbench run`, and counted once
per seed. Use a quiet machine. Both times include process start-up; the sweep begins with an empty results folder.
"""

import argparse
import shlex
import subprocess
import sysconfig
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from genbench.sweeps.shell_commands import command
from genbench.sweeps.suite import load

GENBENCH = str(Path(sysconfig.get_path("scripts")) / "genbench")


def timed(words: list[str]) -> float:
    """Return the wall-clock time of a command in seconds."""
    began = time.perf_counter()
    subprocess.run([GENBENCH, *words], check=True, capture_output=True)
    return time.perf_counter() - began


def swept(suite: Path, jobs: int) -> float:
    """Return the time of a sweep into an empty folder, in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        return timed(["sweep", str(suite), "--jobs", str(jobs), "--results", folder])


def alone(command: str) -> float:
    """Return the time of one cell run alone, not in an ensemble, in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        return timed([*shlex.split(command)[1:], "--results", folder])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="+", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--swept", nargs="+", type=float, help="seconds of each sweep, measured before")
    options = parser.parse_args()
    if options.swept and len(options.swept) != len(options.suites):
        parser.error("--swept needs as many numbers as there are suites")
    print("| suite | cells | one by one, s | sweep, s | faster |\n|---|---:|---:|---:|---:|")
    for i, suite in enumerate(options.suites):
        kinds = Counter(command(replace(spec, seed=0, stack=None)) for spec in load(suite, {}).specs)
        whole = options.swept[i] if options.swept else swept(suite, options.jobs)
        each = sum(count * alone(kind) for kind, count in kinds.items())
        print(f"| {suite.stem} | {kinds.total()} | {each:.0f} | {whole:.0f} | {each / whole:.1f}x |", flush=True)


if __name__ == "__main__":
    main()
