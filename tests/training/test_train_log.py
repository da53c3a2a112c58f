"""The log of a training: what it writes is tested with the loop; here, when a training has learned nothing."""

import pytest

import genbench
from genbench import RunFailed
from genbench.runs.store import Store
from genbench.sweeps.execution import execute
from genbench.sweeps.suite import load
from genbench.training.train_log import TRIAL, steps_per_row


def settings(kappa, steps=2 * TRIAL):
    return {"model": {"kappa": kappa}, "plan": {"steps": steps, "batch_size": 32}, "evaluation": {"n": 64, "curve": []}}


def test_a_long_training_has_ten_thousand_rows_at_most():
    assert [steps_per_row(steps) for steps in (0, 1, 10_000, 10_001, 400_000)] == [0, 1, 1, 2, 40]


@pytest.mark.parametrize(("steps", "said"), [(2 * TRIAL, TRIAL), (5, 5)])
def test_weights_that_vanish_teach_nothing_and_are_no_result(tmp_path, steps, said):
    with pytest.raises(RunFailed, match=f"^it learned nothing in {said} steps: .* the weights of its samples vanish"):
        genbench.run("wcfm", "moons", metrics=["nfe"], settings=settings(1e-6, steps), results=tmp_path)
    assert not list(tmp_path.rglob("record.json"))
    assert not list(tmp_path.rglob("*.safetensors"))
    ((_, failure),) = Store(tmp_path).failures()
    assert failure["failure"].startswith("it learned nothing")


def test_members_of_an_ensemble_that_learn_nothing_fail_alone(tmp_path):
    (tmp_path / "suite.toml").write_text(
        f"""
datasets = ["moons"]
models = [{{name = "wcfm", kappa = [1e-6, 0.02]}}]
metrics = ["nfe"]
plan = {{steps = {2 * TRIAL}, batch_size = 32}}
evaluation = {{n = 64, curve = []}}
stack = ["kappa"]
"""
    )
    specs, store = load(tmp_path / "suite.toml").specs, Store(tmp_path / "results")
    reasons = execute(specs, store, 1, lambda event: None)
    assert reasons[0].startswith(f"it learned nothing in {TRIAL} steps")
    assert reasons[1] is None
    assert [store.has_weights(spec) for spec in specs] == [False, True]
