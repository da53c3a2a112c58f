"""Plots: charts have the means of the tables."""

import os
from dataclasses import replace

import pandas as pd
import torch
from helpers.tracks import EXCESS, board_of, planted

from genbench.analysis.values import load_suites
from genbench.report.plots import budget_curves, learning_curves
from genbench.runs.store import Store


def tiny(results):
    return next(suite for suite in load_suites(Store(results)) if suite.name == "tiny").runs


def test_the_learning_curve_is_the_mean_of_the_logs(results):
    runs = [run for run in tiny(results) if run.model == "cfm"]
    logs = [pd.read_csv(run.folder.parent / "train.csv") for run in runs]
    (chart,) = learning_curves("cfm", runs, []).charts
    (series,) = chart.series
    assert [point.x for point in series.points] == list(logs[0]["step"])
    torch.testing.assert_close([p.y for p in series.points], list((logs[0]["loss"] + logs[1]["loss"]) / 2))
    assert learning_curves("cfm", [replace(run, folder=None) for run in runs], []) is None


def test_methods_are_drawn_at_the_budgets_that_have_all_their_seeds(tmp_path, monkeypatch):
    records = planted()
    assert budget_curves(board_of(tmp_path, records)) is None  # of one budget
    monkeypatch.setitem(EXCESS, "otcfm", 2.0)
    drawn = budget_curves(board_of(tmp_path, [*records, *planted(50)]))
    assert [chart.title for chart in drawn.charts] == ["moons", "pinwheel"]
    lines = {series.model: [(p.x, round(p.y, 1)) for p in series.points] for series in drawn.charts[0].series}
    assert lines == {"cfm": [(20, 1.1), (50, 1.1)], "otcfm": [(20, 0.6), (50, 2.1)], "nsf": [(20, 2.1), (50, 2.1)]}


NO_LOGS = ["", "step,loss\n", "a,b\n1,2\n", "step,loss\n1,x\n", "\0", "step,loss\n1,inf\n", "step,loss\n1,1e308\n"]
NO_LOGS += [f"step,loss{',x' * n}\n1,2{',3' * n}\n" for n in (3, 200_000)]  # which pandas would rename for hours


def test_a_log_without_steps_and_losses_is_left_out(tmp_path, results, caplog):
    run = replace(tiny(results)[0], folder=tmp_path / "evaluation")
    for text in (*NO_LOGS, None):
        (tmp_path / "train.csv").unlink(missing_ok=True)
        (tmp_path / "train.csv").write_text(text) if text is not None else os.mkfifo(tmp_path / "train.csv")
        caplog.clear()
        assert learning_curves("cfm", [run], []) is None
        assert "train.csv is not drawn" in caplog.text
