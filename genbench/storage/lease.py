"""Leases: only one process at a time, on all machines that share a results folder, writes a run.

A lease is a folder named after its owner:

    RESULTS/leases/RUN/HOST+MACHINE.PID.START.NONCE/

A process acquires a lease by renaming a folder to RUN, which succeeds only if RUN does not exist. A process takes over
an expired lease by renaming it from the old owner's name to its own, which succeeds for only one of several contenders.
The owner reaches its run by a path through the lease, OWNER/../../../runs/RUN. Once the lease has another name, that
path is broken: an owner that was paused, lost its lease and resumes can write nothing (fencing).

A lease expires when its owner's process has ended, which processes on the owner's machine see at once, or when its
owner has not refreshed it for EXPIRY seconds by the observer's own clock, so that clocks are never compared. An owner
whose training hangs in a step stops refreshing. The folder
may be on a network file system with atomic renames (NFS, Lustre, CephFS, ...) whose clients cache a folder for less
than EXPIRY (NFS: `acdirmax`, a minute by default).
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

from genbench import activity
from genbench.errors import ConfigError
from genbench.storage import files

HEARTBEAT = 15.0
"""Seconds between two refreshes of a lease by its owner."""

EXPIRY = 180.0
"""Seconds without a refresh after which a lease expires."""

LONGEST_STEP = 1800.0
"""Seconds of one training step after which its process counts as hung and refreshes its leases no longer."""

UNKNOWN = "0"
"""Start time of a process of which only the existence is known."""

_seen: dict[str, tuple[int, float]] = {}
"""{lease of another process: (its last refresh, this process's time when that was first seen)}."""


class Busy(RuntimeError):
    """Another process runs this run, or has taken it over; that is not a failure."""


class Owner(NamedTuple):
    """A process, as the name of its lease identifies it.

    Args:
        machine: host, boot and container.
        pid: process number.
        start: when the process started, which distinguishes it from a later one of the same number.
        nonce: distinguishes two leases of one process.
    """

    machine: str
    pid: str
    start: str
    nonce: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.machine.partition('+')[0]}"

    @property
    def exited(self) -> bool:
        """Whether the process is known to have ended; only its own machine can tell."""
        if self.machine != _machine():
            return False
        start = _start_time(int(self.pid))
        return start is None or (UNKNOWN not in (start, self.start) and start != self.start)


class Lease(NamedTuple):
    """A lease: the run, its owner, and the seconds since the last refresh by the clock of the file system."""

    run: str
    owner: Owner
    age: float


@contextmanager
def hold(leases: Path, run: str, wait: float = 0.0) -> Iterator[Path]:
    """Hold the lease of a run, and yield the folder through which alone the run may be written.

    Args:
        wait: seconds to wait for another owner.

    Raises:
        Busy: if another process has the lease, or took it over meanwhile.
        ConfigError: if the folder of leases cannot be made or written.
    """
    require(leases)
    deadline = time.monotonic() + wait
    while (path := _acquire(leases, run)) is None:
        if time.monotonic() >= deadline:
            owner = next((lease.owner for lease in leases_in(leases) if lease.run == run), "another process")
            raise Busy(f"{run} is being run by {owner}")
        time.sleep(min(1.0, max(0.0, deadline - time.monotonic())))
    stop = threading.Event()
    threading.Thread(target=_refresh, args=(path, stop), daemon=True).start()
    try:
        yield path
    except Exception as error:  # libraries raise errors of their own for a file that cannot be written
        if path.exists():
            raise
        raise Busy(f"{run} was taken over: its lease had not been refreshed for {EXPIRY:.0f} s") from error
    finally:
        stop.set()
        with suppress(OSError):
            path.rmdir()
        remove_leftovers(leases)


def require(leases: Path) -> None:
    """Raise ConfigError unless the folder of leases exists or can be made, and can be written."""
    advice = "make it a folder that can be written, or choose another --results"
    for folder in (leases, leases.parent):
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(f"{files.shown(folder)} cannot be written: {advice}")
    try:
        leases.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in files.FULL:
            raise
        raise ConfigError(f"{files.shown(leases)}: {error.strerror}; {advice}") from error


def start_expiry_timers(leases: Path, runs: Iterable[str]) -> None:
    """Start to measure how long the leases of these runs stay without a refresh."""
    for run in runs:
        with suppress(FileNotFoundError, NotADirectoryError):
            for name in os.listdir(leases / run):
                _expired(leases / run / name)


def leases_in(leases: Path) -> list[Lease]:
    """Return all leases in a folder."""
    found = []
    for path in sorted(leases.glob("[!.]*/*")):
        with suppress(OSError, ValueError):
            found.append(Lease(path.parent.name, _owner(path.name), time.time() - path.stat().st_mtime))
    return found


def remove_leftovers(leases: Path) -> None:
    """Remove empty folders, and leftovers of processes of this machine that ended while they acquired a lease."""
    with suppress(FileNotFoundError, NotADirectoryError):
        for name in os.listdir(leases):
            if not name.startswith("."):
                with suppress(OSError):
                    os.rmdir(leases / name)
            elif _exited(name[1:]):
                shutil.rmtree(leases / name, ignore_errors=True)


def _acquire(leases: Path, run: str) -> Path | None:
    place, mine = leases / run, _own_name()
    for name in _lease_names(place):
        if not _expired(place / name):
            return None
        with suppress(FileNotFoundError):
            (place / name).rename(place / mine)
        return _if_acquired(place / mine)
    staged = leases / f".{mine}"
    try:
        (staged / mine).mkdir(parents=True)
        staged.rename(place)
    except OSError as error:
        shutil.rmtree(staged, ignore_errors=True)
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):  # another process was faster
            raise
    return _if_acquired(place / mine)


