"""Fitting: initial weights by seed, kept weights that are taken, and what training costs."""

import inspect

import pytest
import torch
from helpers.toy_trainings import spoil, stop_at, weights

from genbench.errors import RunFailed
from genbench.metrics.measurement import evaluate
from genbench.runs.make_spec import make_spec
from genbench.runs.monitoring import callbacks
from genbench.runs.spec import build_data
from genbench.runs.store import Store
from genbench.runs.train_or_resume import Member, build_untrained, fit_and_save, take_weights
from genbench.training import loop
from genbench.training.process_group import start_group


def spec_of(seed=0, **plan):
    plan = {"steps": 5, "batch_size": 8} | plan
    return make_spec("cfm", "moons", seed=seed, metrics=[], settings={"plan": plan})


def fitted(specs, root, spent=None):
    """Train specs and save their weights; return the models and the reasons."""
    data = build_data(specs[0].data)
    store = Store(root)
    members = [Member(spec, build_untrained(spec, data), store) for spec in specs]
    reasons = fit_and_save(members, data, start_group("cpu"), spent or {})
    return [member.model for member in members], reasons, store


def test_weights_are_those_of_the_seed_saved_with_their_cost_and_taken_again(tmp_path):
    data = build_data(spec_of().data)
    torch.manual_seed(5)
    one, again, other = (weights(build_untrained(spec_of(seed), data)) for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    (model,), reasons, store = fitted([spec_of()], tmp_path, {"teacher_seconds": 7.0, "teacher_steps": 3.0})
    assert reasons == [None]
    taken = build_untrained(spec_of(), build_data(spec_of().data))
    cost = take_weights(taken, spec_of(), store)["cost"]
    assert torch.equal(weights(taken), weights(model))
    assert cost["total_train_seconds"] == pytest.approx(cost["train_seconds"] + 7.0)
    assert cost["teacher_steps"] == 3.0
    assert not list(tmp_path.rglob("*checkpoint*"))


@pytest.mark.parametrize("spoiled", [10, 30])
def test_a_member_that_fails_leaves_the_evaluation_of_the_others_alone_which_share_its_time(tmp_path, spoiled):
    """Losses are checked at step 20, which is before the evaluation of that step, and at the last."""
    settings = {"plan": {"steps": 60, "batch_size": 8, "eval_every": 20}, "evaluation": {"n": 16, "curve": []}}
    specs = [make_spec("cfm", "moons", seed=seed, metrics=["sliced_w2"], settings=settings) for seed in range(3)]
    store, data = Store(tmp_path), build_data(specs[0].data)
    members = [Member(spec, build_untrained(spec, data), store) for spec in specs]
    spoil(members[1].model, spoiled)
    why = f"the loss is not finite at step {spoiled}"
    assert fit_and_save(members, data, start_group("cpu")) == [None, why, None]
    assert [store.has_weights(spec) for spec in specs] == [True, False, True]
    assert [store.failure(spec) for spec in specs] == [None, why, None]
    for spec in (specs[0], specs[2]):
        evaluated = store.record_path(spec).parent / "steps"
        assert {path.name for path in evaluated.glob("*.json")} == {"20.json", "40.json"}
    one, other = (take_weights(build_untrained(specs[i], data), specs[i], store)["cost"] for i in (0, 2))
    assert one["train_seconds"] == other["train_seconds"] > 0


@pytest.mark.parametrize("first", [50, 100])
def test_a_member_that_could_not_be_evaluated_has_failed_also_after_a_resume(tmp_path, monkeypatch, first):
    """The checkpoint of step 100 is from after its evaluation, and there is none later."""
    monkeypatch.setitem(inspect.unwrap(loop.fit).__kwdefaults__, "save_every", 0)
    settings = {"plan": {"steps": 130, "batch_size": 8, "eval_every": first}, "evaluation": {"n": 16, "curve": []}}
    specs = [make_spec("cfm", "moons", seed=seed, metrics=["sliced_w2"], settings=settings) for seed in range(2)]
    store, data = Store(tmp_path), build_data(specs[0].data)

    def evaluated(model, *args, **options):
        if model is failing:
            raise RunFailed("no sample is finite")
        return evaluate(model, *args, **options)

    stop = stop_at(130, KeyboardInterrupt)
    members = [Member(spec, build_untrained(spec, data), store, stop) for spec in specs]
    failing = members[1].model
    monkeypatch.setattr(callbacks, "evaluate", evaluated)
    with pytest.raises(KeyboardInterrupt):
        fit_and_save(members, data, start_group("cpu"))
    members = [Member(spec, build_untrained(spec, data), store) for spec in specs]
    why = "no sample is finite"
    assert fit_and_save(members, data, start_group("cpu")) == [None, why]
    assert [store.has_weights(spec) for spec in specs] == [True, False]
    assert store.failure(specs[1]) == why
    assert not list(tmp_path.rglob("failed.txt"))


def test_a_stack_of_which_no_member_can_be_evaluated_fails(tmp_path):
    """Of one member the loss is checked at step 20, of the other only after the evaluation of step 40."""
    settings = {"plan": {"steps": 60, "batch_size": 8, "eval_every": 20}, "evaluation": {"n": 16, "curve": []}}
    specs = [make_spec("cfm", "moons", seed=seed, metrics=["sliced_w2"], settings=settings) for seed in range(2)]
    data = build_data(specs[0].data)
    members = [Member(spec, build_untrained(spec, data), Store(tmp_path)) for spec in specs]
    for member, spoiled in zip(members, (10, 30), strict=True):
        spoil(member.model, spoiled)
    with pytest.raises(RunFailed, match=r"^the loss is not finite at step 10; dopri5 cannot"):
        fit_and_save(members, data, start_group("cpu"))
