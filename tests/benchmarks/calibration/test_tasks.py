"""Tasks measure as the metrics of an evaluation do, on samples that are drawn from pools."""

from dataclasses import replace

import pytest
import torch

from benchmarks.calibration import tasks
from benchmarks.calibration.power import TRUE, Draws, measure
from genbench.core import Batch
from genbench.metrics.evaluation import Evaluation, values_of
from genbench.registry import metrics
from genbench.results.external_samples import task_without_model
from genbench.runs.spec import build_data
from genbench.settings import settings_in


@pytest.fixture(scope="module")
def digits():
    return tasks.digits()


@pytest.fixture(scope="module")
def captions():
    return tasks.captions()


TEST = {"split": "test"}
MEASURED = [("digits", "fd-digits_cnn", {}), ("digits", "density_coverage", TEST), ("digits", "precision_recall", TEST)]
MEASURED += [("digits", "class_balance", {})]
MEASURED += [("digits-captions", name, {}) for name in ("caption_accuracy", "fd-captions_cnn")]


@pytest.mark.parametrize(("dataset", "name", "settings"), MEASURED)
def test_images_are_measured_as_in_an_evaluation(digits, captions, dataset, name, settings):
    task = {"digits": digits, "digits-captions": captions}[dataset]
    spec, chosen = task_without_model(dataset, [name], {"metric": {name: settings}})
    data = build_data(spec)
    drawn = task.real.pool.draw(200, torch.Generator().manual_seed(0))
    evaluation = Evaluation(data, 0, x=data.space.encode(drawn.x), label=drawn.label)
    expected = {v.part: v.value for v in values_of(metrics[name], evaluation, settings_in(chosen[name]))}
    rows = task.prepare(task.real.pool._replace(x=drawn.x, label=drawn.label)).x
    assert task.measures[name](Batch(rows, drawn.label), 0) == pytest.approx(expected, rel=1e-6)


def test_a_wrong_pairing_of_captions_is_seen_only_by_what_reads_both(captions):
    kinds = tuple(kind._replace(sizes=(0.1,)) for kind in captions.faults if "captions" in kind.label)
    small = replace(captions, faults=kinds, n=(250,))
    rows = {row["metric"]: row for row in measure(small, Draws(99, 2, 100)) if "power" in row}
    assert rows["caption_accuracy.both"]["power"] == [1]
    # An exchanged caption names one of 25 combinations of class and look, so 1 in 25 stays right.
    assert rows["caption_accuracy.both"]["mean"][0] == pytest.approx(1 - 0.1 * 24 / 25, abs=0.015)
    assert rows["fd-captions_cnn"]["power"][0] == pytest.approx(0.05, abs=0.07)


def test_points_are_drawn_as_data_and_their_faults_are_detected():
    task = tasks.points()
    names = ("energy_distance", "mode_coverage")
    kinds = tuple(kind._replace(sizes=(1,)) for kind in task.faults if "dropped" in kind.label)
    small = replace(task, measures={m: task.measures[m] for m in names}, faults=kinds, n=(512,))
    rows = {(row["metric"], row["sampler"]): row for row in measure(small, Draws(59, 60, 20))}
    assert rows["energy_distance", "1 of 8 modes dropped"]["power"][0] > 0.9
    assert rows["mode_coverage", "1 of 8 modes dropped"]["mean"] == [7 / 8]
    assert abs(rows["energy_distance", TRUE]["mean"][0]) < 0.05  # it is unbiased