def _if_acquired(path: Path) -> Path | None:
    """Return the path of a lease if it exists. A rename that NFS repeats fails although it was done the first time."""
    return path if path.is_dir() else None


def _lease_names(place: Path) -> list[str]:
    """Return the leases of a run, and remove files that other programs put there."""
    if place.is_file() or place.is_symlink():
        place.unlink(missing_ok=True)
    try:
        names = os.listdir(place)
    except FileNotFoundError:
        return []
    for name in names:
        if (place / name).is_file():
            (place / name).unlink(missing_ok=True)
    return [name for name in names if (place / name).is_dir()]


def _refresh(path: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT):
        if activity.step_age() > LONGEST_STEP:
            continue
        try:
            os.utime(path)
        except FileNotFoundError:
            return
        except OSError:  # a passing error of the file system: try again at the next heartbeat
            continue


def _expired(path: Path) -> bool:
    if _exited(path.name):
        return True
    try:
        # Opening a folder makes the client of a network file system ask its server.
        handle = os.open(path, os.O_RDONLY)
        try:
            refreshed = os.fstat(handle).st_mtime_ns
        finally:
            os.close(handle)
    except FileNotFoundError:
        return False
    before = _seen.get(str(path))
    if before is None or before[0] != refreshed:
        _seen[str(path)] = (refreshed, time.monotonic())
        return False
    return time.monotonic() - before[1] > EXPIRY


def _exited(name: str) -> bool:
    try:
        return _owner(name).exited
    except ValueError:
        return False


def _own_name() -> str:
    return ".".join(Owner(_machine(), str(os.getpid()), _start_time(os.getpid()) or UNKNOWN, uuid.uuid4().hex[:8]))


def _owner(name: str) -> Owner:
    machine, pid, start, nonce = name.rsplit(".", 3)
    int(pid)
    return Owner(machine, pid, start, nonce)


@lru_cache
def _machine() -> str:
    host = "".join(c if c.isalnum() or c in "-." else "-" for c in platform.node()) or "host"
    if sys.platform != "linux":
        return f"{host}+{uuid.getnode():x}"
    # Containers of one host, and one host before and after a reboot, cannot see each other's processes.
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").replace("-", "")[:12]
    return f"{host}+{boot}-{os.stat('/proc/self/ns/pid').st_ino:x}"


def _start_time(pid: int) -> str | None:
    """Return when a process started, UNKNOWN if only its existence can be seen; None if it has ended."""
    with suppress(OSError):  # /proc is missing, or hides the processes of other users
        state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return None if state in "ZX" else fields[18]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:  # it belongs to another user
        pass
    return UNKNOWN
