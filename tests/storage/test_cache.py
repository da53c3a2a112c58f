"""The cache: one makes an entry, everyone reads it; damage is reported and made good."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.processes import apart

from genbench.errors import ConfigError
from genbench.storage import cache, files

pytestmark = pytest.mark.usefixtures("own_home")


def entry(text="content", calls=None):
    def make(path):
        if calls is not None:
            calls.append(path)
        files.write_sealed(path, text)

    return cache.get("kind", "name", files.read_sealed, make)


@pytest.mark.parametrize(("given", "folder"), [("~/mine", "mine"), ("", ".cache/genbench")])
def test_the_home_of_the_user_is_written_as_a_tilde(tmp_path, monkeypatch, given, folder):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GENBENCH_HOME", given)
    assert cache.home() == tmp_path / folder


@pytest.mark.parametrize(("given", "folder"), [("~nosuchuser/x", "~nosuchuser/x"), ("", "~/.cache/genbench")])
def test_a_home_that_is_not_known_is_a_wrong_request(cli, monkeypatch, given, folder):
    def unknown(_):
        raise KeyError("uid not found")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setenv("GENBENCH_HOME", given)
    said = f"genbench: no home directory is known for {folder}: set GENBENCH_HOME to a full path\n"
    assert cli("doctor")[::2] == (2, said)


def test_an_entry_is_made_once(own_home):
    calls = []
    assert [entry(calls=calls) for _ in range(3)] == ["content"] * 3
    assert calls == [own_home / "kind" / "name"]
    assert cache.key(a=1, b=2) == cache.key(b=2, a=1)
    assert len({cache.key(a=1), cache.key(a=2), cache.key(b=1), cache.key(path="\udcff")}) == 4


@pytest.mark.parametrize("damage", [b"", b"content", b"cont\xffnt\n0\n"])
def test_a_damaged_entry_is_reported_in_one_line_and_made_again(own_home, caplog, damage):
    entry()
    (own_home / "kind/name").write_bytes(damage)
    assert entry() == "content"
    assert [record.getMessage() for record in caplog.records] == [
        f"{own_home / 'kind/name'} is damaged, or a copy of another file: its checksum differs; it is made again"
    ]
    assert entry(calls=None) == "content"


def test_a_text_is_bound_to_its_name_so_that_a_copy_under_another_name_is_made_again(own_home, caplog):
    assert cache.text("kind", "one", lambda: "1") == "1"
    (own_home / "kind/two").write_bytes((own_home / "kind/one").read_bytes())
    assert cache.text("kind", "two", lambda: "2") == "2"
    reason = "is damaged, or a copy of another file: its checksum differs; it is made again"
    assert caplog.messages == [f"{own_home / 'kind/two'} {reason}"]
    assert cache.text("kind", "one", lambda: "made again") == "1"


def test_what_fails_leaves_nothing_and_keeps_no_lock(own_home):
    def fail(path):
        raise ConfigError("no")

    for _ in range(2):
        with pytest.raises(ConfigError, match="no"):
            cache.get("kind", "name", files.read_sealed, fail)
    assert [path.name for path in (own_home / "kind").glob("[!.]*")] == []
    with pytest.raises(files.Damaged):  # it never reads as it was written
        cache.get("kind", "name", files.read_sealed, lambda path: files.write(path, "unsealed"))
    assert entry() == "content"


def test_where_nothing_can_be_kept_entries_last_as_long_as_the_process(own_home, caplog):
    own_home.write_text("")
    calls = []
    assert [entry(calls=calls) for _ in range(2)] == ["content"] * 2
    assert len(calls) == 1
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "entries last for this process only"
    ]


def made_slowly():
    calls = []

    def make(path):
        calls.append(1)
        time.sleep(0.5)
        files.write_sealed(path, "content")

    return cache.get("kind", "name", files.read_sealed, make), len(calls)


def test_of_several_processes_one_makes_an_entry(own_home):
    with ThreadPoolExecutor(4) as threads:
        processes = [threads.submit(apart, made_slowly, GENBENCH_HOME=own_home) for _ in range(4)]
    found = [process.result() for process in processes]
    assert sorted(found) == [("content", 0)] * 3 + [("content", 1)]
