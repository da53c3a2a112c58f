"""Losses: curves of fewer runs replace none, and damaged logs are left out."""

import os
from dataclasses import replace

import pytest

from genbench.analysis.suite_results import load_suites
from genbench.report.losses import loss_picture
from genbench.runs.store import Store


def tiny(results):
    return next(suite for suite in load_suites(Store(results)) if suite.name == "tiny").runs


def test_a_loss_curve_of_fewer_runs_does_not_take_the_place_of_a_published_one(tmp_path, results):
    runs = tiny(results)
    some = [runs[0], *(replace(run, folder=None) for run in runs[1:])]
    texts = [loss_picture(tmp_path, "moons", own).path.read_text() for own in (some, runs, some)]
    assert texts[0] != texts[1] == texts[2]


NO_LOGS = ["", "step,loss\n", "a,b\n1,2\n", "step,loss\n1,x\n", "\0", "step,loss\n1,inf\n", "step,loss\n1,1e308\n"]
NO_LOGS += [f"step,loss{',x' * n}\n1,2{',3' * n}\n" for n in (3, 200_000)]  # which pandas would rename for hours


@pytest.mark.parametrize("text", [*NO_LOGS, None])
def test_a_log_without_steps_and_losses_is_left_out(tmp_path, results, text, caplog):
    run = replace(tiny(results)[0], folder=tmp_path / "evaluation")
    if text is None:
        os.mkfifo(tmp_path / "train.csv")
    else:
        (tmp_path / "train.csv").write_text(text)
    assert loss_picture(tmp_path / "none", "moons", [run]) is None
    assert "train.csv is not drawn" in caplog.text
