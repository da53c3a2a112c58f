"""Seconds of training steps: which tasks are measured, and what the file beside a track has."""

import sys
from pathlib import Path

import pytest

from genbench.report.track_cells import read_seconds
from genbench.suites import find

ROOT = Path(__file__).parents[2]
TRACK = """
datasets = ["moons", { name = "mixture", dims = 3 }, "tori", "pinwheel"]
models = ["cfm", { name = "reflow", pairs = 100000 }, "vp", { name = "gaussian", plan = { steps = 0 } }]
metrics = ["sliced_w2"]
budgets = [{ steps = 5, seeds = [0, 1] }]
plan = { batch_size = 16 }
[track]
baseline = "cfm"
tuning = { steps = 5, seeds = 1 }
"""


@pytest.fixture
def step_seconds(monkeypatch):
    """The script, which imports its neighbors by the folder in which it is started."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "perf"))
    import step_seconds

    return step_seconds


def test_the_first_task_of_each_shape_is_measured(step_seconds):
    found = step_seconds.shapes(find("plane-v1"), {})
    assert [(own[0], len(own)) for own in found] == [("moons", 6), ("mixture dims=8", 1), ("mixture dims=50", 1)]
    for (task, *_), rows in found.items():
        assert len(rows) == 13
        assert {spec.data_label for spec in rows.values()} == {task}
        assert all(spec.stack is None for spec in rows.values())  # one model alone


def test_the_file_has_the_models_that_can_be_trained_on_each_shape(tmp_path, monkeypatch, step_seconds):
    """Models that cannot be trained on a task had the seconds of no work."""
    path, trained = tmp_path / "some.toml", []
    path.write_text(TRACK)
    before = step_seconds.train

    def train(spec, *rest):
        trained.append((spec.data_label, spec.model["name"], spec.plan["steps"], spec.model.get("pairs")))
        return before(spec, *rest)

    monkeypatch.setattr(step_seconds, "train", train)
    monkeypatch.setattr(step_seconds, "STEPS", (2, 6))
    monkeypatch.setattr(step_seconds, "TURNS", 1)
    monkeypatch.setattr(sys, "argv", ["step_seconds.py", str(path)])
    step_seconds.main()
    found = read_seconds(path)
    assert found is not None
    tasks = [["moons", "pinwheel"], ["mixture dims=3"], ["tori"]]
    models = [["cfm", "reflow pairs=100000", "vp"]] * 2 + [["cfm", "reflow pairs=100000"]]
    assert [each.tasks for each in found.shapes] == tasks
    assert [[*each.seconds] for each in found.shapes] == models
    assert {pairs for _, model, _, pairs in trained if model == "reflow"} == {16}
    assert [steps for task, model, steps, _ in trained if (task, model) == ("moons", "cfm")] == [1, 2, 6]


def test_compiled_steps_are_timed_over_more_of_them(monkeypatch, step_seconds):
    asked = []
    monkeypatch.setattr(step_seconds, "processor_seconds", lambda spec, steps: asked.append(steps) or steps / 100)
    (rows,) = step_seconds.shapes(find("latents-v1"), {}).values()
    assert all(spec.plan["compile"] for spec in rows.values())
    assert step_seconds.of_steps(next(iter(rows.values()))) == pytest.approx(10)
    assert asked == [*step_seconds.COMPILED]
