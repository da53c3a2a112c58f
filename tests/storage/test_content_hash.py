"""Content hashes: of names and contents, computed again only after a change."""

import hashlib
import os
import time
from pathlib import Path
from typing import Annotated

import pytest

from genbench.errors import ConfigError
from genbench.registry import Registry
from genbench.settings import Nested, OnDisk, bind
from genbench.storage import content_hash

pytestmark = pytest.mark.usefixtures("own_home")


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_hash_of_a_folder_is_that_of_its_names_and_contents_in_order(tmp_path):
    tree = tmp_path / "tree"
    for name in ("a/x", "a-b", "a.c", "B"):  # by their parts: a/x comes before a-b
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name)
    (tree / "a/empty").mkdir()
    os.mkfifo(tree / "fifo")
    (tree / "broken").symlink_to("nowhere")
    (tree / "link").symlink_to("a")
    (tree / "same").symlink_to("a-b")
    lines = [f"B\0{digest('B')}\n", "a/empty/\n", f"a/x\0{digest('a/x')}\n"]
    lines += [f"{name}\0{digest(content)}\n" for name, content in (("a-b", "a-b"), ("a.c", "a.c"), ("same", "a-b"))]
    assert content_hash.sha256(tree) == content_hash.remembered(tree) == digest("".join(lines))
    assert content_hash.sha256(tree / "B") == content_hash.remembered(tree / "B") == digest("B")


def test_a_hash_is_computed_again_only_after_a_change(tmp_path, monkeypatch):
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/a").write_text("a")
    monkeypatch.setattr(content_hash, "DOUBT", 0.0)
    calls, compute = [], content_hash.sha256
    monkeypatch.setattr(content_hash, "sha256", lambda path: calls.append(path) or compute(path))

    def known():
        assert content_hash.remembered(tree) == content_hash.remembered(tree) == compute(tree)
        return calls.count(tree)

    assert known() == 1
    (tree / "sub/a").write_text("bb")
    assert known() == 2
    (tree / "empty").mkdir()
    assert known() == 3


@pytest.mark.parametrize("within", ["file", "folder"])
@pytest.mark.parametrize("replaced", [False, True], ids=["written", "renamed"])
@pytest.mark.parametrize("coarse", [False, True], ids=["exact", "coarse"])
def test_another_content_of_the_same_size_and_time_is_noticed(tmp_path, monkeypatch, within, replaced, coarse):
    """Archives and rsync restore times; on a coarse clock two changes have one time, and a renamed file one inode."""
    monkeypatch.setattr(content_hash, "DOUBT", 600.0 if coarse else 0.0)
    if coarse:
        monkeypatch.setattr(content_hash, "_stamp", lambda status: str(status.st_size))
    file = tmp_path / "data/file"
    file.parent.mkdir()
    file.write_text("one")
    path = file if within == "file" else file.parent
    before, times = content_hash.remembered(path), file.stat()
    time.sleep(0.02)  # longer than a tick
    other = tmp_path / "other" if replaced else file
    other.write_text("two")
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(file)
    assert file.stat().st_mtime_ns == times.st_mtime_ns
    assert content_hash.remembered(path) == content_hash.sha256(path) != before


def test_a_path_that_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match="nowhere cannot be read: No such file or directory"):
        content_hash.remembered(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError, match="fifo cannot be read: Not a directory"):
        content_hash.remembered(tmp_path / "fifo")


def test_files_that_settings_name_are_hashed_and_must_exist(tmp_path):
    known = Registry("file", "tests.files")

    @known.register("file", version=1)
    def file(
        *, path: Annotated[str, OnDisk()], model: Annotated[str, OnDisk(or_name=True)] = "a", other: Path | None = None
    ): ...

    def reads(*, source: Annotated[dict, Nested(known)]): ...

    def hashes(path, **more):
        chosen = {"source": {"name": "file", "path": str(path)} | more}
        return content_hash.of_settings(reads, bind(reads, chosen, "it"), "it")

    (tmp_path / "file").write_text("abc")
    assert hashes(tmp_path / "file") == {"source.path": digest("abc")}
    assert hashes(tmp_path / "file", other=str(tmp_path / "file"))["source.other"] == digest("abc")
    with pytest.raises(ConfigError, match=r"it\.source\.path: .*none does not exist"):
        hashes(tmp_path / "none")
