"""Calibration: the level is exact, the power is that of the closed form, and what was stopped goes on."""

import json
import math
import time
from dataclasses import replace

import pytest
import torch
from scipy.stats import norm

from genbench.errors import ConfigError
from genbench.studies import calibration, faults
from genbench.studies.calibration import TRUE, Draws, Spent, alarms, measure
from genbench.studies.faults import Fault, Pool, Real
from genbench.studies.trials import Trial


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_HOME", str(tmp_path / "home"))


@pytest.fixture
def normal():
    """A trial on N(0, 1), whose metric w2 is the mean of samples: its power is that of a one-sided z test."""
    x = torch.randn(2**16, 1, generator=torch.Generator().manual_seed(0))
    pool = Pool.of((x - x.mean()) / x.std(), torch.zeros(len(x), dtype=torch.long))
    kinds = (Fault("shifted by {:g}", (0.25,), faults.shift),)
    measures = {"w2": lambda batch, seed: {"": float(batch.x.mean())}}
    return Trial("8gaussians", "normal", Real(pool, pool, 0), kinds, lambda pool: pool, measures, (16, 64, 256), {})


def test_the_level_is_exact_and_the_power_is_that_of_a_z_test(normal):
    true, shifted = measure(normal, Draws(799, 1000, 400))
    for n, share, power, sd in zip(true["n"], true["alarms"], shifted["power"], true["sd"], strict=False):
        assert share == pytest.approx(0.05, abs=0.03)
        assert sd == pytest.approx(1 / math.sqrt(n), rel=0.08)
        assert power == pytest.approx(norm.sf(norm.isf(0.05) - 0.25 * math.sqrt(n)), abs=0.09)
    assert (true["sampler"], shifted["sampler"]) == (TRUE, "shifted by 0.25")


def test_false_alarms_of_exchangeable_values_are_five_percent():
    stream = torch.Generator().manual_seed(1)
    draws = torch.randn(600, 99 + 20, generator=stream)
    for better in ("lower", "higher", "none"):
        shares = [alarms(row[:99].tolist(), row[99:].tolist(), better) for row in draws]
        expected = 0.04 if better == "none" else 0.05  # two sides of 2.5 %: the largest rank below it is 2 of 100
        assert sum(shares) / len(shares) == pytest.approx(expected, abs=0.006)
    assert alarms([1.0] * 99, [1.0, 0.9], "higher") == 0.5  # ties are no alarm


def test_a_calibration_goes_on_where_it_stopped(normal, tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "chosen", lambda tasks, images: iter([normal]))
    monkeypatch.setattr(calibration, "FULL", calibration.FULL | {"8gaussians": Draws(39, 40, 20)})
    monkeypatch.setattr(calibration.exact_fields, "measure_fields", lambda seeds: [{"seed": s} for s in seeds])
    path = calibration.calibrate(tmp_path, [0], minutes=0)
    assert calibration.load(tmp_path) == []
    calibration.calibrate(tmp_path, [0])
    rows = calibration.load(tmp_path)
    assert [row["n"][0] for row in rows] == [16, 16]
    text = path.read_text()
    broken = replace(normal, measures={"w2": lambda batch, seed: {"": 1 / 0}})
    monkeypatch.setattr(calibration, "chosen", lambda tasks, images: iter([broken]))
    calibration.calibrate(tmp_path, [0], minutes=0)  # every draw is kept: none is measured again
    assert path.read_text() == text
    kept = json.loads(text)
    kept["versions"]["calibration"] = 1
    path.write_text(json.dumps(kept))
    assert calibration.load(tmp_path) == []
    damaged = [json.dumps(json.loads(text) | {"rows": rows}) for rows in ([1], [{"x": 1}], [{"task": "points"}], {})]
    for content in (text[:-20], "[]", *damaged):
        path.write_text(content)
        with pytest.raises(ConfigError, match=r"calibration\.json is damaged"):
            calibration.load(tmp_path)


def test_nothing_is_drawn_after_the_time(normal):
    sampler = next(calibration.samplers(normal))
    with pytest.raises(Spent):
        calibration._values(normal, TRUE, sampler, "w2", 16, 5, time.process_time() - 1)


def test_unknown_tasks_and_missing_images_are_refused():
    with pytest.raises(ConfigError, match="cifar10: name its images"):
        list(calibration.chosen(["cifar10"], None))
    with pytest.raises(ConfigError, match="choose from 8gaussians, digits, cifar10"):
        list(calibration.chosen(["moons"], None))
