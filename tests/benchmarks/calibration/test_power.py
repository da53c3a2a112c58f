"""Power: the level is exact, and the power is that of the closed form."""

import json
import math
import re
import shutil
import statistics
from pathlib import Path

import pytest
import torch
from scipy.stats import norm

from benchmarks.calibration.__main__ import main, of_faults, of_true_sampler
from benchmarks.calibration.power import TRUE, Draws, alarms, alarms_sd, measure, smallest_n
from benchmarks.calibration.tasks import points

ROOT = Path(__file__).parents[3]


def test_the_level_is_exact_and_the_power_is_that_of_a_z_test(normal):
    true, shifted = measure(normal, Draws(799, 1000, 400))
    for n, share, detected, sd in zip(true["n"], true["alarms"], shifted["power"], true["sd"], strict=False):
        assert share == pytest.approx(0.05, abs=0.03)
        assert sd == pytest.approx(1 / math.sqrt(n), rel=0.08)
        assert detected == pytest.approx(norm.sf(norm.isf(0.05) - 0.25 * math.sqrt(n)), abs=0.09)
    assert (true["sampler"], shifted["sampler"]) == (TRUE, "shifted by 0.25")


@pytest.mark.parametrize(("better", "levels"), [("lower", 0), ("higher", 2), ("none", 4), ("none", 1)])
def test_the_level_is_exact_for_any_number_of_draws_and_with_ties(better, levels):
    assert alarms([1.0] * 99, [1.0], "higher") == pytest.approx(0.05)  # a tie with the threshold is a part of an alarm
    assert (alarms([1.0] * 99, [0.9], "higher"), alarms([1.0] * 99, [1.1], "higher")) == (1, 0)
    assert alarms([1.0] * 91 + [2.0] * 8, [2.0], "lower") == pytest.approx(5 / 9)
    stream = torch.Generator().manual_seed(1)
    for draws in (7, 99, 130):  # 5 % of 8, 100 and 131 ranks, on one side or two, need not be a whole number
        values = torch.randn(2000, draws + 20, generator=stream)
        values = values if not levels else (values.exp() * levels).floor().clamp(max=levels - 1)
        shares = [alarms(row[:draws].tolist(), row[draws:].tolist(), better) for row in values]
        assert sum(shares) / len(shares) == pytest.approx(0.05, abs=0.006)


def test_the_spread_of_false_alarms_is_that_of_draws_and_threshold():
    stream = torch.Generator().manual_seed(2)
    draws = Draws(99, 50, 0)
    shares = [alarms(row[:99].tolist(), row[99:].tolist(), "lower") for row in torch.randn(2000, 149, generator=stream)]
    assert statistics.stdev(shares) == pytest.approx(alarms_sd(draws), rel=0.08)


ROWS = [
    {"sampler": TRUE, "n": [10, 20], "alarms": [0.04, 0.06], "alarms_sd": [0.01, 0.01], "mean": [2.0, 1.0]}
    | {"sd": [0.1, 0.1], "seconds": [0.5, 1.0]},
    {"sampler": "shifted by 1", "n": [10, 20], "power": [0.5, 0.95], "mean": [3.0, 2.0]},
]


def test_tables_state_the_number_of_samples_that_a_fault_needs():
    rows = [{"task": "digits", "metric": "a", **row} for row in ROWS]
    assert "| shifted by 1 | 20 |" in next(of_faults(rows))
    table, legend = of_true_sampler(rows)
    assert "| a | 5.0% ± 1.4% | 2.00 ± 0.10 | 1.00 ± 0.10 | 1 |" in table
    assert "In 0 of 1 rows, the false alarms differ from 5%" in legend


