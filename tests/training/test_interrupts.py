"""Signals that stop a training: a checkpoint keeps the work, and a resumed run ends as an uninterrupted one."""

import signal

import pytest
import torch
from helpers.processes import together
from helpers.toy_trainings import start, train, weights

from genbench.storage import tensors
from genbench.training import checkpoint
from genbench.training.loop import fit
from genbench.training.process_group import start_group
from genbench.training.step import TrainingState


def step_of(folder):
    return int(tensors.head(folder / checkpoint.NAME, checkpoint.FIELDS)["step"])


def interrupted_in(part, call, number, model, data, plan, folder, **options):
    """Train until a signal comes during a call of a method of the model."""
    inner, calls = getattr(model, part), []

    def signalled(*arguments):
        calls.append(1)
        if len(calls) == call:
            signal.raise_signal(number)
            signal.raise_signal(number)  # a second one does not interrupt the checkpoint
        return inner(*arguments)

    setattr(model, part, signalled)
    with pytest.raises(KeyboardInterrupt):
        fit(model, data, plan, start_group("cpu"), seed=0, folders=[folder], **options)


@pytest.fixture(autouse=True)
def _signals_raise():
    """As on the command line, also where this process was started with SIGINT ignored."""

    def stop(number, frame):
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, known in before.items():
        assert signal.signal(number, known) is stop


@pytest.mark.parametrize(("part", "number"), [("draw", signal.SIGTERM), ("loss", signal.SIGINT)])
def test_a_signal_in_a_step_waits_for_its_checkpoint(tmp_path, monkeypatch, caplog, part, number):
    """The draw moves the running normalizer of the pairs' weights, and a row of the log averages several steps."""
    monkeypatch.setattr("genbench.training.train_log.steps_per_row", lambda steps: 7)
    options = {"settings": {"normalizer": "running"}, "steps": 60, "ema": 0.9}
    whole = train("wcfm", folder=tmp_path / "whole", **options)
    interrupted_in(part, 33, number, *start("wcfm", **options), tmp_path / "cut")
    assert step_of(tmp_path / "cut") == 33
    assert "stopped after step 33, with a checkpoint" in caplog.text
    resumed = train("wcfm", folder=tmp_path / "cut", **options)
    assert "resuming from step 33" in caplog.text
    assert torch.equal(weights(resumed), weights(whole))
    logs = [(tmp_path / name / "train.csv").read_bytes() for name in ("whole", "cut")]
    assert logs[0] == logs[1]
    assert logs[0].count(b"\n") == 1 + 60 // 7


def test_an_evaluation_that_was_interrupted_is_repeated(tmp_path):
    losses = {20: 3.0, 40: 1.0, 60: 2.0}

    def go(folder, evaluate=losses.get):
        model, data, plan = start("cfm", steps=60, validate_every=20, stop="validation")
        return fit(model, data, plan, start_group("cpu"), seed=0, folders=[folder], evaluate=evaluate)

    def signalled(step):
        if step == 40:
            signal.raise_signal(signal.SIGTERM)
        return losses[step]

    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "cut", signalled)
    assert step_of(tmp_path / "cut") == 40
    assert torch.equal(weights(go(tmp_path / "cut")), weights(train("cfm", steps=40)))


@pytest.mark.parametrize("load", [1, 2])
def test_a_signal_while_weights_are_exchanged_saves_the_trained_ones(tmp_path, monkeypatch, load):
    """Load 1 takes the average, load 2 takes the trained weights back; the signal comes in the middle."""
    inner, loads = TrainingState._load, []

    def signalled(state, values):
        loads.append(1)
        if len(loads) == load:
            inner(state, values[: len(values) // 2])
            signal.raise_signal(signal.SIGTERM)
        inner(state, values)

    def go(folder):
        model, data, plan = start("cfm", steps=40, ema=0.9, validate_every=20)
        return weights(fit(model, data, plan, start_group("cpu"), seed=0, folders=[folder], evaluate=lambda step: 0.0))

    whole = go(tmp_path / "whole")
    monkeypatch.setattr(TrainingState, "_load", signalled)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "cut")
    assert step_of(tmp_path / "cut") == 20
    assert torch.equal(go(tmp_path / "cut"), whole)


def test_an_error_in_a_step_leaves_no_checkpoint_of_half_a_step(tmp_path):
    model, data, plan = start(steps=20)

    def loss(example):
        raise KeyboardInterrupt

    model.loss = loss
    with pytest.raises(KeyboardInterrupt):
        fit(model, data, plan, start_group("cpu"), seed=0, folders=[tmp_path])
    assert not list(tmp_path.glob("*.safetensors"))


def fit_together(folder, number=None):
    """Train in a group, whose second process gets a signal in a step; return the steps, and the weights if all."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    group, calls = start_group("cpu"), []
    model, data, plan = start("cfm", steps=60, batch_size=64)
    inner = model.loss

    def loss(example):
        calls.append(1)
        if len(calls) == 33 and group.rank == 1 and number is not None:
            signal.raise_signal(number)
        return inner(example)

    model.loss = loss
    try:
        fit(model, data, plan, group, seed=0, folders=[folder])
    except KeyboardInterrupt:
        return len(calls), None
    return len(calls), weights(model)


def test_processes_stop_after_the_same_step_if_one_of_them_gets_a_signal(tmp_path):
    assert together(2, fit_together, tmp_path / "cut", signal.SIGINT) == [(34, None)] * 2
    assert step_of(tmp_path / "cut") == 34
    resumed, whole = (together(2, fit_together, tmp_path / name)[0] for name in ("cut", "whole"))
    assert (resumed[0], whole[0]) == (26, 60)
    assert torch.equal(resumed[1], whole[1])
