"""Pictures show the samples of the saved models, are drawn once, and are never lost."""

import os
import shutil
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.reports import blocks
from PIL import Image

import genbench
from genbench import user_code
from genbench.analysis.values import load_suites
from genbench.errors import ConfigError, Unsupported
from genbench.metrics.sampling import noise
from genbench.registry import datasets, models
from genbench.report import pictures
from genbench.report.blocks import Picture
from genbench.report.pictures import DENSITY_SAMPLES, LABEL, POINTS, SCALE, TILE, sample_picture
from genbench.runs.spec import build_data
from genbench.runs.store import Store
from genbench.seeds import derive


def suite(results, name):
    return next(suite for suite in load_suites(Store(results)) if suite.name == name)


def test_points_end_at_the_samples_of_the_model(results):
    run = suite(results, "tiny").runs[0]
    data = build_data({"name": "moons", "version": 1})
    frame, real = pictures._frame(data)
    shades, peak = pictures._shades(real[None], frame, None)
    panel = pictures._panel(run, data, frame, peak)
    model = genbench.load(run.folder.parent)
    with torch.no_grad():
        x = data.space.decode(model.sample(noise(model.source, DENSITY_SAMPLES, derive(0, "picture"))).x)[:POINTS]
    left, right, bottom, top = frame
    inside = ((x[:, 0] > left) & (x[:, 0] < right) & (x[:, 1] > bottom) & (x[:, 1] < top)).numpy()
    assert inside.mean() > 0.8
    drawn = panel.points[-1] / 255 * [right - left, bottom - top] + [left, top]
    np.testing.assert_allclose(drawn[inside], x.numpy()[inside], atol=0.51 * (right - left) / 255 + 1e-3)
    assert len(panel.points) == 3
    for points, density in zip(panel.points, panel.shades, strict=True):
        inner = points.astype(int)[((points > 8) & (points < 247)).all(1)] * density.shape[0] // 256
        assert (density[inner[:, 1], inner[:, 0]] > 0).mean() > 0.95
    assert shades.max() == 255


def test_a_picture_has_a_column_for_each_model_and_reads_on_light_and_dark_paper(results, report):
    picture = blocks(report, Picture)[0]
    assert picture.path == results / "tiny/pictures/moons.png"
    assert picture.path.stat().st_size < 100_000
    drawn = np.asarray(Image.open(picture.path).convert("RGBA")).astype(float)
    assert drawn.shape[1] == 6 * (TILE + pictures.GAP)  # data, cfm, three of wcfm, tarflow
    columns = drawn.reshape(len(drawn), 6, -1, 4)[LABEL:]
    first = columns[: TILE + pictures.GAP]
    assert [bool(first[:, number, :, 3].any()) for number in range(6)] == [False, True, True, True, True, False]
    assert (drawn[..., 3] == 0).mean() > 0.5
    for paper in (np.array([252, 252, 250]), np.array([20, 22, 25])):
        dots = columns[columns[..., 3] == 255][:, :3]
        assert np.abs(dots - paper).max(1).min() > 100


def test_image_grids_show_the_saved_samples(results, report):
    (picture,) = [block for block in blocks(report, Picture) if "digits" in block.path.name]
    (saved,) = [path for path in (results / "runs").glob("cfm-digits-*/*/samples.npz")]
    with np.load(saved) as arrays:
        image = arrays["samples"][11, 0].astype(int)
    zoom = 32 * SCALE // 9
    sheets = np.asarray(Image.open(picture.path))[..., 0][LABEL::zoom]
    one = sheets[9:17, 89 * zoom + 2 * pictures.GAP :: zoom][:, 9:17].astype(int)
    assert np.abs(one - image * (15 if image.max() <= 16 else 1)).max() <= 8  # sixteen levels of gray


def test_a_picture_is_drawn_again_only_if_no_model_is_lost(results, tmp_path, monkeypatch):
    drawn, runs = [], suite(results, "tiny").runs
    monkeypatch.setattr(
        pictures, "_drawn", lambda runs: (drawn.append(set(runs)), (Image.new("L", (2, 2)), "c", {}))[1]
    )
    cfm = [run for run in runs if run.model == "cfm"]

    def published(run):
        return replace(run, folder=None)

    for shown in (cfm, runs, runs, [*cfm, *map(published, runs[2:])], list(map(published, runs))):
        assert sample_picture(tmp_path, "moons", shown).path.is_file()
    assert drawn == [{"cfm"}, {run.model for run in runs}]
    monkeypatch.setattr(pictures, "_drawn", lambda runs: (None, "The data is gone.", {}))
    others = [replace(run, record=run.record | {"labels": run.record["labels"] | {"run": "other"}}) for run in runs]
    assert sample_picture(tmp_path, "moons", others).caption == "c"
    assert sample_picture(tmp_path / "none", "moons", others) == "The data is gone."
    monkeypatch.undo()
    (tmp_path / "pictures/moons.png").write_bytes(b"no picture")
    assert sample_picture(tmp_path, "moons", list(map(published, runs))) is None
    assert sample_picture(tmp_path, "moons", runs).path.stat().st_size > 20


