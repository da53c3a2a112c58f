"""Start-up time of the command line, each call in a new process."""

import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from shutil import which

from harness import Row, Sides


def command(*words: str) -> Callable[[], None]:
    """Return a function that calls an installed command. Raises ImportError if it is not installed."""
    found = which(words[0], path=sysconfig.get_path("scripts")) or which(words[0])
    if found is None:
        raise ImportError(f"{words[0]} is not installed")

    def run() -> None:
        subprocess.run([found, *words[1:]], check=True, capture_output=True, cwd=Path(__file__).parents[2])

    return run


def rows() -> list[Row]:
    """Return the rows of start-up times."""

    def sides(*words: str) -> Callable[[], Sides]:
        return lambda: Sides(command("genbench", *words), command("benchopt", "--help"))

    shared = {"peer": "benchopt --help", "kind": "seconds"}
    return [
        Row(name="startup-help", work="genbench --help", sides=sides("--help"), aim=0.3, **shared),
        Row(name="startup-list", work="genbench list", sides=sides("list"), aim=0.5, **shared),
    ]