def test_committed_tables_and_picture_are_those_of_the_committed_numbers(tmp_path, monkeypatch):
    shutil.copy(ROOT / "results/calibration.json", tmp_path)
    monkeypatch.setattr("sys.argv", ["calibration", "--results", str(tmp_path), "--redraw"])
    monkeypatch.setattr("benchmarks.calibration.__main__.PICTURE", tmp_path / "calibration.svg")
    main()
    assert (tmp_path / "calibration.md").read_text() == (ROOT / "results/calibration.md").read_text()
    assert (tmp_path / "calibration.svg").exists()


def test_a_calibration_measures_exact_fields_again(tmp_path, monkeypatch):
    """They were measured once, and kept by all later calibrations."""
    shutil.copy(ROOT / "results/calibration.json", tmp_path)
    row = {"task": "8gaussians", "metric": "nll", "seed": 0, "value": 2.5}
    monkeypatch.setattr("sys.argv", ["calibration", "--results", str(tmp_path), "--task", "8gaussians"])
    monkeypatch.setattr("benchmarks.calibration.__main__.PICTURE", tmp_path / "calibration.svg")
    monkeypatch.setattr("benchmarks.calibration.__main__.measure", lambda *words: [])
    monkeypatch.setattr("benchmarks.calibration.__main__.measure_fields", lambda seeds: [row])
    main()
    assert json.loads((tmp_path / "calibration.json").read_text())["fields"] == [row]


def test_the_page_says_how_many_photographs_were_tried():
    rows = json.loads((ROOT / "results/calibration.json").read_text())["rows"]
    most = max(n for row in rows if row["task"] == "cifar10" for n in row["n"])
    page = (ROOT / "docs/metric_power.md").read_text("utf-8")
    assert f"- **Photographs**: with up to {most:,} samples (more were not tried), KID needs fewer" in page


def test_the_page_says_what_the_headline_of_tracks_on_points_detects_and_misses():
    found = json.loads((ROOT / "results/calibration.json").read_text())["rows"]
    rows = {(row["metric"], row["sampler"]): row for row in found if row["task"] == "8gaussians"}
    task = points()
    assert tuple(rows["norm", TRUE]["n"]) == tuple(rows["sliced_w2", TRUE]["n"]) == task.n

    def least(metric, sampler):
        row = rows[metric, sampler]
        return smallest_n(row["n"], row["power"])

    def power(metric, sampler, n=task.n[-1]):
        return dict(zip(rows[metric, sampler]["n"], rows[metric, sampler]["power"], strict=True))[n]

    detected = {
        "a shift of 0.2": "shifted by 0.2",
        "a scale of +5 %": "scaled by +5%",
        "modes uneven by 10 %": "modes uneven by 10%",
        "a quarter of a mode missing": "0.25 of 8 modes dropped",
        "500 points that repeat": "only 500 different points",
    }
    assert {least("sliced_w2", sampler) for sampler in detected.values()} == {task.n[-1]}
    page = " ".join((ROOT / "docs/metric_power.md").read_text("utf-8").split())
    _, _, said = page.partition(f"with {task.n[-1]:,} samples, one evaluation of sliced W2 on 8gaussians detects ")
    found, _, missed = said.partition("With power 0.9, it does not detect ")
    assert all(name in found for name in detected)
    for name, sampler, better in (
        ("a scale of +2 %", "scaled by +2%", "norm"),
        ("noise of 0.4", "noise of 0.4", "mode_coverage.on_mode"),
        ("noise of 0.2", "noise of 0.2", "mode_coverage.on_mode"),
    ):
        n, share = least(better, sampler), power("sliced_w2", sampler)
        assert share < 0.9
        metric = better.rpartition(".")[2]
        told = rf"{re.escape(name)} \((power )?{share:.2f}\), [^)]*?`[\w.]*{metric}`[^)]*? {n:,}\b"
        assert re.search(told, missed)
    uneven = "modes uneven by 20%"
    assert least("sliced_w2", uneven) == task.n[-1]
    assert f"sliced W2: not at 2,048 (power {power('sliced_w2', uneven, 2048):.2f}), but at {task.n[-1]:,} |" in page
