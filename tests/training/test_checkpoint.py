"""Checkpoints: interrupted and damaged trainings end as if nothing had been."""

import shutil

import pytest
import torch
from helpers.toy_trainings import Stop, stop_at, train, weights

from genbench.errors import ConfigError
from genbench.training import checkpoint

DAMAGE = {
    "truncated": lambda data: data[:-100],
    "flipped": lambda data: data[:-5000] + bytes([data[-5000] ^ 1]) + data[-4999:],
    "flipped in the header": lambda data: data.replace(b'"sha256"', b'"sha257"'),
    "empty": lambda data: b"",
}


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


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_falls_back_to_the_previous_one_and_then_to_the_beginning(
    tmp_path, caplog, whole, interrupted, damage
):
    shutil.copytree(interrupted, tmp_path, dirs_exist_ok=True)
    path, seen = tmp_path / "checkpoint.safetensors", []
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    resumed = train(folder=tmp_path, steps=240, progress=lambda s, n, logs: seen.append(s))
    assert torch.equal(weights(resumed), whole)
    assert "checkpoint.safetensors is damaged" in caplog.text
    assert seen[0] == 199
    if damage != "empty":
        return
    for name in ("checkpoint.safetensors", "previous-checkpoint.safetensors"):
        (tmp_path / name).write_bytes(b"nothing")
    seen.clear()
    again = train(folder=tmp_path, steps=240, progress=lambda s, n, logs: seen.append(s))
    assert seen[0] == 1
    assert torch.equal(weights(again), whole)


def test_a_checkpoint_of_another_run_is_refused_though_its_net_is_the_same(tmp_path):
    def go(model, run, **watch):
        train(model, folder=tmp_path, run=run, save_every=0, steps=130, **watch)

    with pytest.raises(Stop):
        go("cfm", "abc", progress=stop_at(100))
    with pytest.raises(ConfigError, match=r"checkpoint\.safetensors belongs to another run, abc: remove it"):
        go("otcfm", "def")
    go("cfm", "abc")


def test_saving_takes_two_percent_of_the_time_at_most(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    saver = checkpoint.Saver(tmp_path / "file", "run", 30.0)
    monkeypatch.setattr(checkpoint, "save", lambda *_: now.__setitem__(0, now[0] + 3.0))
    saves = []
    while now[0] < 3000:
        now[0] += 1.0
        if saver.due():
            saver.save(checkpoint.Checkpoint({}, len(saves), 0.0))
            saves.append(now[0])
    assert saves[0] == 34.0
    assert 0.015 < 3.0 * len(saves) / now[0] <= 0.021
