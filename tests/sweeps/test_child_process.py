"""Child processes: they end with their parent, and leave Ctrl-C to it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

CODE = """
import json, multiprocessing, os, signal, sys, time
from genbench.sweeps import child_process


def work(pipe):
    pipe.send((os.getpid(), signal.getsignal(signal.SIGINT) is signal.SIG_IGN))
    time.sleep(600)


if __name__ == "__main__":
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    child = multiprocessing.get_context("fork").Process(target=child_process.start, args=("__main__", "work", theirs))
    child.start()
    print(json.dumps(ours.recv()), flush=True)
    time.sleep(600)
"""


@pytest.fixture
def parent():
    process = subprocess.Popen([sys.executable, "-c", CODE], stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()


def exists(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_child_outlives_ctrl_c_and_not_its_parent(parent):
    pid, deaf = json.loads(parent.stdout.readline())
    assert deaf
    os.kill(pid, signal.SIGINT)
    assert exists(pid)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 60
    while exists(pid):
        assert time.monotonic() < deadline, "the child is left"
        time.sleep(0.02)
