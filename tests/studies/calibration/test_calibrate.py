"""A calibration goes on where it stopped."""

from dataclasses import replace

import pytest

from genbench.errors import ConfigError
from genbench.studies.calibration import calibrate, power, results_file
from genbench.studies.calibration.power import Draws


def test_a_calibration_goes_on_where_it_stopped(normal, tmp_path, monkeypatch):
    monkeypatch.setattr(calibrate, "chosen", lambda tasks, images: iter([normal]))
    monkeypatch.setattr(calibrate, "FULL", calibrate.FULL | {"8gaussians": Draws(39, 40, 20)})
    field = {"task": "gaussian", "metric": "nll", "value": 1.5}
    monkeypatch.setattr(calibrate.exact_fields, "measure_fields", lambda seeds: [field | {"seed": s} for s in seeds])
    path = calibrate.calibrate(tmp_path, [0], minutes=0)
    assert results_file.load(tmp_path) == []
    calibrate.calibrate(tmp_path, [0])
    rows = results_file.load(tmp_path)
    assert [row["n"][0] for row in rows] == [16, 16]
    text = path.read_text()
    broken = replace(normal, measures={"w2": lambda batch, seed: {"": 1 / 0}})
    monkeypatch.setattr(calibrate, "chosen", lambda tasks, images: iter([broken]))
    calibrate.calibrate(tmp_path, [0], minutes=0)  # every draw is kept: none is measured again
    assert path.read_text() == text


def test_a_task_that_the_time_leaves_incomplete_keeps_its_rows(normal, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(calibrate, "chosen", lambda tasks, images: iter([normal]))
    monkeypatch.setattr(calibrate, "FULL", calibrate.FULL | {"8gaussians": Draws(39, 40, 20)})
    monkeypatch.setattr(calibrate.exact_fields, "measure_fields", lambda seeds: [])
    calibrate.calibrate(tmp_path, [0])
    rows = results_file.load(tmp_path)
    monkeypatch.setenv("GENBENCH_HOME", str(tmp_path / "another machine"))  # without the draws
    calibrate.calibrate(tmp_path, [0], minutes=0)
    assert results_file.load(tmp_path) == rows
    assert "its earlier rows stay" in caplog.text


def test_a_longer_calibration_keeps_the_draws_of_a_shorter_one(normal, monkeypatch):
    monkeypatch.setattr(power, "BLOCK", 10)
    drawn = []

    def mean(batch, seed):
        drawn.append(seed)
        return {"": float(batch.x.mean())}

    task = replace(normal, measures={"w2": mean}, n=(16,), faults=())
    list(power.measure(task, Draws(40, 40, 0)))
    assert len(drawn) == 80
    list(power.measure(task, Draws(60, 50, 0)))
    assert len(drawn) == len(set(drawn)) == 110


def test_unknown_tasks_and_missing_images_are_refused():
    with pytest.raises(ConfigError, match="cifar10: name its images"):
        list(calibrate.chosen(["cifar10"], None))
    with pytest.raises(ConfigError, match="choose from 8gaussians, digits, digits-captions, cifar10"):
        list(calibrate.chosen(["moons"], None))
