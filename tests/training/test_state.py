"""The state of a training: what an interruption must not change."""

import pytest
import torch
from helpers.toy_trainings import Stop, start, stop_at, train, weights
from torch.testing import assert_close

from genbench.errors import ConfigError
from genbench.storage import tensors
from genbench.training import checkpoint
from genbench.training.loop import fit
from genbench.training.process_group import start_group


@pytest.mark.parametrize(("model", "plan"), [("cfm", {"ema": 0.999}), ("otcfm", {"optimizer": "adam"})])
def test_an_interrupted_run_resumes_bit_for_bit(tmp_path, model, plan):
    plan = {"steps": 130, "schedule": "cosine", **plan}
    whole = train(model, folder=tmp_path / "whole", **plan)
    with pytest.raises(Stop):
        train(model, folder=tmp_path / "cut", progress=stop_at(110), save_every=0, **plan)
    resumed = train(model, folder=tmp_path / "cut", **plan)
    assert torch.equal(weights(whole), weights(resumed))
    assert (tmp_path / "whole/train.csv").read_bytes() == (tmp_path / "cut/train.csv").read_bytes()


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_state_of_the_best_validation_is_kept_through_an_interruption(tmp_path, ema):
    """Also the normalizer of the pairs' weights, a buffer that moves at each step."""
    running, losses = {"normalizer": "running"}, {20: 3.0, 40: 1.0, 60: 1.0, 80: float("nan"), 92: 2.0}

    def go(folder, **watch):
        model, data, plan = start("wcfm", settings=running, steps=92, validate_every=20, stop="validation", ema=ema)
        how = {"folders": [folder], "save_every": 0, "evaluate": losses.get, **watch}
        return fit(model, data, plan, start_group("cpu"), seed=0, **how).state_dict()

    whole = go(tmp_path / "whole")
    with pytest.raises(Stop):
        go(tmp_path / "cut", progress=[stop_at(80)])
    assert_close(go(tmp_path / "cut"), whole, rtol=0, atol=0)
    assert_close(whole, train("wcfm", settings=running, steps=40, ema=ema).state_dict(), rtol=0, atol=0)
    last = train("wcfm", settings=running, steps=92, ema=ema).state_dict()
    assert not any(torch.equal(whole[name], last[name]) for name in ("coupling.log_mean", "net.first.weight"))


def test_a_table_that_is_computed_again_is_no_part_of_the_best_state(tmp_path, monkeypatch):
    """Such as the states of captions, which appear in the first step, after a checkpoint has been read."""

    def go(**watch):
        model, data, plan = start("cfm", steps=40, validate_every=20, stop="validation")
        model.register_buffer("table", None, persistent=False)
        inner = model.batch_source

        def batch_source(*arguments):
            model.table = torch.zeros(3)
            return inner(*arguments)

        monkeypatch.setattr(model, "batch_source", batch_source)
        how = {"folders": [tmp_path], "save_every": 0, "evaluate": float, **watch}
        return fit(model, data, plan, start_group("cpu"), seed=0, **how)

    with pytest.raises(Stop):
        go(progress=[stop_at(40)])
    state, _ = tensors.load(tmp_path / checkpoint.NAME, checkpoint.FIELDS)
    assert not any(value.shape == (3,) for name, value in state.items() if name.startswith("best."))
    assert torch.equal(weights(go()), weights(train("cfm", steps=20)))


def test_a_checkpoint_of_another_model_or_without_a_part_is_refused(tmp_path):
    """Its seal is right, so that only its parts tell."""
    with pytest.raises(Stop):
        train(folder=tmp_path, progress=stop_at(20), save_every=0, steps=240, ema=0.9)
    with pytest.raises(ConfigError, match=r"checkpoint\.safetensors belongs to another model"):
        train("cfm", "digits", folder=tmp_path, steps=240, ema=0.9)
    path = tmp_path / checkpoint.NAME
    state, header = tensors.load(path, checkpoint.FIELDS)
    odd = {"average.0": torch.zeros(7), "optimizer.0.exp_avg": torch.zeros(3, 3, 3), "best.loss": torch.zeros(2)}
    without = {name: value for name, value in state.items() if name != "average.0"}
    for parts in (without, *(state | {name: value} for name, value in odd.items())):
        tensors.save(path, parts, header)
        with pytest.raises(ConfigError, match=r"checkpoint\.safetensors belongs to another model"):
            train(folder=tmp_path, steps=240, ema=0.9)


def test_moments_of_weights_that_lie_otherwise_in_memory_are_restored(tmp_path):
    """Fused optimizers walk through memory, and files hold tensors row by row."""

    def go(folders, **watch):
        model, data, plan = start("cfm", "digits", steps=8, batch_size=16)
        model.to(memory_format=torch.channels_last)
        return fit(model, data, plan, start_group("cpu"), seed=0, folders=folders, save_every=0, **watch)

    with pytest.raises(Stop):
        go([tmp_path], progress=[stop_at(8)])
    assert torch.equal(weights(go([tmp_path])), weights(go([])))
