"""The command line: reads arguments, calls the library, prints. No command imports torch before it needs it."""

import io
import logging
import os
import shlex
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from genbench.cli import lookup, options, reading, run, sharing, sweep, tune
from genbench.errors import ConfigError, ProcessesEnded, RunFailed, Unsupported, place_of
from genbench.storage import files
from genbench.storage.lease import Busy
from genbench.storage.memory import keep_freed
from genbench.training.interrupts import STOPPING
from genbench.user_code import load_file


class Commands(TyperGroup):
    """Commands that refuse a repeated option if only its last value would count."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is called, its name and its words."""
        name, command, words = super().resolve_command(ctx, args)
        for option in command.params if command is not None else ():
            names = {*option.opts, *option.secondary_opts}
            given = [word.partition("=")[0] for word in words if word.partition("=")[0] in names]
            repeatable = getattr(option, "multiple", True) or getattr(option, "is_flag", False)  # or an argument
            if len(given) > 1 and not repeatable:
                raise ConfigError(f"{' and '.join(dict.fromkeys(given))}: given {len(given)} times: {_instead(option)}")
        return name, command, words


class ByTask(Commands):
    """The commands, in the help by the task that they serve."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            title = getattr(command, "rich_help_panel", "")
            sections.setdefault(title, []).append((name, command.get_short_help_str(100)))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def _instead(option: Any) -> str:
    """Return what to write in place of an option that is given several times."""
    several = {
        "model": "write one; several models are a suite (genbench new suite NAME)",
        "dataset": "write one; several data sets are a suite (genbench new suite NAME)",
        "seed": "write it once, several seeds as --seeds 0-4 or --seeds 0,2,5",
    }
    return several.get(option.name, "write it once")


app = typer.Typer(
    name="genbench",
    cls=ByTask,
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,  # it ends the process by SystemExit, as only faulty components do
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
TASKS = {
    "Run": {"run": run.run, "sweep": sweep.sweep, "eval": run.eval_command, "tune": tune.tune},
    "Compare": {
        "report": reading.report,
        "leaderboard": reading.leaderboard,
        "compare": reading.compare,
        "plan": reading.plan,
    },
    "Share": {"verify": sharing.verify_command},
    "Extend": {"list": lookup.list_command, "show": lookup.show, "new": lookup.new, "check": lookup.check},
    "Maintain": {"doctor": lookup.doctor},
}
"""{title in the help: {name of a command: its function}}."""
for title, functions in TASKS.items():
    for name, function in functions.items():
        app.command(name, rich_help_panel=title)(function)
folder = typer.Typer(
    cls=Commands,
    help="Maintain and share a results folder: status, clean, merge, submit, import.",
    no_args_is_help=True,
)
for function in (sharing.status, sharing.clean, sharing.merge, sharing.submit):
    folder.command()(function)
folder.command("import")(sharing.import_command)
app.add_typer(folder, name="results", rich_help_panel="Share")

LONGEST = 1000
"""Characters of a message."""

ONE_SIGNAL = 0.5
"""Seconds after the first signal within which further signals count as the same one, and a stop needs no words."""

stopped = threading.Event()
"""Set once a command has stopped after a signal, though its process may still be ending."""


@app.callback()
def root(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Train, sample, measure and compare generative models on equal tasks.

    Begin with: genbench run --model wcfm --dataset moons
    """
    if show_version:
        typer.echo(f"genbench {version('genbench')}")
        raise typer.Exit


