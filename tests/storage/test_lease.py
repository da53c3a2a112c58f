"""Leases: one owner at a time, takeover from ended and silent owners, fencing of those that lost their lease."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from genbench import activity
from genbench.errors import ConfigError
from genbench.storage import files, lease


@pytest.fixture
def short_expiry(monkeypatch):
    monkeypatch.setattr(lease, "EXPIRY", 0.2)
    monkeypatch.setattr(lease, "HEARTBEAT", 0.02)


def test_one_at_a_time_and_no_lease_is_left(tmp_path):
    leases = tmp_path / "leases"
    with lease.hold(leases, "a") as path:
        (tmp_path / "runs").mkdir()
        files.write(path / "../../../runs/a/b/c/x", "1")
        with pytest.raises(lease.Busy, match=f"a is being run by process {os.getpid()} on "), lease.hold(leases, "a"):
            pass
        with lease.hold(leases, "b"):
            assert [held.run for held in lease.leases_in(leases)] == ["a", "b"]
        assert not lease.leases_in(leases)[0].owner.exited
    assert (tmp_path / "runs/a/b/c/x").read_text() == "1"
    assert not list(leases.iterdir())


def test_the_lease_of_an_ended_process_is_taken_over_at_once(tmp_path):
    code = "import sys, time, pathlib; from genbench.storage import lease\n"
    code += "with lease.hold(pathlib.Path(sys.argv[1]), 'a'): print('held', flush=True); time.sleep(600)"
    owner = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "leases")], stdout=subprocess.PIPE, text=True)
    assert owner.stdout.readline() == "held\n"
    with pytest.raises(lease.Busy, match=f"process {owner.pid} "), lease.hold(tmp_path / "leases", "a"):
        pass
    owner.send_signal(signal.SIGKILL)  # not waited for: a zombie has ended too
    with lease.hold(tmp_path / "leases", "a", wait=300):
        pass
    owner.wait()
    assert not list((tmp_path / "leases").iterdir())


def test_the_lease_of_another_machine_expires_without_a_refresh(tmp_path, short_expiry):
    """Those whose timers were started together expire together."""
    for run in "abcd":
        (tmp_path / "leases" / run / "elsewhere+1.1.2.3").mkdir(parents=True)
    began = time.monotonic()
    with lease.hold(tmp_path / "leases", "a", wait=300):
        assert time.monotonic() - began > 0.2
    lease.start_expiry_timers(tmp_path / "leases", ["missing", *"bcd"])
    time.sleep(0.25)
    with ExitStack() as held:
        for run in "bcd":
            held.enter_context(lease.hold(tmp_path / "leases", run))
    assert not list((tmp_path / "leases").iterdir())


def test_a_refreshed_lease_does_not_expire(tmp_path, short_expiry, monkeypatch):
    """By a clock on which more than EXPIRY passes between two beats of the heart, however long they take."""
    utime, beat, now = os.utime, threading.Event(), [0.0]

    def refresh(path):
        utime(path)
        beat.set()

    def sleep(seconds):
        for _ in range(2):  # the first may have come before the last look at the lease
            beat.clear()
            beat.wait(60)
        now[0] += seconds

    monkeypatch.setattr(lease.os, "utime", refresh)
    monkeypatch.setattr(lease, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep, time=time.time))
    with lease.hold(tmp_path, "a"), pytest.raises(lease.Busy), lease.hold(tmp_path, "a", wait=2):
        pass
    assert now[0] >= 2


def test_an_owner_that_lost_its_lease_can_write_nothing(tmp_path, short_expiry, monkeypatch):
    monkeypatch.setattr(lease, "_refresh", lambda path, stop: None)
    (tmp_path / "runs/a").mkdir(parents=True)

    def lose_the_lease():
        with lease.hold(tmp_path / "leases", "a") as old:
            files.write(old / "../../../runs/a/x", "old")
            with lease.hold(tmp_path / "leases", "a", wait=300) as new:
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
        lose_the_lease()
    assert (tmp_path / "runs/a/x").read_text() == "new"
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == ["leases", "runs", "runs/a", "runs/a/x"]


def test_an_owner_that_lost_its_lease_fails_as_busy_whatever_the_error(tmp_path, short_expiry, monkeypatch):
    """Libraries that write files raise errors of their own for a broken path."""
    monkeypatch.setattr(lease, "_refresh", lambda path, stop: None)
    with pytest.raises(RuntimeError, match="not mine"), lease.hold(tmp_path / "leases", "a"):
        raise RuntimeError("not mine")

    def lose_the_lease():
        with lease.hold(tmp_path / "leases", "a"), lease.hold(tmp_path / "leases", "a", wait=300):
            raise RuntimeError("not mine")

    with pytest.raises(lease.Busy, match="was taken over"):
        lose_the_lease()


def test_of_several_contenders_one_acquires_the_lease(tmp_path):
    """A counter that is read, and written a moment later, would lose counts to a second owner."""
    counter = tmp_path / "counter"
    counter.write_text("0")
    (tmp_path / "leases/a" / f"{lease._machine()}.999999999.1.x").mkdir(parents=True)  # an expired lease comes first

    def count():
        for _ in range(10):
            with lease.hold(tmp_path / "leases", "a", wait=300):
                now = int(counter.read_text())
                time.sleep(0.001)
                counter.write_text(str(now + 1))

    contenders = [threading.Thread(target=count) for _ in range(5)]
    for thread in contenders:
        thread.start()
    for thread in contenders:
        thread.join()
    assert counter.read_text() == "50"
    assert not list((tmp_path / "leases").iterdir())


def test_files_of_other_programs_among_the_leases_do_not_stop_a_run(tmp_path):
    (tmp_path / "inside").mkdir()
    for stray in ("stray", ".stray", "in_place", "inside/.DS_Store"):
        (tmp_path / stray).touch()
    lease.start_expiry_timers(tmp_path, ["in_place", "inside"])
    for run in ("in_place", "inside"):
        with lease.hold(tmp_path, run) as path:
            assert path.is_dir()
            with pytest.raises(lease.Busy), lease.hold(tmp_path, run):
                pass
        assert not (tmp_path / run).exists()


def test_a_file_in_place_of_the_leases_is_named_and_left(tmp_path):
    (tmp_path / "leases").write_text("of others")
    said = "leases: File exists; make it a folder that can be written"
    with pytest.raises(ConfigError, match=said), lease.hold(tmp_path / "leases", "run"):
        pass
    with pytest.raises(ConfigError, match=said):
        lease.require(tmp_path / "leases")
    lease.remove_leftovers(tmp_path / "leases")
    assert (tmp_path / "leases").read_text() == "of others"
    (tmp_path / "of_others").mkdir()
    unwritable = pytest.raises(ConfigError, match=f"{tmp_path / 'of_others'} cannot be written: make it a folder")
    with patch("os.access", lambda path, _: path.name == "leases"), unwritable:
        lease.require(tmp_path / "of_others" / "leases")
    assert list((tmp_path / "of_others").iterdir()) == []
    with pytest.raises(ConfigError, match="No such file"), lease.hold(Path("/proc/leases"), "run", wait=1e9):
        pass  # which can hold no lease at all


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_an_owner_whose_proc_entry_cannot_be_read_has_not_ended(tmp_path, monkeypatch):
    """/proc may hide the processes of other users."""
    read = Path.read_text
    with lease.hold(tmp_path, "a"):
        (held,) = lease.leases_in(tmp_path)

        def hidden(path, *arguments, **options):
            if path.name == "stat":
                raise PermissionError(13, "Permission denied", str(path))
            return read(path, *arguments, **options)

        monkeypatch.setattr(Path, "read_text", hidden)
        assert not held.owner.exited
        assert held.owner._replace(pid=str(2**22 + 1)).exited
        with pytest.raises(lease.Busy), lease.hold(tmp_path, "a"):
            pass


@pytest.mark.parametrize("owner", ["nobody", "elsewhere+1.1.2.3"])
def test_a_rename_that_nfs_repeats_is_no_failure(tmp_path, short_expiry, monkeypatch, owner):
    """The server renames, its answer is lost, and the client's second request finds nothing to rename."""
    rename = os.rename

    def repeated(source, target):
        rename(source, target)
        rename(source, target)

    monkeypatch.setattr(os, "rename", repeated)
    monkeypatch.setattr(os, "replace", repeated)
    if owner != "nobody":
        (tmp_path / "leases/a" / owner).mkdir(parents=True)
    with lease.hold(tmp_path / "leases", "a", wait=60) as path:
        (tmp_path / "runs").mkdir()
        files.write(path / "../../../runs/a/x", "1")
        with pytest.raises(lease.Busy), lease.hold(tmp_path / "leases", "a"):
            pass
    assert (tmp_path / "runs/a/x").read_text() == "1"
    assert not list((tmp_path / "leases").iterdir())


def test_a_process_whose_training_hangs_in_a_step_loses_its_lease(tmp_path, short_expiry, monkeypatch):
    monkeypatch.setattr(lease, "_exited", lambda name: False)
    with lease.hold(tmp_path / "leases", "a") as path, activity.training_step():
        with pytest.raises(lease.Busy), lease.hold(tmp_path / "leases", "a", wait=1):
            pass
        monkeypatch.setattr(lease, "LONGEST_STEP", 0.0)
        with lease.hold(tmp_path / "leases", "a", wait=60):
            assert not path.exists()
