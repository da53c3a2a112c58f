"""Run a command line on an input of the campaign, in a forked process, and say how it ended."""

import contextlib
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

MEMORY = 8 << 30
"""Bytes of address space of a command: an input that asks for more fails instead of filling the machine."""

PATIENCE = 60.0
"""Seconds after which a command counts as hanging where a core is idle; a machine with more processes gets more."""

DONE, REFUSED, FAILED, STOPPED = (frozenset({ending}) for ending in ("done", "refused", "failed", "stopped"))
"""How a command may end: exit code 0; or 2, 1 or 130 with a last line on stderr that says why."""
EITHER = REFUSED | DONE
REMARK = re.compile(r"genbench: .*: ([\d,]+ (rows|images|test)|classes with)")
"""What is said about data of the user before a refusal."""
ENDS = EITHER | FAILED


@dataclass(frozen=True)
class Case:
    """An input and the command that meets it.

    Args:
        name: group/name, unique.
        argv: arguments of genbench; {} stands for the folder of the case.
        expect: the ways in which the command may end.
        files: writes the input into the folder of the case.
        base: a prepared folder of which the case has a copy.
        env: environment variables of the command.
        check: says what is wrong with what was printed or written; None if nothing is.
        send: a signal and the seconds after which the command gets it.
    """

    name: str
    argv: tuple[str, ...]
    expect: frozenset[str] = REFUSED
    files: Callable[[Path], object] | None = None
    base: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    check: Callable[[Path, "Outcome"], str | None] | None = None
    send: tuple[signal.Signals, float] | None = None


@dataclass(frozen=True)
class Outcome:
    """How a command ended, or what it did instead of an end; what it printed; seconds."""

    ending: str
    stdout: str
    stderr: str
    seconds: float


def prepare(home: Path) -> None:
    """Import what commands import, so that forks have it, and set the variables that all cases share."""
    import torch

    import genbench.cli.main
    import genbench.report.publish
    import genbench.sweeps.executors  # noqa: F401

    torch.set_num_threads(1)
    os.environ["GENBENCH_OFFLINE"] = "1"
    os.environ.setdefault("GENBENCH_HOME", str(home))


def finished(folder: Path, *commands: tuple[str, ...]) -> Path:
    """Run commands that must succeed in a folder, and return it."""
    for command in commands:
        outcome = run(Case("", command, env={"GENBENCH_HOME": "{}/home"}), folder)
        assert outcome.ending == "done", outcome.stderr
    return folder


def run(case: Case, folder: Path) -> Outcome:
    """Run the command of a case in its folder."""
    began = time.monotonic()
    # A machine with more processes than cores needs more time.
    patience = PATIENCE * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    code = wait(start(case, folder), patience, case.send)
    stdout, stderr = ((folder / name).read_text(errors="replace") for name in (".stdout", ".stderr"))
    return Outcome(_ending(code, stderr), stdout, stderr, time.monotonic() - began)


def judge(case: Case, folder: Path) -> tuple[str | None, Outcome]:
    """Run a case; return what is wrong, None if nothing is, and its outcome."""
    outcome = run(case, folder)
    printed = outcome.stdout + outcome.stderr
    if "FORCE_COLOR" in case.env:  # asks for colors in a file too, not for moves of the cursor
        printed = re.sub(r"\x1b\[[\d;]*m", "", printed)
    if outcome.ending not in case.expect:
        return f"ended as {outcome.ending}, not as {' or '.join(sorted(case.expect))}", outcome
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", printed):
        return "printed control characters", outcome
    return case.check(folder, outcome) if case.check else None, outcome


def start(case: Case, folder: Path) -> int:
    """Start the command of a case in a forked process, which leads a group of its own; return its number."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        os.setsid()
        os.chdir(folder)
        for descriptor, name in ((1, ".stdout"), (2, ".stderr")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored under nohup
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.environ.update({name: value.replace("{}", str(folder)) for name, value in case.env.items()})
        sys.argv = ["genbench", *(argument.replace("{}", str(folder)) for argument in case.argv)]
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        from genbench.cli.main import main

        main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def wait(child: int, seconds: float, send: tuple[signal.Signals, float] | None = None) -> int | None:
    """Return the exit code of a process, negative for a signal; None if it did not end and its group was killed."""
    began = time.monotonic()
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        waited = time.monotonic() - began
        if send is not None and waited > send[1]:
            os.kill(child, send[0])
            send = None
        if waited > seconds:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.002)


def _ending(code: int | None, stderr: str) -> str:
    if code is None:
        return "hanging"
    if "Traceback (most recent call last)" in stderr:
        return "traceback"
    if "this is a bug: please report it" in stderr:
        return "unforeseen"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    name = {0: "done", 1: "failed", 2: "refused", 130: "stopped"}.get(code, f"exit code {code}")
    *_, last = lines = stderr.splitlines() or [""]
    if name != "done" and not last.startswith("genbench"):
        return f"{name} without a line that says why"
    if name == "refused" and not all(map(REMARK.match, lines[:-1])):
        return f"refused in {len(lines)} lines"
    if len(last) > 1000:
        return f"{name} with a line of {len(last)} characters"
    return name
