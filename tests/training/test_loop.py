"""The loop: batches and their log; devices, compilers and the thread that draws ahead."""

import csv
import threading
import weakref

import pytest
import torch
from helpers.processes import context, together
from helpers.toy_trainings import Stop, spoil, start, train, weights
from torch.testing import assert_close

from genbench.errors import ConfigError, RunFailed
from genbench.models.flow_matching.velocity_model import FlowMatching
from genbench.training.loop import fit, second_thread_allowed
from genbench.training.process_group import Group, start_group

RUNNING = {"normalizer": "running"}


def test_a_loss_that_is_not_finite_names_its_step():
    model, data, plan = start(steps=300)
    spoil(model, 42)
    with pytest.raises(RunFailed, match=r"step 42$"):
        fit(model, data, plan, start_group("cpu"), seed=0)


@pytest.mark.parametrize("settings", [{}, {"plan": "sinkhorn", "reg": 1.0}])
def test_a_plan_made_during_the_step_before_is_the_same_plan(monkeypatch, settings):
    threads = set()
    pair = FlowMatching.draw

    def draw(self, batch, generator):
        threads.add(threading.current_thread())
        return pair(self, batch, generator)

    monkeypatch.setattr(FlowMatching, "draw", draw)
    during = weights(train("otcfm", "8gaussians", settings=settings, steps=30))
    assert threading.main_thread() not in threads
    monkeypatch.setattr("genbench.training.loop.second_thread_allowed", lambda device: False)
    assert torch.equal(during, weights(train("otcfm", "8gaussians", settings=settings, steps=30)))
    assert threading.main_thread() in threads


@pytest.mark.parametrize(
    ("name", "settings", "few", "ahead"),
    [("cfm", {}, 8, 8), ("wcfm", {}, 8, 8), ("cfm", {}, 99, 10), ("wcfm", RUNNING, 8, 1)],
)
def test_examples_drawn_in_blocks_are_those_of_their_steps(monkeypatch, name, settings, few, ahead):
    model, data, plan = start(name, settings=settings, steps=21)
    monkeypatch.setattr("genbench.training.loop.AHEAD", 10)
    monkeypatch.setattr("genbench.training.loop.VALUES_AHEAD", few * plan.batch_size * data.event.dims)
    drawn, most, kept = [], [], []

    def draw(source, step, *rest):
        assert all(each() is None for each in kept)  # an example of images is large
        drawn.append(step)
        return example(source, step, *rest)

    def learn(example):
        most.append(len(drawn) - len(most))
        kept.append(weakref.ref(example.x))
        return loss(example)

    example, loss = model.example, model.loss
    model.example, model.loss = draw, learn
    fit(model, data, plan, start_group("cpu"), seed=0)
    assert drawn == list(range(21))
    assert max(most) == ahead
    monkeypatch.setattr("genbench.training.loop.VALUES_AHEAD", 0)
    assert torch.equal(weights(model), weights(train(name, settings=settings, steps=21)))


def test_a_worker_of_a_sweep_has_no_idle_core():
    assert second_thread_allowed(torch.device("cpu"))
    with context.Pool(1) as pool:
        assert not pool.apply(second_thread_allowed, (torch.device("cpu"),))


def test_a_plan_that_fails_fails_at_its_step(monkeypatch):
    model, data, plan = start("otcfm", steps=30)
    inner, steps = model.loss, []
    model.loss = lambda example: (steps.append(1), inner(example))[1]
    pair, calls = model.coupling.forward, []

    def forward(*args):
        calls.append(1)
        if len(calls) == 12:
            raise RunFailed("no plan")
        return pair(*args)

    model.coupling.forward = forward
    with pytest.raises(RunFailed, match="no plan"):
        fit(model, data, plan, start_group("cpu"), seed=0)
    assert len(steps) == 11


def test_a_model_prepares_on_the_device_where_it_is_trained():
    """So that an encoder, which is large, encodes the data there; the device meta stands for a GPU."""
    model, data, plan = start(steps=1)
    devices = set()

    def prepare(data, seed):
        devices.update(parameter.device.type for parameter in model.parameters())
        raise Stop

    model.prepare = prepare
    with pytest.raises(Stop):
        fit(model, data, plan, Group(torch.device("meta")), seed=0)
    assert devices == {"meta"}


def test_a_gpu_without_float64_is_not_used(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert start_group("auto").device == torch.device("cpu")
    for name in ("gpu", "mps"):
        with pytest.raises(ConfigError, match=f"^devices: this machine has no {name} device that genbench can use"):
            start_group(name)


SHARED = {
    "otcfm": ("otcfm", {}),
    "wcfm": ("wcfm", {}),
    "wcfm-batch": ("wcfm", {"normalizer": "batch"}),
    "starflow": ("starflow", {}),
}


def train_each(folder):
    group = start_group("cpu")
    for name, (model, settings) in SHARED.items():
        fitted, data, plan = start(model, steps=20, batch_size=64, accumulate=2, settings=settings)
        fit(fitted, data, plan, group, seed=0, folders=[folder / name])
        if group.is_first:
            torch.save(weights(fitted), folder / name / "weights.pt")


@pytest.fixture(scope="module")
def by_two_processes(tmp_path_factory):
    """A folder with the weights and the logs of models that two processes trained together."""
    folder = tmp_path_factory.mktemp("two")
    together(2, train_each, folder)
    return folder


@pytest.mark.parametrize("name", SHARED)
def test_two_processes_train_the_same_model_on_the_same_global_batch(tmp_path, by_two_processes, name):
    model, settings = SHARED[name]
    both = torch.load(by_two_processes / name / "weights.pt", weights_only=True)
    one = train(model, folder=tmp_path, steps=20, batch_size=64, settings=settings)
    assert_close(both, weights(one), rtol=0, atol=1e-4)
    curves = [list(csv.DictReader((folder / "train.csv").open())) for folder in (tmp_path, by_two_processes / name)]
    assert [int(row["step"]) for row in curves[0]] == list(range(1, 21))
    for a, b in zip(*curves, strict=True):  # the loss, and what is logged of the weights of the global batch
        assert {name: float(value) for name, value in a.items()} == pytest.approx(
            {name: float(value) for name, value in b.items()}, rel=1e-5
        )
        assert model != "wcfm" or 0 < float(a["ess"]) < 1


def test_a_missing_compiler_is_named_and_tf32_refused_where_it_would_be_fp32(monkeypatch):
    with pytest.raises(ConfigError, match=r"^plan\.precision=tf32 needs a GPU, .*: set plan.precision=fp32$"):
        train("cfm", steps=1, precision="tf32")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"needs a C\+\+ compiler on a CPU, but no-such-compiler is missing"):
        train("cfm", steps=1, compile=True)
