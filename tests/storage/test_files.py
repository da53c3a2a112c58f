"""Files have their name only when they are on the disk; one that cannot be written is named, and nothing is left."""

import errno
import os
import resource
from contextlib import contextmanager
from functools import partial
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from genbench.storage import files, tensors


@contextmanager
def room(size):
    """No file of this process may become larger, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def write_with(write, temporary):
    with temporary.open("wb") as file:
        write(file, np.zeros(5000))


WRITERS = {
    "text": lambda path: files.write(path, "x" * 5000),
    "tensors": lambda path: tensors.save(path, {"a": torch.zeros(5000)}, {}),
    "archive": lambda path: files.replace(path, partial(write_with, np.savez)),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_file_without_room_is_named_and_leaves_the_old_one(tmp_path, write):
    path = tmp_path / "here" / ".." / "kept"
    (tmp_path / "here").mkdir()
    path.write_text("old")
    with room(1000), pytest.raises(OSError, match="File too large") as error:
        write(path)
    assert (error.value.errno, error.value.filename) == (errno.EFBIG, str(tmp_path / "kept"))
    assert path.read_text() == "old"
    with room(1000), pytest.raises(OSError, match="5000 requested") as error:  # NumPy's own words, without a number
        files.replace(path, partial(write_with, np.save))
    assert (error.value.errno, error.value.filename) == (errno.EIO, str(tmp_path / "kept"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["here", "kept"]
    write(path)
    assert path.stat().st_size > 1000


def test_a_file_that_may_not_be_written_is_named_and_not_the_temporary_one(tmp_path):
    with pytest.raises(PermissionError) as error:
        files.replace(tmp_path / "kept", Mock(side_effect=PermissionError(errno.EACCES, "no", ".kept.tmp")))
    assert error.value.filename == str(tmp_path / "kept")


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
    with pytest.raises(IsADirectoryError) as error:
        files.write(tmp_path, "new")
    assert error.value.filename == str(tmp_path)
    assert not any(tmp_path.iterdir())
    assert not [*tmp_path.parent.glob("*.tmp")]


@pytest.mark.parametrize("durable", [True, False])
def test_content_is_on_the_disk_before_its_name_and_then_the_name(tmp_path, monkeypatch, durable):
    """After a loss of power there is the old file or the new one, never an empty one; views are not waited for."""
    done, replace = [], os.replace

    def sync(handle):
        done.append(("sync", os.fstat(handle).st_ino))

    def rename(source, target):
        done.append(("rename", os.stat(source).st_ino))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", rename)
    files.write(tmp_path / "kept", "new", **({} if durable else {"durable": False}))
    content, folder = (place.stat().st_ino for place in (tmp_path / "kept", tmp_path))
    assert done == [("sync", content), ("rename", content), ("sync", folder)][slice(None) if durable else slice(1, 2)]
    assert (tmp_path / "kept").read_text() == "new"
