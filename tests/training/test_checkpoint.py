"""Checkpoints: whose they are, and how often they are saved; tests of faults interrupt trainings and damage them."""

import pytest
from helpers.toy_trainings import Stop, stop_at, train

from genbench.errors import ConfigError
from genbench.training import checkpoint


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
    monkeypatch.setattr(checkpoint.tensors, "save", lambda *_: now.__setitem__(0, now[0] + 3.0))
    saves = []
    while now[0] < 3000:
        now[0] += 1.0
        if saver.due():
            saver.save(checkpoint.Checkpoint({}, len(saves), 0.0))
            saves.append(now[0])
    assert saves[0] == 34.0
    assert 0.015 < 3.0 * len(saves) / now[0] <= 0.021
