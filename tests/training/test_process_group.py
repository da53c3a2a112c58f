"""Groups of processes: how they start, what they exchange, and how they end."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch

from genbench.errors import ConfigError
from genbench.training.process_group import start_group


def run(code, folder, *launcher, **environment):
    """Run a script that starts three processes, or a launcher of two, and return the finished process."""
    script = folder / "script.py"
    script.write_text(
        "import os, sys, time, signal, torch\nfrom genbench.training.process_group import start_group\n" + code
    )
    command = [sys.executable, *launcher, str(script)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | environment)


def test_alone_nothing_changes():
    group, values = start_group("cpu"), torch.arange(3.0)
    assert (group.rank, group.size, group.is_first) == (0, 1, True)
    assert group.mean(values) is values
    assert group.broadcast("a") == "a"
    assert group.map(str, range(3)) == ["0", "1", "2"]


EXCHANGE = """
group = start_group("cpu", 3)
assert start_group("cpu").size == group.size  # what was started stays
torch.testing.assert_close(group.mean(torch.tensor([group.rank, 1.0])), torch.tensor([(group.size - 1) / 2, 1]))
who = []
assert group.map(lambda n: who.append(n) or n * n, range(7)) == [n * n for n in range(7)]
assert who == list(range(group.rank, 7, group.size))  # unequal shares
try:
    group.map(lambda n: 1 / (n - 4) + 1 / (n - 5), range(7))
except ZeroDivisionError:  # in all processes, though each of the two items belongs to one
    line = group.broadcast(f"{group.rank} of {group.size}")
    os.write(1, f"{line}\\n".encode())  # at once: print writes the end of a line apart, after that of another process
"""


def test_a_script_starts_its_processes(tmp_path):
    done = run(EXCHANGE, tmp_path)
    assert (done.returncode, sorted(done.stdout.splitlines())) == (0, ["0 of 3"] * 3), done.stderr


@pytest.mark.slow
def test_torchrun_starts_them_as_well(tmp_path):
    done = run(EXCHANGE, tmp_path, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    assert (done.returncode, sorted(done.stdout.splitlines())) == (0, ["0 of 2"] * 2), done.stderr


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "process 2 of 3 was killed by signal 9"),
        pytest.param("sys.exit(3)", "process 2 of 3 ended with code 3", marks=pytest.mark.slow),
    ],
)
def test_if_one_process_ends_the_others_end_too_and_say_which(tmp_path, end, said):
    code = f"""
group = start_group("cpu", 3)
open({str(tmp_path)!r} + f"/{{group.rank}}", "w").write(str(os.getpid()))
group.barrier()
if group.rank == 2:
    {end}
group.barrier()
"""
    done = run(code, tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
    assert_ended(tmp_path)


@pytest.mark.slow
def test_no_process_outlives_the_first_one(tmp_path):
    code = f"""
group = start_group("cpu", 3)
open({str(tmp_path)!r} + f"/{{group.rank}}", "w").write(str(os.getpid()))
group.barrier()
if group.is_first:
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(600)  # as in a long computation, which no closed connection ends
"""
    assert run(code, tmp_path).returncode == -signal.SIGKILL
    assert_ended(tmp_path)


def assert_ended(folder):
    pids = [int((folder / str(rank)).read_text()) for rank in range(3)]
    until = time.monotonic() + 30
    while any(map(alive, pids)):
        assert time.monotonic() < until
        time.sleep(0.1)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_cannot_be_repeated_is_refused():
    code = 'from genbench.training.process_group import start_group\nstart_group("cpu", 2)'
    done = subprocess.run([sys.executable, "-"], input=code, capture_output=True, text=True)
    assert "several processes start from a script or the command line only" in done.stderr


def test_a_half_set_environment_is_named(monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="LOCAL_RANK=unset is not a whole number"):
        start_group("cpu")


@pytest.mark.parametrize(
    ("rank", "size", "port", "message"),
    [("5", "2", "1", "RANK=5 is not below"), ("0", "0", "1", "RANK=0 is not below"), ("0", "1", "x", "cannot meet")],
)
def test_a_wrong_environment_is_refused_at_once(monkeypatch, rank, size, port, message):
    values = {"LOCAL_WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1"}
    for name, value in (values | {"RANK": rank, "WORLD_SIZE": size, "MASTER_PORT": port}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message):
        start_group("cpu")


def test_an_unknown_host_is_refused_at_once(monkeypatch):
    for name in ("LOCAL_WORLD_SIZE", "LOCAL_RANK", "RANK", "WORLD_SIZE", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("MASTER_ADDR", "no such host")
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(ConfigError, match="MASTER_ADDR=no such host is not a known host"):
        start_group("cpu")


@pytest.mark.parametrize("rank", ["0", "1"])
def test_processes_that_do_not_start_are_not_waited_for_without_end(monkeypatch, rank):
    values = {"LOCAL_WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "2", "RANK": rank}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in (values | {"MASTER_PORT": str(port), "GENBENCH_START_TIMEOUT": "1"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=rf"process {rank} waited at 127.0.0.1:{port} for 2 processes, 1 s"):
        start_group("cpu")


@pytest.mark.parametrize("name", ["GENBENCH_PARENT", "GENBENCH_START_TIMEOUT"])
def test_variables_of_genbench_are_checked(monkeypatch, name):
    values = {"LOCAL_WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "1", "RANK": "0"}
    for key, value in (values | {"MASTER_PORT": "1", name: "x"}).items():
        monkeypatch.setenv(key, value)
    with pytest.raises(ConfigError, match=f"{name}=x is not a whole number"):
        start_group("cpu")
