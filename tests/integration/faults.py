"""A process that forks children, which run genbench's command line and meet with faults.

It reads one request a line on stdin and answers with one line, both JSON. A request has either

    first         a command line that this process runs by itself: later children then have all that it imported

or

    sweeps        command lines that run side by side, each in a process of its own
    fault         [what, where, when] of the first of them (see below)
    save_every    seconds between checkpoints
    patience      seconds after which an untouched lease counts as dead
    commits       a file to which the name of every written record is added

and the answer {"codes": [...], "said": [...], "kinds": [...], "left": processes that outlived theirs}. "kinds" lists
the first command's calls in order. Each entry says where in the code the call stands, and what it replaces.

A fault is what happens (kill: SIGKILL; worker: the same, of a worker and once; stop: SIGSTOP until the other sweeps
have ended; full: the disk is full from then on; once: the disk is full this time; after: SIGKILL after so many
seconds), in which functions of os (or "step": a step of training), and at which of their calls, counted from 1.
"""

import errno
import inspect
import itertools
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback

import torch
from helpers import small_pictures  # noqa: F401 (it acts on import)
from helpers.command_line import begin

from genbench.cli import main
from genbench.runs.store import Store
from genbench.storage import content_hash, lease
from genbench.sweeps import execution
from genbench.training import loop, step

torch.set_num_threads(1)
content_hash.DOUBT = 0.0  # the first sweep keeps all entries of the cache, however soon after its files it runs


def meet(fault, report):
    what, where, when = fault
    calls = itertools.count(1)
    first = os.getpid()

    def happens(now):
        if what in ("kill", "stop", "once"):
            return now == when and os.getpid() == first
        if what == "worker":
            return now == when and os.getpid() != first and os.pread(report, 1, 8) != b"x"
        return what == "full" and now >= when

    def kind(args):
        own = [(frame.f_code, line) for frame, line in traceback.walk_stack(sys._getframe())]
        return hash((*own, *(os.path.basename(place) for place in args[1:])))

    def wrap(function):
        def called(*args, **kwargs):
            now = next(calls)
            if what == "count" and os.getpid() == first:
                os.pwrite(report, f"{kind(args):21d}".encode(), 9 + 21 * (now - 1))
            if happens(now):
                os.pwrite(report, b"x", 8)
                if what in ("full", "once"):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(args[0]) if args else None)
                os.kill(os.getpid(), signal.SIGSTOP if what == "stop" else signal.SIGKILL)
            return function(*args, **kwargs)

        return called

    for name in where.split():
        if name == "step":
            step.seed_dropout = wrap(step.seed_dropout)
        elif name == "mkstemp":
            tempfile.mkstemp = wrap(tempfile.mkstemp)
        else:
            setattr(os, name, wrap(getattr(os, name)))


def count_commits(path):
    write = Store.write_record

    def counted(self, spec, record):
        done = write(self, spec, record)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(handle, f"{done.parts[-3]}/{spec.evaluation_key}\n".encode())
        os.close(handle)
        return done

    Store.write_record = counted


def child(request, arguments, fault, report, said):
    os.setpgid(0, 0)
    os.dup2(said, 1)
    os.dup2(said, 2)
    # A forked worker starts at once; one that is spawned imports torch first.
    execution.multiprocessing.get_context = lambda kind: multiprocessing.context.ForkContext()
    if "save_every" in request:
        inspect.unwrap(loop.fit).__kwdefaults__["save_every"] = request["save_every"]
    if "patience" in request:
        lease.EXPIRY, lease.HEARTBEAT = request["patience"], request["patience"] / 10
    if "commits" in request:
        count_commits(request["commits"])
    meet(fault, report)
    sys.argv = ["genbench", *arguments]
    try:
        main.main()
    except SystemExit as stop:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(stop.code)


def outlived(group):
    """Count the processes of a group that are still there five minutes after their first one."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return 0
        time.sleep(0.01)
    os.killpg(group, signal.SIGKILL)
    return 1


def answer(request):
    said = [tempfile.TemporaryFile() for _ in request["sweeps"]]  # noqa: SIM115
    report = tempfile.TemporaryFile()  # noqa: SIM115
    fault = request.get("fault") or ["count", "fsync rename replace", 0]
    pids = []
    for arguments, file in zip(request["sweeps"], said, strict=True):
        pid = os.fork()
        if not pid:
            child(request, arguments, fault, report.fileno(), file.fileno())
        pids.append(pid)
        if fault[0] == "stop" and len(pids) == 1:
            os.waitpid(pid, os.WUNTRACED)
        fault = ["count", "fsync", 0] if fault[0] != "after" else fault
    if fault[0] == "after":
        time.sleep(fault[2])
        os.kill(pids[0], signal.SIGKILL)
    codes = []
    for pid in reversed(pids):
        if pid == pids[0] and (request.get("fault") or [""])[0] == "stop":
            os.kill(pid, signal.SIGCONT)
        codes.insert(0, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    texts = []
    for file in said:
        file.seek(0)
        texts.append(file.read().decode())
    report.seek(9)
    kinds = report.read().decode().split()
    return {"codes": codes, "said": texts, "kinds": kinds, "left": sum(map(outlived, pids))}


if __name__ == "__main__":
    for line in sys.stdin:
        request = json.loads(line)
        done = begin(*request["first"])._asdict() if "first" in request else answer(request)
        print(json.dumps(done), flush=True)
