"""Groups: the processes that share the work of a run, each with a device of its own.

torchrun starts the processes of a group, which execute the same program. They divide batches and meet in the methods of
`Group`.
"""

import atexit
import gc
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from operator import itemgetter
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from genbench.errors import ConfigError, ProcessesEnded, RunFailed, first_line
from genbench.training.torchrun_variables import by_torchrun, variable

PATIENCE = timedelta(days=7)
"""Longest time that processes wait for one another: the first process may work alone for days."""

START = timedelta(minutes=10)
"""Time in which all processes have to start."""

END = 60.0
"""Seconds that a process may take from leaving the group to its end."""

_pids: list[int] = []
"""Numbers of the processes of the group, by rank."""

T = TypeVar("T")
R = TypeVar("R")


class Group:
    """The processes that share a run: the device and the rank of this one, and their number."""

    def __init__(self, device: torch.device, rank: int = 0, size: int = 1) -> None:
        self.device, self.rank, self.size = device, rank, size
        self._asked: tuple[Tensor, distributed.Work] | None = None

    @property
    def is_first(self) -> bool:
        """Whether this process alone writes files and holds leases."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return a module whose gradients are means over the processes."""
        if self.size == 1:
            return module
        with self._watch():
            ids = None if self.device.index is None else [self.device.index]
            # Buffers are equal everywhere, because all processes draw the examples of the whole batch. Only the buffers
            # of batch norms differ, with means over the part of each process: the first process's buffers count.
            norms = any(isinstance(part, _BatchNorm) for part in module.modules())
            return DistributedDataParallel(module, device_ids=ids, broadcast_buffers=norms)

    @contextmanager
    def backward(self, module: nn.Module, *, last: bool) -> Iterator[None]:
        """The context of a forward and backward pass; the last one of a step averages the gradients of processes.

        Raises:
            RunFailed: if another process has ended.
        """
        apart = isinstance(module, DistributedDataParallel) and not last
        with self._watch(), module.no_sync() if apart else nullcontext():  # type: ignore[operator]
            yield

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the processes, which overwrites the values."""
        if self.size == 1:
            return values
        with self._watch():
            distributed.all_reduce(values)
        return values / self.size

    def any_asked(self, asks: bool) -> bool:
        """Return whether any process asked in the previous call: the same answer everywhere, almost without waiting."""
        if self.size == 1:
            return False
        previous, flag = self._asked, torch.tensor(int(asks))
        with self._watch():
            if previous is not None:
                previous[1].wait()
            work = distributed.all_reduce(flag, distributed.ReduceOp.MAX, async_op=True)
        assert work is not None
        self._asked = flag, work
        return previous is not None and bool(previous[0])

    def broadcast(self, value: T) -> T:
        """Return the value of the first process."""
        if self.size == 1:
            return value
        values = [value]
        with self._watch():
            distributed.broadcast_object_list(values)
        return values[0]

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Return the results of a function for all items, in order; each process computes its share of them.

        Args:
            function: returns results on the CPU. Its first exception is raised in all processes; the side effects of a
                call happen in one process only.
            items: the same in all processes.
        """
        if self.size == 1:
            return [function(item) for item in items]
        computed: dict[int, R | Exception] = {}
        for index, item in enumerate(items):
            if index % self.size == self.rank:
                try:
                    computed[index] = function(item)
                except Exception as error:
                    computed[index] = error
                    break
        shares: list[dict[int, R | Exception]] = [{}] * self.size
        with self._watch():
            distributed.all_gather_object(shares, computed)
        results = []
        for _, result in sorted((pair for share in shares for pair in share.items()), key=itemgetter(0)):
            if isinstance(result, Exception):
                raise result
            results.append(result)
        return results

    @contextmanager
    def _watch(self) -> Iterator[None]:
        """Raise RunFailed where a collective operation fails, once torchrun has noticed which process has ended."""
        try:
            yield
        except RuntimeError as error:
            lost = "gloo" in str(error) or isinstance(error, distributed.DistError)
            if self.size == 1 or not lost:
                raise
            # A process leaves the group before it ends, but the first one that ends gives the command its exit code.
            until = time.monotonic() + END
            while _pids and all(map(_is_listed, _pids)) and time.monotonic() < until:
                time.sleep(0.05)
            raise RunFailed(f"another of {self.size} processes has ended") from error


