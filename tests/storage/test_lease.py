import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import pytest

from genbench.storage import files, lease


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(lease, "PATIENCE", 0.2)
    monkeypatch.setattr(lease, "BEAT", 0.02)


def test_one_at_a_time_and_nothing_is_left(tmp_path):
    leases = tmp_path / "leases"
    with lease.hold(leases, "a") as way:
        (tmp_path / "runs").mkdir()
        files.write(way / "../../../runs/a/b/c/x", "1")
        with pytest.raises(lease.Busy, match=f"a is being run by process {os.getpid()} on "), lease.hold(leases, "a"):
            pass
        with lease.hold(leases, "b"):
            assert [held.run for held in lease.held_in(leases)] == ["a", "b"]
        assert not lease.held_in(leases)[0].owner.gone
    assert (tmp_path / "runs/a/b/c/x").read_text() == "1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]


def test_a_dead_owner_is_succeeded_at_once(tmp_path):
    code = "import sys, time, pathlib; from genbench.storage import lease\n"
    code += "with lease.hold(pathlib.Path(sys.argv[1]), 'a'): print('held', flush=True); time.sleep(60)"
    owner = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "leases")], stdout=subprocess.PIPE, text=True)
    assert owner.stdout.readline() == "held\n"
    with pytest.raises(lease.Busy, match=f"process {owner.pid} "), lease.hold(tmp_path / "leases", "a"):
        pass
    owner.send_signal(signal.SIGKILL)  # it is not waited for: a zombie is dead too
    with lease.hold(tmp_path / "leases", "a", wait=5):
        pass
    owner.wait()
    assert not list(tmp_path.iterdir())


def test_an_owner_of_another_machine_is_succeeded_when_its_lease_is_not_touched(tmp_path, impatient):
    other = tmp_path / "leases/a" / "elsewhere+1.1.2.3"
    other.mkdir(parents=True)
    began = time.monotonic()
    with lease.hold(tmp_path / "leases", "a", wait=30):
        assert time.monotonic() - began > 0.2
    assert not list(tmp_path.iterdir())


def test_owners_that_are_watched_are_succeeded_together(tmp_path, impatient):
    runs = "abcd"
    for run in runs:
        (tmp_path / "leases" / run / "elsewhere+1.1.2.3").mkdir(parents=True)
    lease.watch(tmp_path / "leases", ["nobody", *runs])
    time.sleep(0.25)
    with ExitStack() as all_of_them:
        for run in runs:
            all_of_them.enter_context(lease.hold(tmp_path / "leases", run))
    assert not list(tmp_path.iterdir())


def test_a_beating_owner_is_not_succeeded(tmp_path, impatient, monkeypatch):
    monkeypatch.setattr(lease, "PATIENCE", 1.0)  # fifty beats: a busy machine delays some of them
    with lease.hold(tmp_path, "a"), pytest.raises(lease.Busy), lease.hold(tmp_path, "a", wait=2):
        pass


def test_an_owner_that_was_succeeded_can_write_nothing(tmp_path, impatient, monkeypatch):
    monkeypatch.setattr(lease, "_beat", lambda path, stop: None)
    (tmp_path / "runs/a").mkdir(parents=True)

    def be_succeeded():
        with lease.hold(tmp_path / "leases", "a") as old:
            files.write(old / "../../../runs/a/x", "old")
            with lease.hold(tmp_path / "leases", "a", wait=5) as new:
                files.write(new / "../../../runs/a/x", "new")
                for write in (
                    lambda: files.write(old / "../../../runs/a/b/c", "old"),
                    lambda: (old / "../../../runs/a/x").open("a"),
                    lambda: (old / "../../../runs/a/x").unlink(),
                ):
                    with pytest.raises(FileNotFoundError):
                        write()
                files.write(old / "../../../runs/a/x", "old")

    with pytest.raises(lease.Busy, match="was taken over"):
        be_succeeded()
    assert (tmp_path / "runs/a/x").read_text() == "new"
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["runs", "runs/a", "runs/a/x"]


def test_an_owner_that_was_succeeded_fails_as_such_whatever_the_error(tmp_path, impatient, monkeypatch):
    """Libraries that write files have errors of their own for a path that leads nowhere any more."""
    monkeypatch.setattr(lease, "_beat", lambda path, stop: None)
    with pytest.raises(RuntimeError, match="not mine"), lease.hold(tmp_path / "leases", "a"):
        raise RuntimeError("not mine")

    def be_succeeded():
        with lease.hold(tmp_path / "leases", "a"), lease.hold(tmp_path / "leases", "a", wait=5):
            raise RuntimeError("not mine")

    with pytest.raises(lease.Busy, match="was taken over"):
        be_succeeded()


def test_of_many_that_try_one_succeeds(tmp_path):
    """A counter that is read, and written a moment later, would lose counts to any second owner."""
    counter = tmp_path / "counter"
    counter.write_text("0")
    (tmp_path / "leases/a" / f"{lease._machine()}.999999999.1.x").mkdir(parents=True)  # a dead one comes first

    def count():
        for _ in range(10):
            with lease.hold(tmp_path / "leases", "a", wait=60):
                now = int(counter.read_text())
                time.sleep(0.001)
                counter.write_text(str(now + 1))

    monkey = [threading.Thread(target=count) for _ in range(5)]
    for thread in monkey:
        thread.start()
    for thread in monkey:
        thread.join()
    assert counter.read_text() == "50"
    assert [path.name for path in tmp_path.iterdir()] == ["counter"]
