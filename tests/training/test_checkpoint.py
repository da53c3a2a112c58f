"""Checkpoints: interrupted, killed and damaged trainings end as if nothing had been."""

import shutil
import signal
import subprocess
import sys

import pytest
import torch
from helpers.toy_trainings import TESTS, Stop, start, stop_at, train, weights

from genbench.errors import ConfigError
from genbench.training import checkpoint
from genbench.training.group import start_group
from genbench.training.loop import fit


@pytest.mark.parametrize(("model", "plan"), [("cfm", {"ema": 0.999}), ("wcfm", {}), ("otcfm", {"optimizer": "adam"})])
def test_an_interrupted_run_resumes_bit_for_bit(tmp_path, model, plan):
    plan = {"steps": 230, "schedule": "cosine", **plan}
    whole = train(model, folder=tmp_path / "whole", **plan)
    with pytest.raises(Stop):
        train(model, folder=tmp_path / "cut", progress=stop_at(200), save_every=0, **plan)
    resumed = train(model, folder=tmp_path / "cut", **plan)
    assert torch.equal(weights(whole), weights(resumed))
    assert (tmp_path / "whole/train.csv").read_bytes() == (tmp_path / "cut/train.csv").read_bytes()


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_weights_of_the_best_validation_are_kept_through_an_interruption(tmp_path, ema):
    losses = {50: 3.0, 100: 1.0, 150: 1.0, 200: float("nan"), 230: 2.0}

    def go(folder, **watch):
        model, data, plan = start(steps=230, validate_every=50, stop="validation", ema=ema)
        how = {"folder": folder, "save_every": 0, "evaluate": losses.get, **watch}
        return weights(fit(model, data, plan, start_group("cpu"), seed=0, **how))

    whole = go(tmp_path / "whole")
    with pytest.raises(Stop):
        go(tmp_path / "cut", progress=stop_at(200))
    assert torch.equal(go(tmp_path / "cut"), whole)
    assert torch.equal(whole, weights(train(steps=100, ema=ema)))
    assert not torch.equal(whole, weights(train(steps=230, ema=ema)))


def test_moments_of_weights_that_lie_otherwise_in_memory_are_restored(tmp_path):
    """Fused optimisers walk through memory, and files hold tensors row by row."""

    def go(folder, **watch):
        model, data, plan = start("cfm", "digits", steps=8, batch_size=16)
        model.to(memory_format=torch.channels_last)
        return fit(model, data, plan, start_group("cpu"), seed=0, folder=folder, save_every=0, **watch)

    with pytest.raises(Stop):
        go(tmp_path, progress=stop_at(8))
    assert torch.equal(weights(go(tmp_path)), weights(go(None)))


KILLED = """
import os, signal, sys, threading
from pathlib import Path
sys.path.insert(0, {tests!r})
from helpers.toy_trainings import train


def die_soon(step, steps, logs):
    if step >= 300:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGKILL)).start()


train(folder=Path(sys.argv[1]), save_every=0, steps=1500, ema=0.99, progress=die_soon)
"""


@pytest.mark.slow
def test_a_killed_process_resumes_bit_for_bit(tmp_path):
    code = KILLED.format(tests=TESTS)
    victim = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert victim.returncode == -signal.SIGKILL
    assert checkpoint.exists(tmp_path / "checkpoint.safetensors")
    seen = []
    resumed = train(folder=tmp_path, steps=1500, ema=0.99, progress=lambda s, n, logs: seen.append(s))
    assert seen[0] > 1
    assert torch.equal(weights(resumed), weights(train(steps=1500, ema=0.99)))


def truncated(data):
    return data[:-100]


def flipped(data):
    return data[:-5000] + bytes([data[-5000] ^ 1]) + data[-4999:]


def flipped_in_the_header(data):
    return data.replace(b'"sha256"', b'"sha257"')


@pytest.fixture(scope="module")
def whole():
    """The weights of the training that others interrupt."""
    return weights(train(steps=240))


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """The folder of that training, interrupted: its checkpoint is of step 199, the previous one of step 198."""
    folder = tmp_path_factory.mktemp("interrupted")
    with pytest.raises(Stop):
        train(folder=folder, progress=stop_at(200), save_every=0, steps=240)
    return folder


@pytest.mark.parametrize("damage", [truncated, flipped, flipped_in_the_header, lambda data: b""])
def test_a_damaged_checkpoint_falls_back_to_the_previous_one_and_then_to_the_beginning(
    tmp_path, caplog, whole, interrupted, damage
):
    shutil.copytree(interrupted, tmp_path, dirs_exist_ok=True)
    path, seen = tmp_path / "checkpoint.safetensors", []
    path.write_bytes(damage(path.read_bytes()))
    resumed = train(folder=tmp_path, steps=240, progress=lambda s, n, logs: seen.append(s))
    assert torch.equal(weights(resumed), whole)
    assert "checkpoint.safetensors is damaged" in caplog.text
    assert seen[0] == 199
    for name in ("checkpoint.safetensors", "previous-checkpoint.safetensors"):
        (tmp_path / name).write_bytes(b"nothing")
    seen.clear()
    again = train(folder=tmp_path, steps=240, progress=lambda s, n, logs: seen.append(s))
    assert seen[0] == 1
    assert torch.equal(weights(again), whole)


def test_a_checkpoint_of_another_model_is_refused(interrupted):
    with pytest.raises(ConfigError, match="another model"):
        train("cfm", "digits", folder=interrupted, steps=240)


def test_a_checkpoint_of_another_run_is_refused_though_its_net_is_the_same(tmp_path):
    def go(model, run, **watch):
        train(model, folder=tmp_path, run=run, save_every=0, steps=130, **watch)

    with pytest.raises(Stop):
        go("cfm", "abc", progress=stop_at(100))
    with pytest.raises(ConfigError, match=r"checkpoint\.safetensors belongs to another run, abc: remove it"):
        go("otcfm", "def")
    go("cfm", "abc")
