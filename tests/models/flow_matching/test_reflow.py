"""Rectified flow: a trained flow trained further, straighter than that, and accounted for."""

import pytest
import torch
from torch.testing import assert_close

from genbench.core import Batch
from genbench.errors import RunFailed, Unsupported
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.sampling import noise
from genbench.metrics.trajectories import straightness
from genbench.models.build import build_model
from genbench.models.flow_matching.reflow import Pool, Reflow
from genbench.runs.make_spec import make_spec
from genbench.runs.run import run
from genbench.runs.spec import build_data, plan_of
from genbench.runs.store import Store
from genbench.runs.weights_file import read_weights
from genbench.training.loop import fit
from genbench.training.process_group import start_group

PLAN = {"steps": 400, "batch_size": 256, "lr": 3e-3, "schedule": "cosine", "ema": 0.99}


def pupil(dataset, **model):
    spec = make_spec("reflow", dataset, metrics=[], settings={"model": {"pairs": 4096, **model}, "plan": PLAN})
    torch.manual_seed(0)
    built = build_model(spec.model, spec.encoder, build_data(spec.data))
    return built, plan_of(spec)


def bend(model, data):
    """How far the paths are from straight."""
    return straightness(Evaluation(data, 0, x=torch.zeros(1, 2), model=model), n=512, tol=1e-4).value


def test_paths_are_straighter_than_the_teachers_and_end_where_its_do(trained):
    teacher, data = trained("cfm", "8gaussians", plan=PLAN)
    model, plan = pupil("8gaussians")
    pool = model.pairs(teacher, data, seed=0, count=4096)
    model.learn(pool)
    fit(model, data, plan, start_group("cpu"), seed=0)
    assert bend(model, data) < bend(teacher, data) / 10
    x0 = noise(model.source, 512, seed=5)
    with torch.no_grad():
        own, its = (flow.sample(x0, tol=1e-4).x for flow in (model, teacher))
        one_step = model.sample(x0, method="euler", steps=1).x
    scale = its.square().sum(1).mean()
    assert (own - its).square().sum(1).mean() < 0.05 * scale
    assert (one_step - its).square().sum(1).mean() < 0.1 * scale


def test_pairs_are_noise_and_what_the_teacher_makes_of_it(trained):
    teacher, data = trained("cfm", "moons", model={"conditional": True}, plan={"steps": 20})
    model, _ = pupil("moons", conditional=True, label_dropout=0.0)
    pool = model.pairs(teacher, data, seed=0, count=300)
    x0, x1 = pool.x.unbind(1)
    with torch.no_grad():
        again = teacher.sample(x0, label=pool.label, tol=1e-6).x
    assert_close(x1, again, rtol=0, atol=1e-2)
    assert_close(x0.std(), torch.tensor(1.0), rtol=0, atol=0.1)
    assert pool.label.unique().tolist() == [0, 1]
    assert pool.evaluations > 300
    assert torch.equal(model.pairs(teacher, data, seed=0, count=300).x, pool.x)
    batch = pool.batch(0, 64, 0)
    example = model.draw(batch, torch.Generator().manual_seed(0))
    assert_close(example.velocity, batch.x[:, 1] - batch.x[:, 0])
    assert torch.equal(example.label, batch.label)


@pytest.mark.parametrize(("dataset", "count"), [("moons", 32768), ("digits", 1197)])
def test_training_starts_from_the_teacher_with_as_many_pairs_as_training_samples(
    trained, built, monkeypatch, dataset, count
):
    teacher, data = trained("cfm", dataset, plan={"steps": 2, "batch_size": 8})
    model, _ = built("reflow", dataset)
    asked = []

    def pairs(teacher, data, seed, count):
        asked.append(count)
        return Pool(torch.zeros(6, 2, *data.event.shape), torch.zeros(6, dtype=torch.long), 0.0)

    monkeypatch.setattr(model, "pairs", pairs)
    model.learn_from({"teacher": teacher}, data, 0)
    for own, its in zip(model.parameters(), teacher.parameters(), strict=True):
        assert torch.equal(own, its)
    assert asked == [count]
    anew, _ = built("reflow", dataset, start="anew")
    fresh = [parameter.clone() for parameter in anew.parameters()]
    monkeypatch.setattr(anew, "pairs", pairs)
    anew.learn_from({"teacher": teacher}, data, 0)
    assert all(torch.equal(own, before) for own, before in zip(anew.parameters(), fresh, strict=True))


