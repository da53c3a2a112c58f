"""Samples: pictures show the samples of the kept models."""

import os
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.reports import blocks

import genbench
from genbench.analysis.suite_results import load_suites
from genbench.errors import ConfigError, Unsupported
from genbench.metrics.sampling import noise
from genbench.report import samples
from genbench.report.blocks import Flow, Gallery
from genbench.report.drawings import Drawings
from genbench.report.samples import DENSITY_SAMPLES, POINTS, loss_curves
from genbench.runs.spec import build_data
from genbench.runs.store import Store
from genbench.seeds import derive


def test_trajectories_end_at_the_samples_of_the_model(results, report):
    (flow,) = blocks(report, Flow)
    panel = next(panel for panel in flow.panels if panel.label == "cfm")
    run = next(path for path in (results / "runs").glob("cfm-moons-0-*"))
    model = genbench.load(run)
    data = build_data({"name": "moons", "version": 1})
    with torch.no_grad():
        x = data.space.decode(model.sample(noise(model.source, DENSITY_SAMPLES, derive(0, "picture"))).x)[
            :POINTS
        ].numpy()
    left, right, bottom, top = flow.frame
    inside = (x[:, 0] > left) & (x[:, 0] < right) & (x[:, 1] > bottom) & (x[:, 1] < top)
    assert inside.mean() > 0.8
    drawn = panel.paths[-1] / 255 * [right - left, bottom - top] + [left, top]
    np.testing.assert_allclose(drawn[inside], x[inside], atol=0.51 * (right - left) / 255 + 1e-3)
    assert panel.moves
    assert not next(panel for panel in flow.panels if panel.label.startswith("tarflow")).moves


def test_densities_cover_the_points(report):
    (flow,) = blocks(report, Flow)
    for panel in (flow.data, *flow.panels):
        size = panel.density.shape[-1]
        for points, density in zip(panel.paths, panel.density, strict=True):
            inner = points.astype(int)[((points > 8) & (points < 247)).all(1)] * size // 256
            assert (density[inner[:, 1], inner[:, 0]] > 0).mean() > 0.95
    assert flow.data.density.max() == 255


def test_image_grids_show_the_kept_samples(results, report):
    (gallery,) = blocks(report, Gallery)
    sheets = dict(gallery.grids)
    (kept,) = [path for path in (results / "runs").glob("cfm-digits-*/*/samples.npz")]
    with np.load(kept) as arrays:
        image = arrays["samples"][11, 0]
    label = next(label for label in sheets if label.startswith("cfm"))
    np.testing.assert_array_equal(sheets[label][9:17, 9:17], image * 15 if image.max() <= 16 else image)
    assert sheets["data"].shape == sheets[label].shape


def test_a_log_that_cannot_be_read_is_left_out_without_waiting(results, caplog):
    (run,) = next(suite for suite in load_suites(Store(results)) if suite.name == "tiny").runs[:1]
    log = run.folder.parent / "train.csv"
    text = log.read_text()
    try:
        log.unlink()
        os.mkfifo(log)
        assert not list(loss_curves([run], Drawings(results, "none")))
        assert "is not a regular file" in caplog.text
    finally:
        log.unlink()
        log.write_text(text)
    assert list(loss_curves([run], Drawings(results, "none")))


def test_a_loss_curve_of_fewer_seeds_does_not_take_the_place_of_a_published_one(tmp_path, results):
    both = next(suite for suite in load_suites(Store(results)) if suite.name == "tiny").runs[:2]
    assert [run.seed for run in both] == [0, 1]
    one_kept = [both[0], replace(both[1], folder=None)]

    def seeds(runs):
        drawings = Drawings(tmp_path, "none")
        ((_, _, losses),) = loss_curves(runs, drawings)
        drawings.save()
        return len(losses)

    assert [seeds(one_kept), seeds(both), seeds(one_kept)] == [1, 2, 2]


NO_LOGS = ["", "step,loss\n", "a,b\n1,2\n", "step,loss\n1,x\n", "\0", "step,loss\n1,inf\n", "step,loss\n1,1e308\n"]
NO_LOGS += [f"step,loss{',x' * n}\n1,2{',3' * n}\n" for n in (3, 200_000)]  # which pandas would rename for hours


@pytest.mark.parametrize("text", NO_LOGS)
def test_a_log_without_steps_and_losses_is_left_out(tmp_path, results, text, caplog):
    (run,) = load_suites(Store(results))[0].runs[:1]
    (tmp_path / "train.csv").write_text(text)
    assert not list(loss_curves([replace(run, folder=tmp_path / "evaluation")], Drawings(tmp_path, "none")))
    assert "train.csv is not drawn" in caplog.text


@pytest.mark.parametrize("damage", ["pipe", "objects", "another name", "numbers", "bomb"])
def test_samples_and_drawings_that_are_no_images_are_left_out(tmp_path, results, damage, caplog):
    (run,) = [run for suite in load_suites(Store(results)) for run in suite.runs if run.data.startswith("digits")]
    reference = {"sheet": np.zeros((4, 4), np.uint8)}
    path, drawings = tmp_path / "samples.npz", tmp_path / "none/drawings.npz"
    drawings.parent.mkdir()
    if damage == "pipe":
        os.mkfifo(path)
        os.mkfifo(drawings)
    else:
        name = "images" if damage == "another name" else "samples"
        array = {"objects": np.array([{}], object), "numbers": np.ones(3)}.get(damage, np.zeros((1, 1, 8, 8), np.uint8))
        np.savez(path, **{name: array})
        if damage == "bomb":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                header = {"descr": "|u1", "fortran_order": False, "shape": (2**50,)}
                with archive.open("samples.npy", "w") as file:
                    np.lib.format.write_array_header_1_0(file, header)
        shutil.copy(path, drawings)
    with pytest.raises((ConfigError, Unsupported), match=r"samples\.npz"):
        samples._drawing(replace(run, folder=tmp_path), reference, Drawings(tmp_path, "absent"))
    assert not Drawings(tmp_path, "none").kept.keys() - {""}
    assert "drawings.npz" in caplog.text or damage in ("another name", "numbers")
