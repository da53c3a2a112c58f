"""Leases: of all processes that share a results folder, on whatever machines, one at a time writes a run.

A lease is a folder named after its owner:

    RESULTS/leases/RUN/HOST+MACHINE.PID.START.NONCE/

It is taken by moving a folder to the place of RUN, which works only where there is none, and taken over by renaming
it from the dead owner's name to the new one's, which works for one of several that try. Its owner reaches the run by a
path that leads through the lease, OWNER/../../../runs/RUN. Once the lease has another name that path leads nowhere:
an owner that was paused, was given up and wakes up can commit nothing.

An owner is dead when its process is gone, which its own machine knows at once, or when its lease was not touched for
PATIENCE seconds by the observer's own clock, so that clocks are never compared. The folder may be on a network file
system with atomic renames (NFS, Lustre, CephFS, ...), whose clients may believe what they remember of a folder for less
than PATIENCE (NFS: `acdirmax`, a minute by default).
"""

import errno
import os
import platform
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

BEAT = 15.0
"""Seconds between two touches of a lease by its owner."""

PATIENCE = 180.0
"""Seconds without a touch after which an owner counts as dead."""

_seen: dict[str, tuple[int, float]] = {}
"""What this process saw of leases of others: when each was last touched, and since when that has not changed."""


class Busy(RuntimeError):
    """Somebody else is at this run, or was given it meanwhile; nothing is wrong."""


class Owner(NamedTuple):
    """A process, as the name of its lease tells it.

    Args:
        machine: host, and what tells two boots and two containers of it apart.
        pid: number of the process.
        start: when it started, which tells it from a later process of the same number.
        nonce: tells two leases of one process apart.
    """

    machine: str
    pid: str
    start: str
    nonce: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.machine.partition('+')[0]}"

    @property
    def gone(self) -> bool:
        """Whether it is known that the process has ended: only its own machine can tell."""
        return self.machine == _machine() and _start(int(self.pid)) != self.start


class Held(NamedTuple):
    """A lease as others see it: the run, its owner, and the seconds since it was last touched (by the file system)."""

    run: str
    owner: Owner
    age: float


@contextmanager
def hold(leases: Path, run: str, wait: float = 0.0) -> Iterator[Path]:
    """Hold the lease of a run, and yield the folder through which alone the run may be written.

    Args:
        leases: the folder of leases.
        run: name of the run.
        wait: seconds to wait for another owner.

    Raises:
        Busy: if another owner has it, or took it over before the end.
    """
    deadline = time.monotonic() + wait
    while (path := _take(leases, run)) is None:
        if time.monotonic() >= deadline:
            at_it = next((held.owner for held in held_in(leases) if held.run == run), "somebody else")
            raise Busy(f"{run} is being run by {at_it}")
        time.sleep(min(1.0, max(0.0, deadline - time.monotonic())))
    stop = threading.Event()
    threading.Thread(target=_beat, args=(path, stop), daemon=True).start()
    try:
        yield path
    except Exception as error:  # libraries have errors of their own for a file that cannot be written
        if path.exists():
            raise
        raise Busy(f"{run} was taken over, for its lease had not been touched for {PATIENCE:.0f} s") from error
    finally:
        stop.set()
        with suppress(OSError):
            path.rmdir()
        tidy(leases)


def watch(leases: Path, runs: Iterable[str]) -> None:
    """Look at leases that will be wanted one after the other: the silence of their owners counts from now on."""
    for run in runs:
        with suppress(FileNotFoundError):
            for other in os.listdir(leases / run):
                _dead(leases / run / other)


def held_in(leases: Path) -> list[Held]:
    """Return every lease there is."""
    found = []
    for path in sorted(leases.glob("[!.]*/*")):
        with suppress(OSError, ValueError):
            found.append(Held(path.parent.name, _owner(path.name), time.time() - path.stat().st_mtime))
    return found


def tidy(leases: Path) -> None:
    """Remove what is empty, and what was left by processes of this machine that died while they took a lease."""
    with suppress(FileNotFoundError):
        for name in os.listdir(leases):
            if name.startswith(".") and _gone(name[1:]):
                shutil.rmtree(leases / name, ignore_errors=True)
            with suppress(OSError):
                os.rmdir(leases / name)
    with suppress(OSError):
        leases.rmdir()


def _take(leases: Path, run: str) -> Path | None:
    place, mine = leases / run, _name()
    try:
        present = os.listdir(place)
    except FileNotFoundError:
        present = []
    for other in present:
        if not _dead(place / other):
            return None
        with suppress(FileNotFoundError):
            return (place / other).rename(place / mine)
        return None
    stage = leases / f".{mine}"
    try:
        (stage / mine).mkdir(parents=True)
        stage.rename(place)
    except OSError as error:
        # Somebody was faster (the place is taken), or tidied the folder of leases away at this very moment.
        shutil.rmtree(stage, ignore_errors=True)
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            return None
        raise
    return place / mine


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(BEAT):
        try:
            os.utime(path)
        except FileNotFoundError:
            return
        except OSError:  # a hiccup of the file system is no reason to give up
            continue


def _dead(path: Path) -> bool:
    if _gone(path.name):
        return True
    try:
        # To open a folder makes a client of a network file system ask its server.
        handle = os.open(path, os.O_RDONLY)
        try:
            touched = os.fstat(handle).st_mtime_ns
        finally:
            os.close(handle)
    except FileNotFoundError:
        return False
    before = _seen.get(str(path))
    if before is None or before[0] != touched:
        _seen[str(path)] = (touched, time.monotonic())
        return False
    return time.monotonic() - before[1] > PATIENCE


def _gone(name: str) -> bool:
    try:
        return _owner(name).gone
    except ValueError:
        return False


def _name() -> str:
    return ".".join(Owner(_machine(), str(os.getpid()), _start(os.getpid()), uuid.uuid4().hex[:8]))


def _owner(name: str) -> Owner:
    machine, pid, start, nonce = name.rsplit(".", 3)
    int(pid)
    return Owner(machine, pid, start, nonce)


@lru_cache
def _machine() -> str:
    host = "".join(c if c.isalnum() or c in "-." else "-" for c in platform.node()) or "host"
    if sys.platform != "linux":
        return f"{host}+{uuid.getnode():x}"
    # Two containers of one host, and one host before and after a reboot, do not know each other's processes.
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").replace("-", "")[:12]
    return f"{host}+{boot}-{os.stat('/proc/self/ns/pid').st_ino:x}"


def _start(pid: int) -> str:
    """Return when a process started; nothing if it has ended."""
    if sys.platform != "linux":
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return ""
        except PermissionError:
            pass
        return "0"
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