def test_without_pairs_or_with_broken_ones_it_refuses(trained):
    teacher, data = trained("cfm", "moons", plan={"steps": 1})
    model, _ = pupil("moons")
    with pytest.raises(Unsupported, match="not with data"):
        model.draw(Batch(torch.randn(4, 2), torch.zeros(4, dtype=torch.int64)), torch.Generator())
    with pytest.raises(RunFailed, match="no pairs yet"):
        model.batch_source(data)
    pool = model.pairs(teacher, data, seed=0, count=10)
    pool.x[3] = float("nan")
    with pytest.raises(RunFailed, match="1 of 10 samples"):
        model.learn(pool)


def test_the_teacher_is_the_run_of_cfm_and_the_record_gives_the_whole_budget(tmp_path):
    store = Store(tmp_path)
    settings = {"plan": {"steps": 30, "batch_size": 32}, "evaluation": {"n": 64, "batch": 64, "curve": []}}
    chosen = ["failed", "straightness"]
    settings |= {"metric": {"straightness": {"n": 32}}}
    spec = make_spec("reflow", "moons", metrics=chosen, settings=settings | {"model": {"pairs": 128}})
    cfm = make_spec("cfm", "moons", metrics=chosen, settings=settings)
    assert spec.prerequisites["teacher"].train_key == cfm.train_key
    record = run(spec, store)
    kept = store.folder(cfm) / "model.safetensors"
    before = kept.read_bytes()
    cost = record["provenance"]["training"]["cost"]
    assert (cost["teacher_steps"], cost["pairs"], cost["pair_passes"]) == (30, 128, 30 * 32 / 128)
    assert cost["pair_evaluations"] >= 128 * 6  # at least one step of dopri5 for each
    total = cost["train_seconds"] + cost["teacher_seconds"] + cost["pair_seconds"]
    assert cost["total_train_seconds"] == pytest.approx(total, abs=1e-3)
    assert not list(tmp_path.glob("runs/*/*checkpoint*"))
    run(cfm, store)  # finds its weights
    assert kept.read_bytes() == before
    alone = Store(tmp_path / "alone")
    run(cfm, alone)
    other = run(spec, alone)  # takes the teacher that is there
    assert other["results"] == record["results"]
    assert (alone.folder(cfm) / "model.safetensors").exists()


def test_an_interrupted_run_makes_the_same_pairs_again(tmp_path, monkeypatch):
    settings = {"plan": {"steps": 30, "batch_size": 32}, "evaluation": {"n": 64, "batch": 64, "curve": []}}
    spec = make_spec("reflow", "moons", metrics=["failed"], settings=settings | {"model": {"pairs": 128}})
    pools, learn = [], Reflow.learn

    def spy(self, pool):
        pools.append(pool)
        learn(self, pool)

    monkeypatch.setattr(Reflow, "learn", spy)
    whole = run(spec, Store(tmp_path / "whole"))
    store = Store(tmp_path / "broken")

    def interrupt(step, steps, logs):
        if step == 20 and "loss" in logs:  # in training of the model, not of its teacher
            raise RunFailed("interrupted")

    with pytest.raises(RunFailed, match="interrupted"):
        run(spec, store, progress=interrupt)
    teacher = (store.folder(spec.prerequisites["teacher"]) / "model.safetensors").stat().st_mtime_ns
    record = run(spec, store)
    assert (store.folder(spec.prerequisites["teacher"]) / "model.safetensors").stat().st_mtime_ns == teacher
    assert len(pools) == 3
    assert all(torch.equal(pool.x, pools[0].x) and torch.equal(pool.label, pools[0].label) for pool in pools)
    costs = [each["provenance"]["training"]["cost"] for each in (record, whole)]
    for name in ("pairs", "pair_evaluations", "teacher_steps"):
        assert costs[0][name] == costs[1][name]
    first, second = (read_weights(s.folder(spec) / "model.safetensors") for s in (store, Store(tmp_path / "whole")))
    assert_close(first[0], second[0], rtol=0, atol=0)
