"""Rows on disk: the same as in memory, verified, made again when damaged, in memory that does not grow with them."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.image_trees import build, write_images
from helpers.processes import apart
from PIL import Image

from genbench.data import rows, splits
from genbench.data.splits import Arrays, Finite
from genbench.metrics.extractors.feature_extractor import FeatureExtractor
from genbench.metrics.image import reference_statistics
from genbench.registry import datasets
from genbench.space import Pixels


@pytest.fixture
def train(tmp_path, own_home):
    """The training images of a folder, on disk and mirrored at random."""
    write_images(tmp_path / "images", {"a": 15, "b": 15})
    return build(tmp_path / "images", valid=0.2, test=0.2, flip=True).train


@pytest.fixture
def array():
    return np.random.default_rng(0).integers(0, 256, (30, 3, 4), dtype=np.uint8)


@pytest.fixture
def cached(own_home, array):
    """Return what opens the array as cached rows, and the calls that made it."""
    calls = []

    def open_rows(shape=array.shape, dtype=np.uint8, make=lambda: reversed(list(enumerate(array)))):
        return rows.CachedRows("images", "a.npy", shape, dtype, lambda: calls.append(1) or make())

    return open_rows, calls


def test_rows_come_back_in_any_order_and_are_made_once(cached, array, tmp_path):
    open_rows, calls = cached
    for _ in range(2):
        torch.testing.assert_close(open_rows()[torch.tensor([3, 29, 3, 0])], torch.from_numpy(array[[3, 29, 3, 0]]))
    assert len(calls) == 1
    np.testing.assert_array_equal(np.load(tmp_path / "home/images/a.npy"), array)
    selected = rows.SelectedRows(open_rows(), torch.tensor([5, 4]))
    torch.testing.assert_close(selected[torch.tensor([1])], torch.from_numpy(array[[4]]))


@pytest.mark.parametrize("name", ["a.npy", "a.npy.sha256"])
@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"x" * 700], ids=["empty", "cut in its magic", "noise"])
def test_a_file_that_holds_something_else_is_reported_and_made_again(cached, array, tmp_path, caplog, content, name):
    open_rows, calls = cached
    path = tmp_path / "home/images" / name
    whole = open_rows() and path.read_bytes()
    flipped = [bytes([*whole[:place], whole[place] ^ 1, *whole[place + 1 :]]) for place in (3, len(whole) // 2)]
    for damaged in (content, whole[:-1], whole[:200], whole + b"x", *flipped):
        path.write_bytes(damaged)
        torch.testing.assert_close(open_rows()[torch.arange(30)], torch.from_numpy(array))
    # A sha256 without its last end of line is the same; one of less than 200 bytes is whole.
    assert len(calls) == caplog.text.count("it is made again") + 1 == (7 if name == "a.npy" else 5)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_made_again(cached, array, tmp_path, make):
    open_rows, _ = cached
    path = tmp_path / "home/images/a.npy"
    open_rows()
    path.unlink()
    make(path)
    torch.testing.assert_close(open_rows()[torch.arange(30)], torch.from_numpy(array))


def test_batches_from_disk_are_those_from_memory(train):
    arrays = train._arrays
    assert isinstance(arrays.raw, rows.CachedRows)
    held = Finite(lambda: arrays._replace(raw=arrays.raw[torch.arange(30)]), train.size, Pixels(256), flip=True)
    for step in (0, 1, 2, 3, 9, 4):  # over borders of epochs, and not always the one that was read ahead
        for a, b in zip(held.batch(step, 7, 3), train.batch(step, 7, 3), strict=True):
            assert torch.equal(a, b)
    assert torch.equal(held.take(6, 0).x, train.take(6, 0).x)


def test_the_next_batch_is_read_ahead(train, monkeypatch):
    train.batch(0, 5, 0)
    stored, reads = train._arrays.raw, []
    read = rows.CachedRows._read
    stored._ahead[1].result()
    monkeypatch.setattr(rows.CachedRows, "_read", lambda self, asked: reads.append(asked) or read(self, asked))
    train.batch(1, 5, 0)
    stored._ahead[1].result()
    assert len(reads) == 1  # of the batch after
    assert torch.equal(reads[0], train._arrays.rows[train.batch_indices(2, 5, 0)[0]])


@pytest.mark.parametrize("resident", [0, 2**30])
def test_augmentation_and_encoding_are_done_on_the_device(train, monkeypatch, resident):
    """The meta device keeps shapes only, and refuses to meet a tensor that stayed behind."""
    monkeypatch.setattr(splits, "RESIDENT", resident)
    there = train.on(torch.device("meta")).batch(0, 7, 0)
    assert (there.x.device.type, there.label.device.type) == ("meta", "meta")
    assert there.x.shape == (7, 3, 8, 8)
    assert torch.equal(train.on(torch.device("cpu")).batch(0, 7, 0).x, train.batch(0, 7, 0).x)
    if resident:  # rows that fit are moved once
        there = train.on(torch.device("meta"))
        monkeypatch.setattr(rows.CachedRows, "__getitem__", None)
        assert there.batch(0, 7, 0).x.shape == there.batch(1, 7, 0).x.shape == (7, 3, 8, 8)


def test_batches_of_rows_on_the_device_are_those_of_the_disk(train):
    there, arrays = train.on(torch.device("cpu")), train._arrays
    there._resident = Arrays(arrays.raw[arrays.rows], arrays.label[arrays.rows], torch.arange(train.size))
    for step in (0, 1, 4, 9):
        for here, moved in zip(train.batch(step, 7, 3), there.batch(step, 7, 3), strict=True):
            assert torch.equal(here, moved)


MEBIBYTES = 32


class Mean(FeatureExtractor):
    def forward(self, images):
        return torch.stack([image.float().mean((1, 2)) for image in images])


def images_of(path, size):
    return datasets["folder"].build(path=path, size=size, valid=0, test=0)


def epoch(path, size):
    train = images_of(path, size).train
    return sum(float(train.batch(step, 8, 0).x.mean()) for step in range(train.size // 8))


def statistics_of(path, size):
    extractor = Mean("mean", "0" * 64, "none", 3)
    return reference_statistics.statistics(images_of(path, size), extractor, "train", 50_000).moments


def all_rows(path, size):
    arrays = images_of(path, size).train._arrays
    return arrays.raw[arrays.rows]


USES = {"training": epoch, "measuring": statistics_of, "holding": all_rows}


def growth(use, few, many):
    """Return by how many MiB the peak of a process grows where it uses a folder of images."""

    def peak():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

    USES[use](few, 16)  # whatever is imported and allocated once
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before = peak()
    USES[use](many, 128)
    return peak() - before


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="peaks of memory are read as Linux tells them")
def test_the_memory_for_a_folder_is_a_fraction_of_its_size(tmp_path):
    few, many = tmp_path / "few", tmp_path / "many"
    few.mkdir()
    many.mkdir()
    count = 4 * MEBIBYTES * 2**20 // (3 * 128**2) + 16
    for i in range(count):
        pixels = np.random.default_rng(i).integers(0, 256, (128, 128, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(many / f"{i}.bmp")
    for i in range(16):
        Image.new("RGB", (16, 16)).save(few / f"{i}.bmp")

    home = {"GENBENCH_HOME": tmp_path / "home"}
    trained_on, measured_against, whole = (apart(growth, use, few, many, **home) for use in USES)
    assert max(trained_on, measured_against) < 1.5 * MEBIBYTES
    assert whole > 3 * MEBIBYTES  # the measurement can tell
