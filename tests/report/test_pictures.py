"""Pictures show what saved runs drew, or what is published of a suite; a damaged one is only reported."""

import io
import os
import struct
import zlib
from dataclasses import replace

import numpy as np
from helpers.reports import blocks
from PIL import Image, PngImagePlugin

from genbench.analysis.values import load_suites
from genbench.report import pictures
from genbench.report.blocks import Picture
from genbench.report.pictures import excerpt, sample_pictures, small
from genbench.runs.store import Store


def suite(results, name):
    return next(suite for suite in load_suites(Store(results)) if suite.name == name)


def publish(folder, image):
    about = PngImagePlugin.PngInfo()
    about.add_itxt("Description", "published")
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    image.save(folder / "pictures/moons.png", pnginfo=about)
    return folder / "pictures/moons.png"


def test_every_model_is_shown_by_the_picture_of_its_first_saved_seed(results, report):
    runs = suite(results, "tiny").runs
    first = {run.model: run.folder / "samples.png" for run in runs if run.seed == 0}
    shown = blocks(report, Picture)
    assert [picture.path for picture in shown[: len(first)]] == list(first.values())
    assert [picture.title for picture in shown[: len(first)]] == [f"Samples of {model}" for model in first]
    assert [picture.path.parents[1].name.startswith("cfm-digits") for picture in shown[len(first) :]] == [True]
    later = [replace(run, folder=None) if run.seed == 0 else run for run in runs]
    assert {picture.caption[-7:] for picture in sample_pictures(results / "tiny", "moons", later)} == {"seed 1."}


def test_a_published_picture_is_shown_unless_every_model_has_one_here(results, tmp_path):
    runs = suite(results, "tiny").runs
    path, published = publish(tmp_path, Image.new("L", (2, 2))), [replace(run, folder=None) for run in runs]
    assert sample_pictures(tmp_path, "moons", published) == [Picture(path, "Samples of all models", "published")]
    assert sample_pictures(tmp_path, "moons", [*runs[:4], *published[4:]])[0].path == path
    assert len(sample_pictures(tmp_path, "moons", runs)) == 5
    assert sample_pictures(tmp_path / "none", "moons", published) == []
    *shown, lacking = sample_pictures(tmp_path / "none", "moons", [*runs[:-2], *published[-2:]])
    assert len(shown) == 4
    assert lacking == f"Without a saved picture: {runs[-1].model}."


def test_small_pictures_are_the_same_at_half_the_size_and_show_points_without_earlier_times(tmp_path):
    whole = Image.new("RGBA", (1464, 520), (52, 125, 214, 255))
    whole.save(tmp_path / "samples.png")
    for made in (small, excerpt):
        with Image.open(io.BytesIO(made(Picture(tmp_path / "samples.png", "", "")))) as image:
            assert image.size == (732, 260)
            assert image.convert("RGBA").getpixel((100, 100)) == (52, 125, 214, 255)
    rows = np.zeros((774, 2480), np.uint8)
    rows[526:], rows[:30] = 2, 1
    points = Image.fromarray(rows, mode="P")
    points.putpalette([*(0, 0, 0), *(9, 9, 9), *(200, 0, 0)])
    path = publish(tmp_path, points)
    assert small(Picture(path, "", "")) == path.read_bytes()
    with Image.open(io.BytesIO(excerpt(Picture(path, "", "")))) as image:
        assert image.size == (992, 270)
        assert [image.convert("RGBA").getpixel((5, y))[:3] for y in (5, 40, 265)] == [
            (9, 9, 9),
            (200, 0, 0),
            (200, 0, 0),
        ]


def test_names_of_different_data_sets_differ():
    names = [pictures.name_of(data) for data in ("moons", "moons n=2", "moons n-2", "中", "国", "../moons")]
    assert len(set(names)) == len(names)
    assert not [name for name in names if set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789-")]


def test_a_damaged_picture_is_reported_and_not_shown(results, tmp_path, caplog):
    (run,) = [run for run in suite(results, "tiny").runs if (run.model, run.seed) == ("cfm", 0)]
    good, path = (run.folder / "samples.png").read_bytes(), tmp_path / "samples.png"
    size = b"\x00\xff\xff\xff\x00\xff\xff\xff\x08\x00\x00\x00\x00"
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + size + struct.pack(">I", zlib.crc32(b"IHDR" + size))
    own = replace(run, folder=tmp_path)
    for damage in (good[:60], good[:-200], b"", b"no picture", bomb, None):
        path.unlink(missing_ok=True)
        path.write_bytes(damage) if damage is not None else os.mkfifo(path)
        caplog.clear()
        assert sample_pictures(tmp_path / "none", "moons", [own]) == []
        assert "samples.png is damaged and not shown" in caplog.text
    damaged = publish(tmp_path, Image.new("L", (2, 2)))
    damaged.write_bytes(damaged.read_bytes()[:60])
    assert sample_pictures(tmp_path, "moons", [replace(run, folder=None)]) == []
    assert "moons.png is damaged and not shown" in caplog.text
