"""Options and output shared by commands."""

import json
import os
import sys
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genbench.errors import ConfigError, RunFailed
from genbench.storage import files

if TYPE_CHECKING:
    from rich.console import Console


def _folder(value: Path) -> Path:
    """Return a checked results folder, before torch is imported."""
    files.require_folder(value)
    return value


class Logger(StrEnum):
    """Where a run also logs."""

    tensorboard = "tensorboard"
    wandb = "wandb"


_quiet = False


def _set_quiet(value: bool) -> bool:
    """Show no progress, for this command."""
    global _quiet
    _quiet = value
    return value


Results = Annotated[Path, typer.Option("--results", help="Results folder.", callback=_folder)]
Set = Annotated[list[str] | None, typer.Option("--set", help="A setting: section.name=value. Repeatable.")]
Jobs = Annotated[int, typer.Option(min=1, help="Number of processes.")]
Log = Annotated[list[Logger] | None, typer.Option(help="Also log to TensorBoard or Weights & Biases. Repeatable.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else.")]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Open files and downloads that are named in records by other authors. "
        "--trust FILE.py executes this file and opens nothing. Give both to do both.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress, only the result.", callback=_set_quiet)]
Full = Annotated[
    bool,
    typer.Option(
        "--full",
        help="Also print protocols, the curve of quality against NFE, training speed and peak memory.",
    ),
]
Open = Annotated[bool, typer.Option("--open", help="Open the page or picture in a browser.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be done, without doing it.")]


def stdout() -> "Console":
    """Return the console of results: 80 columns wide where stdout is not a terminal."""
    from rich.console import Console

    return Console(width=None if sys.stdout and sys.stdout.isatty() else 80)


def stderr() -> "Console":
    """Return the console of progress, as wide as the console of results.

    FORCE_COLOR asks for colors, but does not turn a file into a terminal.
    """
    from rich.console import Console

    class Progress(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # a run goes on after an OSError, and fails if rich ends the process

    terminal = sys.stderr and sys.stderr.isatty()
    width, forced = (None, None) if terminal else (80, False)
    return Progress(stderr=True, quiet=_quiet, width=width, force_terminal=forced)


def say(text: str) -> None:
    """Print a line on stderr. A command goes on if that is impossible: on a full disk, or if its reader has gone."""
    with suppress(OSError):
        typer.echo(text, err=True)


def print_wrapped(text: str, indent: str = "    ", *, err: bool = False) -> None:
    """Print a sentence on as many lines as it needs in the width of stdout; paths and other long words stay whole.

    Args:
        err: whether it goes to stderr, away from a table that is redirected to a file.
    """
    whole: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    for line in textwrap.wrap(text, stdout().width, subsequent_indent=indent, **whole):
        say(line) if err else typer.echo(line)


def print_plain(text: str) -> None:
    """Print a line with text from others, such as names of folders, without control characters."""
    from genbench.analysis.labels import plain

    typer.echo(plain(text))


def open_file(path: Path) -> None:
    """Open a file in a browser, or say where it is, as over SSH."""
    import webbrowser

    screen = sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not path.exists():
        say(f"nothing to open: {path} does not exist")
    elif not (screen and webbrowser.open(path.resolve().as_uri())):
        say(f"no browser to open it here; the file is {path.resolve()}")


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout."""
    typer.echo(json.dumps(value, indent=1))


def parse_seeds(text: str) -> list[int]:
    """Parse the seeds of an option.

    Raises:
        ConfigError: if they are not whole numbers from 0 on.

    >>> parse_seeds("3"), parse_seeds("0-3"), parse_seeds("0,2,5-6")
    ([3], [0, 1, 2, 3], [0, 2, 5, 6])
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isdecimal() and (last.isdecimal() or not dash)):
            raise ConfigError(f"--seed / --seeds {text}: write a whole number from 0 on, or several as 0-4 or 0,2,5")
        if len(first) > 40 or int(last or first) - int(first) > 10_000:
            raise ConfigError(f"--seed / --seeds {text}: too many seeds")
        if int(last or first) < int(first):
            raise ConfigError(f"--seed / --seeds {text}: the last seed is smaller than the first")
        seeds += range(int(first), int(last or first) + 1)
    return list(dict.fromkeys(seeds))


def check_failures(reasons: Sequence[str | None], message: str) -> None:
    """Raise RunFailed, with the number of failures and a message, if any reason is not None."""
    failed = sum(reason is not None for reason in reasons)
    if failed:
        raise RunFailed(f"{failed} {message}")
