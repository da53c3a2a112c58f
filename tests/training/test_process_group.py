"""Groups of processes: how they start, what they exchange, and how they end."""

import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest
import torch
from torch.distributed import run as torchrun
from torch.distributed.launcher.api import LaunchConfig

from genbench.errors import ConfigError, ProcessesEnded
from genbench.training.process_group import repeat_in_processes, start_group


def start(code, folder):
    """Start a script that repeats itself in two processes."""
    script = folder / "script.py"
    script.write_text(
        "import os, sys, time, signal, torch\n"
        "from genbench.training.process_group import repeat_in_processes, start_group\n"
        "repeat_in_processes(2)\n"
        'group = start_group("cpu")\n' + code
    )
    return subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


EXCHANGE = """
assert start_group("cpu").size == group.size == 2
torch.testing.assert_close(group.mean(torch.tensor([group.rank, 1.0])), torch.tensor([0.5, 1.0]))
norm = torch.nn.BatchNorm1d(1)  # its running mean moves by a tenth of the way to the mean of a batch
module = group.wrap(norm)
for _ in range(5):
    module(torch.full((2, 1), float(group.rank)))
torch.testing.assert_close(norm.running_mean, torch.tensor([0.1 * group.rank]))  # one step from the first process's 0
del module  # as a training does: the threads of the group end with it, and exiting with them can abort
who = []
assert group.map(lambda n: who.append(n) or n * n, range(7)) == [n * n for n in range(7)]
assert who == list(range(group.rank, 7, group.size))  # unequal shares
try:
    group.map(lambda n: 1 / (n - 4) + 1 / (n - 5), range(7))
except ZeroDivisionError:  # in all processes, though each of the two items belongs to one
    line = group.broadcast(f"{group.rank} of {group.size}")
    os.write(1, f"{line}\\n".encode())  # at once: print writes the end of a line apart, after that of another process
"""


def test_torchrun_repeats_a_command_in_processes_that_exchange_values_and_alone_nothing_changes(tmp_path):
    group, values = start_group("cpu"), torch.arange(3.0)
    assert (group.rank, group.size, group.is_first) == (0, 1, True)
    assert (group.mean(values) is values, group.broadcast("a"), group.map(str, range(3))) == (True, "a", [*"012"])
    process = start(EXCHANGE, tmp_path)
    out, err = process.communicate(timeout=500)
    assert (process.returncode, sorted(out.splitlines())) == (0, ["0 of 2"] * 2), err


@pytest.mark.skipif(not hasattr(LaunchConfig, "shutdown_timeout"), reason="a torch that always waits for 30 s")
def test_processes_have_ten_minutes_from_a_signal_to_their_checkpoint(monkeypatch):
    configured = []

    def launched(command):
        configured.append(torchrun.config_from_args(torchrun.parse_args(command))[0])

    monkeypatch.setenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "")
    monkeypatch.delenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT")  # and what is set below ends with the test
    monkeypatch.setattr(logging, "disable", lambda level: None)
    monkeypatch.setattr(torchrun, "main", launched)
    with pytest.raises(ProcessesEnded):
        repeat_in_processes(2)
    assert [config.shutdown_timeout for config in configured] == [600]


PIDS = """
open({folder!r} + f"/{{group.rank}}", "w").write(str(os.getpid()))
group.broadcast(None)
if group.rank == 1:
    {end}
{work}
"""
LEAVES = "torch.distributed.destroy_process_group(); time.sleep(3)"
WAITS = "group.broadcast(None)"
COMPUTES = "time.sleep(600)  # as in a long computation, which no closed connection ends"


@pytest.mark.parametrize(
    ("end", "work", "code", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", COMPUTES, 1, "RunFailed: process 1 of 2 was killed by signal 9"),
        # The other process loses this one at once, but its exit code comes later, as on a busy machine.
        pytest.param(f"{LEAVES}; print('why', file=sys.stderr); sys.exit(2)", WAITS, 2, "why", marks=pytest.mark.slow),
    ],
)
def test_if_one_process_ends_the_others_end_too_and_the_command_says_why(tmp_path, end, work, code, said):
    process = start(PIDS.format(folder=str(tmp_path), end=end, work=work), tmp_path)
    _, err = process.communicate(timeout=500)
    assert process.returncode == code
    assert said in err
    assert_ended(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_command_on_ctrl_c_or_a_kill(tmp_path, number):
    process = start(
        PIDS.format(folder=str(tmp_path), end=f"open({str(tmp_path / 'ready')!r}, 'w')", work=COMPUTES), tmp_path
    )
    until = time.monotonic() + 300
    while not (tmp_path / "ready").exists():  # behind the broadcast, which all have reached
        assert time.monotonic() < until
        time.sleep(0.1)
    process.send_signal(number)
    process.communicate(timeout=500)
    assert process.returncode == -number
    assert_ended(tmp_path)


def assert_ended(folder):
    until = time.monotonic() + 300
    for rank in range(2):
        with suppress(ProcessLookupError):
            while time.monotonic() < until:
                os.kill(int((folder / str(rank)).read_text()), 0)
                time.sleep(0.1)
            pytest.fail("a process is left")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"RANK": "0"}, "LOCAL_RANK=unset is not a whole number"),
        ({"LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "1", "MASTER_PORT": "x"}, "cannot meet"),
    ],
)
def test_a_wrong_environment_is_refused_at_once(monkeypatch, variables, message):
    for name, value in {"LOCAL_WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", **variables}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message):
        start_group("cpu")