UsageError: Any = typer.BadParameter.__base__
"""Click's usage error; where typer keeps click depends on its version."""


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 a run failed, 2 wrong request, 130 stopped, 141 nobody reads."""
    logging.getLogger("genbench").addHandler(_WarnOnce())
    for stream in (sys.stdout, sys.stderr):  # None where it is closed; ASCII has no arrows, for which no run must fail
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    stop_on_signals()
    keep_freed()
    for library in ("JAX", "TENSORFLOW", "CUPY"):  # POT imports what is installed; it gets NumPy arrays only
        os.environ.setdefault(f"POT_BACKEND_DISABLE_{library}", "1")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # errors raise exceptions; their log has a hundred lines
    sys.exit(exit_code(_command))


def _command() -> int:
    words = shlex.join(["genbench", *sys.argv[1:]])
    # An empty path would be the current folder.
    if any(word == "" or (word.startswith("--") and word.endswith("=")) for word in sys.argv[1:]):
        raise ConfigError(f"a word of the command is empty (an unset shell variable?): {words}")
    if any("\udc80" <= letter <= "\udcff" for letter in words):  # no record or weights could be saved in such a folder
        raise ConfigError(f"a name is not UTF-8: rename it, or use a UTF-8 locale: {words}")
    trusted, arguments = trusted_files(list(map(_expanded, sys.argv[1:])))
    for path in trusted:
        load_file(path)
    # typer returns the code of its exits: 130 on Ctrl-C
    code = app(arguments, prog_name="genbench", standalone_mode=False)
    if code == 130:
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def _expanded(word: str) -> str:
    """Return a word of the command with its ~ expanded, which shells leave in --name=~/path and in quotes."""
    option, equals, value = word.partition("=")
    return f"{option}={os.path.expanduser(value)}" if equals and option.startswith("--") else os.path.expanduser(word)


def exit_code(command: Callable[[], int]) -> int:
    """Run a command, print one line if it fails, and return its exit code."""
    try:
        return command()
    except ProcessesEnded:
        raise
    except (BrokenPipeError, SystemExit) as error:
        # The reader of the output, such as head, has read enough: typer and rich then end the process.
        if isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError):
            if sys.__stdout__ is not None:  # typer replaces sys.stdout
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())
            return 128 + signal.SIGPIPE
        return _fail(f"{place_of(error)}: this code ends the process: let it return, or raise an error", 1)
    except (typer.Abort, KeyboardInterrupt):
        stopped.set()
        return _fail("stopped: repeat the command to go on; finished runs are not repeated", 130)
    except (RunFailed, Busy) as error:
        return _fail(str(error), 1)
    except (ConfigError, Unsupported) as error:
        return _fail(str(error), 2)
    except OSError as error:
        code = 1 if error.errno in files.FULL else 2
        return _fail(f"{error.filename or 'a file'}: {error.strerror or error}", code)
    except UsageError as error:
        return _usage(error)
    except Exception as error:
        return _fail(_unforeseen(error), 1)


def trusted_files(arguments: list[str]) -> tuple[list[Path], list[str]]:
    """Return the Python files that `--trust FILE.py` names, and the other arguments.

    >>> trusted_files(["verify", "--trust", "mine.py", "mine.genbench.zip", "--trust"])[1]
    ['verify', 'mine.genbench.zip', '--trust']
    """
    found = [i for i, word in enumerate(arguments) if word == "--trust" and arguments[i + 1 : i + 2]]
    found = [i for i in found if arguments[i + 1].endswith(".py")]
    left = [word for i, word in enumerate(arguments) if i not in found and i - 1 not in found]
    return [Path(arguments[i + 1]) for i in found], left


def _usage(error: Any) -> int:
    """Report a wrong option or argument, or show the help of a command without arguments."""
    if type(error).__name__ == "NoArgsIsHelpError":
        with suppress(OSError):  # as in `options.say`
            error.show()
        return 2
    context = error.ctx
    command = context.command_path if context is not None else "genbench"
    message = error.format_message().replace("Value error, ", "").removesuffix(".")
    known = context.command.params if context is not None else []
    if type(error).__name__ == "NoSuchOption" and any("--set" in option.opts for option in known):
        message += "; settings are written as --set plan.steps=5"
    return _fail(f"{message} ({command} --help)", 2, command)


def _unforeseen(error: Exception) -> str:
    """Describe an error that no code foresaw, and name the file that holds its traceback."""
    handle, path = tempfile.mkstemp(prefix="genbench-", suffix=".txt")
    with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"genbench {version('genbench')}: {shlex.join(sys.argv)}\n{traceback.format_exc()}")
    what = f"{type(error).__name__}: {error}".removesuffix(": ")[:300]
    if isinstance(error, MemoryError) or ("alloc" in what and "memory" in what):  # NumPy, torch
        return f"not enough memory: {what} (traceback: {path})"
    place = place_of(error)
    if place:
        return f"{place}: {what} (traceback: {path})"
    return f"{what}; this is a bug: please report it with {path}"


def stop_on_signals() -> None:
    """Stop on Ctrl-C, on SIGTERM, which batch systems send before SIGKILL, and on SIGHUP unless under nohup.

    A second signal ends the process at once. Python's handlers run only after a long library call has ended, so a
    thread reads the signals.
    """
    for number in STOPPING:
        if number != getattr(signal, "SIGHUP", None) or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _stop)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_end_at_second_signal, args=(reader,), daemon=True).start()


def _stop(number: int, frame: object) -> None:
    """Stop; a second signal does not interrupt the shutdown."""
    for each in STOPPING:
        signal.signal(each, lambda number, frame: None)  # a signal that is ignored would not reach the thread
    raise KeyboardInterrupt


def _end_at_second_signal(reader: int) -> None:
    """Say that a stop takes time, and end the process at a second signal.

    `timeout` and terminals send one of them twice.
    """
    _hear(reader)
    time.sleep(ONE_SIGNAL)
    os.set_blocking(reader, False)
    with suppress(BlockingIOError):
        os.read(reader, 1000)
    os.set_blocking(reader, True)
    if not stopped.is_set():
        _fail("stopping, which may take a while; a second signal ends at once", 0)
    _hear(reader)
    show_cursor = "\033[?25h" if os.isatty(2) else ""  # progress bars hide it
    what = "ended at once: repeat the command to go on; finished runs are not repeated"
    with suppress(OSError):  # as in `options.say`
        os.write(2, f"{show_cursor}genbench: {what}\n".encode())
    os._exit(130)


def _hear(reader: int) -> None:
    """Wait for a signal that stops."""
    while os.read(reader, 1)[0] not in STOPPING:
        pass


class _WarnOnce(logging.Handler):
    """Prints each warning once, on stderr."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.printed: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in self.printed:
            self.printed.add(message)
            _fail(message, 0)


def _fail(message: str, code: int, command: str = "genbench") -> int:
    """Print a message as one line without control characters, shortened where it repeats long input."""
    line = "".join(c if c.isprintable() else " " if c.isspace() else ascii(c)[1:-1] for c in message)
    line = line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 3 :]}"
    options.say(f"{command}: {line}")
    return code
