"""Images on disk: read as they are asked for, the same as from memory, in memory that does not grow with the folder."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from genbench.data.image_files import rows
from genbench.errors import ConfigError, RunFailed
from genbench.registry import datasets


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_HOME", str(tmp_path / "home"))
    for i in range(30):
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        (tmp_path / "images" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "images" / "ab"[i % 2] / f"{i}.png")
    return tmp_path / "images"


def build(path, monkeypatch, gib):
    monkeypatch.setenv("GENBENCH_MEMORY", gib)
    return datasets["folder"].build(path=str(path), size=8, valid=0.2, test=0.2)


def test_batches_from_disk_are_those_from_memory(folder, monkeypatch):
    mapped, streamed = build(folder, monkeypatch, "1"), build(folder, monkeypatch, "0")
    held = streamed.train._arrays.raw
    assert isinstance(held, rows.Streamed)
    for step in (0, 1, 2, 3, 9, 4):  # over borders of epochs, and not always the one that was announced
        for a, b in zip(mapped.train.batch(step, 7, 3), streamed.train.batch(step, 7, 3), strict=True):
            assert torch.equal(a, b)
    assert torch.equal(mapped.test.take(6, 0).x, streamed.test.take(6, 0).x)


def test_the_next_batch_is_read_ahead(folder, monkeypatch):
    monkeypatch.setenv("GENBENCH_MEMORY", "0")
    train = build(folder, monkeypatch, "0").train
    train.batch(0, 5, 0)
    held, reads = train._arrays.raw, []
    read = rows.Streamed._read
    held._ahead[1].result()
    monkeypatch.setattr(rows.Streamed, "_read", lambda self, asked: reads.append(asked) or read(self, asked))
    train.batch(1, 5, 0)
    held._ahead[1].result()
    assert len(reads) == 1  # of the batch after
    assert torch.equal(reads[0], train._arrays.rows[train.visit(2, 5, 0)[0]])


def test_a_file_that_was_cut_off_is_one_line(folder, monkeypatch):
    data = build(folder, monkeypatch, "0")
    opened = data.train._arrays.raw
    path = opened._path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RunFailed, match=r"is damaged: it ends in row 29; delete it, and it is made again"):
        opened[torch.tensor([3, 29])]
    for gib in ("0", "1"):  # streamed, and mapped
        monkeypatch.setenv("GENBENCH_MEMORY", gib)
        with pytest.raises(RunFailed, match=r"is damaged: it is not as long as it says; delete it"):
            rows.opened(path)


def test_a_wrong_cap_says_what_would_be_right(folder, monkeypatch):
    with pytest.raises(ConfigError, match="GENBENCH_MEMORY=much: give the GiB"):
        build(folder, monkeypatch, "much").train.batch(0, 2, 0)


def test_views_and_floats_are_made_on_the_device(folder, monkeypatch):
    """The meta device keeps shapes only, and refuses to meet a tensor that stayed behind."""
    train = build(folder, monkeypatch, "1").train
    there = train.on(torch.device("meta")).batch(0, 7, 0)
    assert (there.x.device.type, there.label.device.type) == ("meta", "meta")
    assert there.x.shape == (7, 3, 8, 8)
    assert torch.equal(train.on(torch.device("cpu")).batch(0, 7, 0).x, train.batch(0, 7, 0).x)


MEBIBYTES = 32
STATISTICS = """
from genbench.metrics.image import reference_statistics
from genbench.metrics.image.features import Features
import torch

class Mean(Features):
    name, sha256, resize = "mean", "0" * 64, "none"

    def __call__(self, images):
        return torch.stack([image.float().mean((1, 2)) for image in images])

def epoch(path, size):
    data = datasets["folder"].build(path=path, size=size, valid=0, test=0)
    return reference_statistics.statistics(data, Mean(), "train", 50_000).moments
"""
WATCHED = """
import json, os, sys
from pathlib import Path
from genbench.registry import datasets

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024

def epoch(path, size):
    train = datasets["folder"].build(path=path, size=size, valid=0, test=0).train
    return sum(float(train.batch(step, 8, 0).x.mean()) for step in range(train.size // 8))

exec(sys.argv[3])
epoch(sys.argv[1], 16)  # whatever is imported and allocated once
Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
before = status("VmHWM")
epoch(sys.argv[2], 128)
print(json.dumps(status("VmHWM") - before))
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="peaks of memory are read as Linux tells them")
@pytest.mark.parametrize("use", ["", STATISTICS], ids=["trained on", "measured against"])
def test_a_folder_four_times_the_cap_is_decoded_and_used_below_the_cap(tmp_path, use):
    few, many = tmp_path / "few", tmp_path / "many"
    few.mkdir()
    many.mkdir()
    count = 4 * MEBIBYTES * 2**20 // (3 * 128**2) + 16
    for i in range(count):
        pixels = np.random.default_rng(i).integers(0, 256, (128, 128, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(many / f"{i}.bmp")
    for i in range(16):
        Image.new("RGB", (16, 16)).save(few / f"{i}.bmp")

    def peak(gib, home):
        environment = os.environ | {"GENBENCH_MEMORY": str(gib), "GENBENCH_HOME": str(tmp_path / home)}
        done = subprocess.run(
            [sys.executable, "-c", WATCHED, str(few), str(many), use],
            env=environment, check=True, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        return json.loads(done.stdout)

    streamed, mapped = peak(MEBIBYTES / 1024, "streamed"), peak(4, "mapped")
    assert streamed < MEBIBYTES
    assert mapped > 3 * MEBIBYTES  # it can be told
    print(f"{count} images of 48 KiB: {streamed:.0f} MiB more at the peak, {mapped:.0f} MiB if mapped")