def test_any_label_can_be_drawn_and_names_of_different_data_sets_differ():
    for label in ("two words", "a$b$c", "$\\frac1", "κ=½ 中文", "\x1b[31m", "x" * 200, ""):
        panel = pictures.Panel(label, np.full((3, 48, 48), 90, np.uint8), np.full((3, 5, 2), 90, np.uint8))
        assert pictures.flow(panel, [panel]).size == (2 * (TILE + pictures.GAP), LABEL + 3 * (TILE + pictures.GAP))
        for sheet in (np.zeros((4, 9), np.uint8), np.zeros((4, 9, 3), np.uint8)):
            assert pictures.gallery({"data": sheet, label: sheet}, 4).mode == ("LA" if sheet.ndim == 2 else "RGBA")
    names = [pictures.name_of(data) for data in ("moons", "moons n=2", "moons n-2", "中", "国", "../moons")]
    assert len(set(names)) == len(names)
    assert not [name for name in names if set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789-")]


def test_samples_that_are_no_images_are_left_out(tmp_path, results):
    (run,) = [run for suite in load_suites(Store(results)) for run in suite.runs if run.data.startswith("digits")]
    path, space = tmp_path / "samples.npz", build_data(run.record["spec"]["data"]).space
    os.mkfifo(path)
    for made in (None, {"samples": np.array([{}], object)}, {"samples": np.ones(3)}, {"label": np.ones(3)}):
        if made is not None:
            path.unlink()
            np.savez(path, **made)
        with pytest.raises((ConfigError, Unsupported), match=r"samples\.npz"):
            pictures._sheet(replace(run, folder=tmp_path), space)


def test_a_damaged_picture_is_reported_and_drawn_again(results, tmp_path, caplog):
    shutil.copytree(results / "tiny/pictures", tmp_path / "pictures")
    path = tmp_path / "pictures/moons.png"
    size = b"\x00\xff\xff\xff\x00\xff\xff\xff\x08\x00\x00\x00\x00"
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + size + struct.pack(">I", zlib.crc32(b"IHDR" + size))
    for damage in (path.read_bytes()[:60], b"", bomb, None):
        path.unlink()
        path.write_bytes(damage) if damage is not None else os.mkfifo(path)
        caplog.clear()
        assert sample_picture(tmp_path, "moons", suite(results, "tiny").runs).caption
        assert "moons.png is damaged and not shown" in caplog.text


OWN = """
from genbench.registry import datasets, models
from genbench.testing.toys import AffineFlow, toy_tasks
@models.register("mine")
def mine(event, source) -> AffineFlow:
    "Mine."
    return AffineFlow(event, source)
@datasets.register("blobs")
def blobs():
    "Blobs."
    return toy_tasks()["vectors"]
"""


@pytest.fixture
def forget(monkeypatch):
    """Forget the Python files of the user, as the next process does."""

    def call():
        monkeypatch.setenv(user_code.FILES, "")
        for registry in (models, datasets):
            kept = {name: entry for name, entry in registry._entries.items() if "@" not in name}
            monkeypatch.setattr(registry, "_entries", kept)

    monkeypatch.setenv(user_code.FILES, "")
    return call


@pytest.mark.parametrize("data", ["moons", "blobs"])
def test_samples_of_ones_own_model_and_data_are_drawn_without_their_file(tmp_path, forget, data):
    file = tmp_path / "own.py"
    file.write_text(OWN)
    settings = {"plan": {"steps": 3}, "evaluation": {"n": 64}}
    dataset = f"{file}:blobs" if data == "blobs" else data
    genbench.run(f"{file}:mine", dataset, metrics=["norm"], settings=settings, results=tmp_path / "r")
    forget()
    (suite,) = load_suites(Store(tmp_path / "r"))
    assert {(run.model, run.data) for run in suite.runs} == {("mine", data)}
    found = sample_picture(tmp_path, data, suite.runs)
    assert "Not shown" not in found.caption
    drawn = np.asarray(Image.open(found.path).convert("RGBA"))
    colors = drawn[drawn[..., 3] > 200][:, :3].astype(int)
    assert (np.abs(colors - pictures.COLOR).max(1) < 3).any()
