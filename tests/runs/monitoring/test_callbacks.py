"""Evaluations during training: they change nothing, survive an interruption, and make a table against steps."""

import inspect
import shutil
from dataclasses import replace

import pytest
import torch
from helpers.toy_nets import UNET
from helpers.toy_trainings import stop_at
from PIL import Image

from genbench.errors import ConfigError, RunFailed
from genbench.metrics.measurement import evaluate
from genbench.registry import models
from genbench.runs.component import model_class
from genbench.runs.make_spec import bind_metrics, make_spec, restore_spec
from genbench.runs.monitoring import callbacks
from genbench.runs.monitoring.callbacks import read_step
from genbench.runs.run import run
from genbench.runs.spec import build_data
from genbench.runs.store import Store
from genbench.runs.weights_file import read_weights
from genbench.storage import files
from genbench.training import loop

PLAN = {"steps": 60, "batch_size": 32, "ema": 0.9, "eval_every": 20}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The store of an undisturbed run, and its record."""
    store = Store(tmp_path_factory.mktemp("whole"))
    return store, run(spec_of(), store)


@pytest.fixture
def own(whole, tmp_path):
    """A copy of that store, which the test may change."""
    return Store(shutil.copytree(whole[0].root, tmp_path / "own"))


def spec_of(**plan):
    settings = {"plan": PLAN | plan, "evaluation": {"n": 64, "curve": []}, "sample": {"method": "euler", "steps": 4}}
    return make_spec("cfm", "moons", metrics=["sliced_w2", "nfe", "parameters"], settings=settings)


def at(record, step):
    return next(r["value"] for r in record["results"] if r["metric"] == "sliced_w2" and r.get("step") == step)


def test_steps_on_the_way_read_what_shorter_runs_would(whole, own):
    store, record = own, whole[1]
    assert [row["step"] for row in record["results"] if row["metric"] == "sliced_w2" and "step" in row] == [20, 40]
    assert not any(row["point"] == "training" and row["metric"] == "parameters" for row in record["results"])
    assert at(record, 40) == pytest.approx(at(run(spec_of(steps=40, eval_every=0), store), None), rel=1e-6)
    plain = run(spec_of(eval_every=0), store)
    assert at(plain, None) == at(record, None)
    kept = [read_weights(store.folder(spec_of(eval_every=every)) / "model.safetensors")[0] for every in (0, 20)]
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])


VALIDATED = {"validate_every": 10, "eval_every": 0, "lr": 0.02, "ema": 0.0}


@pytest.mark.parametrize("plan", [{}, VALIDATED | {"stop": "validation"}], ids=["metrics", "validation"])
def test_an_interrupted_run_measures_the_same_steps(own, tmp_path, plan):
    broken, spec = Store(tmp_path / "broken"), spec_of(**plan)
    with pytest.raises(KeyboardInterrupt):
        run(spec, broken, progress=stop_at(60, KeyboardInterrupt))
    assert run(spec, broken)["results"] == run(spec, own)["results"]


def losses(record):
    return {r["step"]: r["value"] for r in record["results"] if r["metric"] == "validation_loss" and "step" in r}


def test_validation_is_recorded_and_chooses_the_weights(tmp_path):
    store = Store(tmp_path)
    plain = run(spec_of(**VALIDATED), store)
    assert sorted(losses(plain)) == [10, 20, 30, 40, 50]
    ends = {r["metric"]: r["value"] for r in plain["results"] if r["point"] == "main"}
    chosen = spec_of(**VALIDATED, stop="validation")
    record = run(chosen, store)
    assert losses(record) == losses(plain) | {60: ends["validation_loss"]}
    best = min(losses(record), key=losses(record).get)
    assert best < 60  # so that there is something to choose
    assert record["provenance"]["training"]["cost"]["kept_step"] == best
    shorter = run(spec_of(**VALIDATED | {"validate_every": 0}, steps=best), store)
    assert at(record, None) == pytest.approx(at(shorter, None), rel=1e-6)
    assert {r["value"] for r in record["results"] if r["metric"] == "validation_loss" and r["point"] == "main"} == {
        losses(record)[best]
    }
    record = run(spec_of(**VALIDATED | {"steps": 0}, stop="validation"), store)  # there is nothing to choose
    assert "kept_step" not in record["provenance"]["training"]["cost"]
    assert not losses(record)


def test_a_loss_that_cannot_choose_the_weights_ends_the_training_at_its_first_validation(tmp_path):
    """Semidiscrete pairs hold training data whatever the batch, so that there is no loss on validation data."""
    settings = {"plan": PLAN | VALIDATED, "model": {"points": 50}, "evaluation": {"n": 64, "curve": []}}
    spec = make_spec("sdcfm", "moons", metrics=["norm"], settings=settings)
    spec = replace(spec, plan=spec.plan | {"stop": "validation"})  # which is refused of models that are known for it
    steps = []
    with pytest.raises(RunFailed, match="cannot choose a step: semidiscrete"):
        run(spec, Store(tmp_path), progress=lambda step, *_: steps.append(step))
    assert max(steps) < 60


@pytest.mark.parametrize(
    ("model", "settings"),
    [("consistency", {"end_steps": 15}), ("wcfm", {"normalizer": "running"})],
)
def test_validation_leaves_the_training_as_it_is(tmp_path, model, settings):
    """Also of models whose state moves as they draw examples."""
    store, weights = Store(tmp_path), []
    for every in (0, 10):
        plan = PLAN | {"eval_every": 0, "validate_every": every}
        chosen = {"plan": plan, "model": settings, "evaluation": {"n": 64, "curve": []}}
        spec = make_spec(model, "moons", metrics=["norm"], settings=chosen)
        run(spec, store)
        weights.append(read_weights(store.folder(spec) / "model.safetensors")[0])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_teacher_is_validated_as_the_run_of_cfm_is_and_draws_no_samples_on_the_way(tmp_path, monkeypatch):
    store, taught = Store(tmp_path / "taught"), []
    settings = {"plan": PLAN | {"validate_every": 10}, "evaluation": {"n": 64, "curve": []}}
    student = make_spec("reflow", "moons", metrics=["norm"], settings=settings | {"model": {"pairs": 64}})
    cfm = make_spec("cfm", "moons", metrics=["norm"], settings=settings)
    monkeypatch.setattr(callbacks, "evaluate", lambda model, *a, **k: taught.append(model) or evaluate(model, *a, **k))
    record = run(student, store)
    assert {type(model) for model in taught} == {model_class(models["reflow"])}
    (reason,) = {row["reason"] for row in record["results"] if row["metric"] == "validation_loss"}
    assert "not with data" in reason
    teacher = student.prerequisites["teacher"]
    assert restore_spec(store.record(teacher)["spec"]) == teacher
    assert store.record(teacher)["results"] == []
    assert teacher.train_key == cfm.train_key
    assert losses(run(cfm, store)) == losses(run(cfm, Store(tmp_path / "alone")))


def test_a_plan_without_validation_has_the_key_that_it_had(tmp_path):
    assert spec_of(validate_every=0, stop="steps").train_key == spec_of().train_key
    assert spec_of(validate_every=10).train_key != spec_of().train_key
    with pytest.raises(ConfigError, match=r"plan.stop=validation needs plan.validate_every, such as"):
        spec_of(stop="validation")
    for every in (60, 61):
        with pytest.raises(ConfigError, match=f"plan.validate_every={every} must be below plan.steps=60"):
            spec_of(validate_every=every, stop="validation")
    spec_of(validate_every=59, stop="validation")
    with pytest.raises(ConfigError, match="cifar10 has no validation split"):
        make_spec("cfm", "cifar10", settings={"data": {"valid": 0}, "plan": {"validate_every": 5}})


DAMAGE = {
    "changed": (lambda path: path.write_bytes(path.read_bytes().replace(b"0.", b"1.", 1)), "its checksum differs"),
    "missing": (lambda path: path.unlink(), ""),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_a_lost_or_damaged_step_leaves_the_weights_and_states_why_it_has_no_value(whole, own, caplog, damage, message):
    spec = spec_of()
    weights, step = own.weights_path(spec), own.record_path(spec).parent / "steps/20.json"
    before = weights.read_bytes()
    own.record_path(spec).unlink()
    (step.parent / "notes.json").write_text("{}")  # a stray file is not read
    damage(step)
    record = run(spec, own)
    assert weights.read_bytes() == before
    assert training_values(record, "sliced_w2") == {20: LOST.format(20), 40: at(whole[1], 40)}
    assert message in caplog.text if message else not caplog.text
    if damage is DAMAGE["changed"][0]:  # it is measured again when its training is repeated
        own.record_path(spec).unlink()
        weights.unlink()
        assert run(spec, own)["results"] == whole[1]["results"]


def test_a_step_of_another_run_is_noticed(whole, own, caplog):
    """An rsync into the wrong folder: the file is whole, and of the same step."""
    other, record = spec_of(lr=0.01), own.record_path(spec_of())
    run(other, own)
    record.unlink()
    step = record.parent / "steps/20.json"
    step.write_bytes((own.record_path(other).parent / "steps/20.json").read_bytes())
    assert training_values(run(spec_of(), own), "sliced_w2")[20] == LOST.format(20)
    assert "a copy of another file" in caplog.text


def test_a_training_that_is_resumed_for_another_evaluation_keeps_its_weights(tmp_path, monkeypatch):
    """Steps before the resume were evaluated with other samples: they have no values here, and say so."""
    monkeypatch.setitem(inspect.unwrap(loop.fit).__kwdefaults__, "save_every", 0)
    store, spec = Store(tmp_path), spec_of()
    other = replace(spec, evaluation={**spec.evaluation, "n": 32})
    assert other.train_key == spec.train_key
    with pytest.raises(KeyboardInterrupt):
        run(spec, store, progress=stop_at(30, KeyboardInterrupt))
    record = run(other, store)
    assert store.has_weights(other)
    found = training_values(record, "sliced_w2")
    assert found[20] == LOST.format(20)
    assert isinstance(found[40], float)
    assert training_values(run(spec, store), "sliced_w2")[40] == LOST.format(40)


def training_values(record, metric):
    """Return {step: value or reason} of a metric."""
    rows = [row for row in record["results"] if row["point"] == "training" and row["metric"] == metric]
    return {row["step"]: row["value"] if row["value"] is not None else row["reason"] for row in rows}


LOST = "not measured after {} steps: " + callbacks.LOST
ABSENT = "not measured after {} steps: it was added or changed later"


def test_a_metric_of_another_version_takes_no_values_from_the_steps_of_the_old_one(own):
    store, spec = own, spec_of()
    metric = spec.metrics["sliced_w2"]
    newer = replace(spec, metrics={**spec.metrics, "sliced_w2": {**metric, "version": metric["version"] + 1}})
    record = run(newer, store)
    assert record["spec"]["metrics"]["sliced_w2"] == newer.metrics["sliced_w2"]
    assert training_values(record, "sliced_w2") == {step: ABSENT.format(step) for step in (20, 40)}
    store.record_path(spec).unlink()  # with the old values
    assert run(newer, store)["results"] == record["results"]


def test_a_metric_that_is_added_when_a_training_is_resumed_states_the_steps_that_it_missed(tmp_path, own, monkeypatch):
    monkeypatch.setitem(inspect.unwrap(loop.fit).__kwdefaults__, "save_every", 0)
    store, spec = Store(tmp_path / "r"), spec_of()
    with pytest.raises(KeyboardInterrupt):
        run(spec, store, progress=stop_at(30, KeyboardInterrupt))
    more = replace(spec, metrics=spec.metrics | bind_metrics(["energy_distance"], {}, build_data(spec.data).event))
    record, whole = run(more, store), run(more, Store(tmp_path / "new"))
    for metric in spec.metrics:
        assert training_values(record, metric) == training_values(whole, metric)
    found, known = training_values(record, "energy_distance"), training_values(whole, "energy_distance")
    assert found == {20: ABSENT.format(20), 40: known[40]}
    after = replace(spec, metrics=more.metrics | bind_metrics(["norm"], {}, build_data(spec.data).event))
    assert training_values(run(after, store), "norm") == {step: ABSENT.format(step) for step in (20, 40)}


@pytest.mark.parametrize("text", ["5", "[]x", '[{"step": 20}]', "[[]]", "null"])
def test_a_step_that_holds_something_else_is_damaged(tmp_path, text):
    path = tmp_path / "run/evaluation/steps/20.json"
    files.write_sealed(path, text, "run/evaluation/steps/20.json")
    with pytest.raises(files.Damaged):
        read_step(path)


def test_pages_of_images_are_drawn_along_the_way_without_measuring_anything(tmp_path):
    settings = {"evaluation": {"n": 20, "curve": []}, "sample": {"method": "euler", "steps": 2}}
    plan = {"steps": 9, "grid_every": 3, "eval_every": 0}
    spec, plain = (
        make_spec("cfm", "digits", metrics=["norm"], settings=settings | {"model": {"net": UNET}, "plan": each})
        for each in (plan, plan | {"grid_every": 0})
    )
    stores = Store(tmp_path / "pages"), Store(tmp_path / "none")
    records = [run(each, store) for each, store in zip((spec, plain), stores, strict=True)]
    assert records[0]["results"] == records[1]["results"]
    assert sorted(page.name for page in stores[0].folder(spec).rglob("steps/*")) == ["3.png", "6.png"]
    assert not list(stores[1].folder(plain).rglob("steps/*"))
    with Image.open(next(stores[0].folder(spec).rglob("6.png"))) as page:
        assert page.size == (340, 68)  # 20 samples of 8 x 8, four times as large, in two rows
    # Vectors have a picture at the end only.
    moons = make_spec("cfm", "moons", metrics=["nfe"], settings={**settings, "plan": plan})
    run(moons, stores[1])
    assert not list(stores[1].folder(moons).rglob("steps/*"))