ALONE = Group(torch.device("cpu"))
"""The group of a process that works alone."""


def start_group(accelerator: str = "auto") -> Group:
    """Return the group of this process: the processes that torchrun has started, or this one alone.

    Args:
        accelerator: cpu, cuda (or gpu), or auto: cuda if there is one. A GPU of Apple (mps) is not used: it lacks the
            float64 of couplings.

    Raises:
        ConfigError: if the device is not available, or the processes cannot meet.
    """
    if not by_torchrun():
        return Group(_device(accelerator, 0, 1))
    device = _device(accelerator, variable("LOCAL_RANK"), variable("LOCAL_WORLD_SIZE"))
    if not distributed.is_initialized():
        _join(device)
    return Group(device, distributed.get_rank(), distributed.get_world_size())


def repeat_in_processes(processes: int) -> None:
    """Repeat the command of this process in several processes by torchrun, then exit with their exit code.

    Does nothing in the processes that torchrun started. If one process fails, or on Ctrl-C, the others are stopped.

    Raises:
        RunFailed: if a process was killed.
        KeyboardInterrupt: if a signal stopped the processes.
    """
    if processes == 1 or by_torchrun():
        return
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    # Seconds from a signal to a kill, in which processes end their step or evaluation, and save a checkpoint.
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "600")
    logging.disable(logging.CRITICAL)  # torchrun's messages: each process reports why it failed
    command = [sys.executable, *sys.orig_argv[1:]]
    try:
        with TemporaryDirectory(prefix="genbench-") as logs:
            run.main(["--standalone", f"--nproc-per-node={processes}", f"--log-dir={logs}", "--no-python", *command])
    except SignalException as error:
        raise KeyboardInterrupt from error
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()  # the others ended because they lost it, or torchrun stopped them
        if failure.exitcode < 0:
            raise RunFailed(f"process {rank} of {processes} was killed by signal {-failure.exitcode}") from error
        raise ProcessesEnded(failure.exitcode) from error
    raise ProcessesEnded(0)


def _device(accelerator: str, rank: int, size: int) -> torch.device:
    """Return the device of a process, by its rank on this machine."""
    found = torch.cuda.is_available()
    if accelerator == "cpu" or (accelerator == "auto" and not found):
        return torch.device("cpu")
    if accelerator not in ("auto", "cuda", "gpu") or not found:
        raise ConfigError(f"devices: this machine has no {accelerator} device that genbench can use: choose cpu")
    count = torch.cuda.device_count()
    if size > count:
        raise ConfigError(f"devices: {size} processes need as many GPUs, but there are {count}")
    device = torch.device("cuda", rank)
    torch.cuda.set_device(device)
    return device


def _join(device: torch.device) -> None:
    threading.Thread(target=_exit_with_parent, args=(os.getppid(),), daemon=True).start()
    try:
        store, rank, size = next(rendezvous("env://", variable("RANK"), variable("WORLD_SIZE"), timeout=START))
    except (ValueError, OverflowError, distributed.DistError) as error:
        raise ConfigError(f"the processes of torchrun cannot meet: {first_line(error)}") from error
    store.set_timeout(PATIENCE)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    store.set(f"genbench/pid/{rank}", str(os.getpid()))
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    _pids[:] = [int(store.get(f"genbench/pid/{other}")) for other in range(size)]
    # The group stays until the exit, because the next run uses it; exiting without destroying it would abort.
    atexit.register(_leave)


def _exit_with_parent(parent: int) -> None:
    """End this process when torchrun was killed: it may be in a long computation, which no closed connection ends."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _is_listed(pid: int) -> bool:
    """Return whether a process runs on this machine, or has ended but its parent has not noticed."""
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _leave() -> None:
    gc.collect()  # wrapped modules refer to the group, whose threads end with them
    if distributed.is_initialized():
        distributed.destroy_process_group()
