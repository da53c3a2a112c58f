"""Groups: the processes that share the work of a run, each with a device of its own.

All processes of a group execute the same program. torchrun starts them, or the first one does: it repeats its own
command once for each of the others. They divide batches and meet in the methods of `Group`.
"""

import atexit
import gc
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from operator import itemgetter
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from genbench.errors import ConfigError, RunFailed, first_line
from genbench.training.torchrun_variables import variable

PATIENCE = timedelta(days=7)
"""Longest time that processes wait for one another: the first one may work alone for days."""

START = "GENBENCH_START_TIMEOUT"
"""Environment variable: seconds in which all processes have to start, 600 by default."""

GRACE = 10.0
"""Seconds in which a process may end by itself after another one has failed."""

PARENT = "GENBENCH_PARENT"
"""Environment variable with the process that started this one."""

T = TypeVar("T")
R = TypeVar("R")


class Group:
    """The processes that share a run, as one of them sees them.

    Args:
        device: device of this process.
        rank: index of this process.
        size: number of processes.
    """

    def __init__(self, device: torch.device, rank: int = 0, size: int = 1) -> None:
        self.device, self.rank, self.size = device, rank, size

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
            return DistributedDataParallel(module, device_ids=ids)

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
            function: its results are on the CPU. An exception is raised in all processes, the first one if there are
                several; what it does besides happens in one process only.
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

    def barrier(self) -> None:
        """Wait for all processes."""
        self.broadcast(None)

    @contextmanager
    def _watch(self) -> Iterator[None]:
        """Raise RunFailed where a collective operation fails, with the process that has ended."""
        try:
            yield
        except RuntimeError as error:
            lost = "gloo" in str(error) or isinstance(error, distributed.DistError)
            if self.size == 1 or not lost:
                raise
            raise RunFailed(_first_failure(GRACE) or f"one of {self.size} processes has ended") from error


ALONE = Group(torch.device("cpu"))
"""The group of a process that works alone."""


def start_group(accelerator: str = "auto", devices: int = 1) -> Group:
    """Return the group of this process, with its other processes started unless they run.

    Args:
        accelerator: cpu, cuda (or gpu), or auto: cuda if there is one. A GPU of Apple (mps) is not used: it lacks the
            float64 of couplings.
        devices: number of processes, unless torchrun or an earlier call has decided it.

    Raises:
        ConfigError: if the devices are not available, or this process cannot start others.
    """
    by_launcher = "LOCAL_WORLD_SIZE" in os.environ
    place = (variable("LOCAL_RANK"), variable("LOCAL_WORLD_SIZE")) if by_launcher else (0, devices)
    device = _device(accelerator, *place)
    if not distributed.is_initialized():
        if by_launcher:
            _check_host(os.environ.get("MASTER_ADDR", ""))
            _join(device, variable("RANK"), variable("WORLD_SIZE"), "env://")
        elif devices > 1:
            store = _start_others(devices)
            _join(device, 0, devices, f"tcp://{store.host}:{store.port}")
        else:
            return Group(device)
    return Group(device, distributed.get_rank(), distributed.get_world_size())


def _device(accelerator: str, rank: int, size: int) -> torch.device:
    """Return the device of a process, by its rank among those of this machine."""
    found = torch.cuda.is_available()
    if accelerator == "cpu" or (accelerator == "auto" and not found):
        return torch.device("cpu")
    if accelerator not in ("auto", "cuda", "gpu") or not found:
        raise ConfigError(f"devices: this machine has no {accelerator} that genbench can use: choose cpu")
    count = torch.cuda.device_count()
    if size > count:
        raise ConfigError(f"devices: {size} processes need as many GPUs, and there are {count}")
    device = torch.device("cuda", rank)
    torch.cuda.set_device(device)
    return device


def _check_host(name: str) -> None:
    """Refuse a host that is unknown, for which torch would wait as long as for processes that start late."""
    try:
        socket.getaddrinfo(name or None, 0)
    except OSError as error:
        raise ConfigError(f"MASTER_ADDR={name} is not a known host: start with torchrun") from error


def _join(device: torch.device, rank: int, size: int, address: str) -> None:
    """Meet the other processes at an address."""
    if PARENT in os.environ:
        parent = variable(PARENT)
        del os.environ[PARENT]
        threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    if rank >= size:
        raise ConfigError(f"RANK={rank} is not below WORLD_SIZE={size}: start with torchrun")
    wait = timedelta(seconds=variable(START, "600"))
    try:
        store, rank, size = next(rendezvous(address, rank, size, timeout=wait))
        store.set_timeout(PATIENCE)
    except (ValueError, OverflowError) as error:  # an address that is missing or malformed
        raise ConfigError(f"the processes of torchrun cannot meet: {error}") from error
    except distributed.DistError as error:
        where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}" if "env" in address else address
        why = f"process {rank} waited at {where} for {size} processes, {wait.seconds} s ({START})"
        raise ConfigError(f"{why}: {first_line(error)}") from error
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    # The group stays until the exit, because the next run uses it; an exit with a living group aborts.
    atexit.register(_leave)


_others: list[subprocess.Popen] = []
"""The processes that this one has started."""


def _start_others(size: int) -> distributed.TCPStore:  # type: ignore[attr-defined]
    """Repeat the command of this process for each of the others, and return the store where they meet."""
    # Jupyter, a prompt and a script on stdin cannot be repeated; nor can a worker of multiprocessing.
    path = getattr(sys.modules["__main__"], "__file__", sys.argv[0])
    if path in ("", "-", "<stdin>") or "ipykernel" in sys.modules or multiprocessing.parent_process() is not None:
        raise ConfigError("devices: several processes start from a script or the command line only, or by torchrun")
    # Port 0 is any free one; the group opens a second store of the same server.
    store = distributed.TCPStore(  # type: ignore[attr-defined]
        "127.0.0.1", 0, is_master=True, wait_for_workers=False, multi_tenant=True
    )
    shared = {"MASTER_ADDR": store.host, "MASTER_PORT": store.port, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    for rank in range(1, size):
        variables = shared | {"RANK": rank, "LOCAL_RANK": rank, PARENT: os.getpid()}
        environment = os.environ | {name: str(value) for name, value in variables.items()}
        _others.append(subprocess.Popen([sys.executable, *sys.orig_argv[1:]], env=environment))
    threading.Thread(target=_exit_with_others, daemon=True).start()
    return store


def _first_failure(seconds: float) -> str:
    """Return which of the other processes has failed, and how; empty if none does within some seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        codes = [process.poll() for process in _others]
        for rank, code in enumerate(codes, 1):
            if code or (code == 0 and not distributed.is_initialized()):
                how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
                return f"process {rank} of {len(_others) + 1} {how}"
        if None not in codes:
            break
        time.sleep(0.1)
    return ""


def _exit_with_others() -> None:
    """End this process if another one fails and the main thread does not notice: it may wait for a GPU forever."""
    reason = _first_failure(PATIENCE.total_seconds())
    if not reason:
        return
    time.sleep(GRACE)
    print(f"genbench: {reason}; the others are stopped", file=sys.stderr, flush=True)
    for process in _others:
        process.kill()
    os._exit(1)


def _exit_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    print(f"genbench: process {parent}, which started this one, has ended", file=sys.stderr, flush=True)
    os._exit(1)


def _leave() -> None:
    """Leave the group; the process that started others ends last."""
    # Collect wrapped modules, which refer to the group and to themselves, before destroying the group: its threads end
    # with them.
    gc.collect()
    if distributed.is_initialized():
        distributed.destroy_process_group()
    for process in _others:
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
