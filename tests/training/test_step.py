"""A step of a training, and its state."""

import math
import shutil
from functools import partial
from unittest import mock

import pytest
import torch
from helpers.processes import apart
from helpers.toy_trainings import Stop, start, stop_at, train, weights
from helpers.toy_transformer_flows import build
from torch.testing import assert_close

from genbench.core import Data, Event, Normal
from genbench.data.splits import Arrays, Finite
from genbench.errors import ConfigError
from genbench.models.starflow.transformer_flow import TransformerFlow
from genbench.numerics.precision import deterministic_kernels
from genbench.runs.make_spec import make_spec
from genbench.space import Pixels
from genbench.storage import tensors
from genbench.training import checkpoint
from genbench.training.loop import fit
from genbench.training.plan import Plan
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


@pytest.mark.parametrize("model", ["shortcut", "tarflow"])
def test_bf16_trains_close_to_fp32(model):
    a, b = train(model, steps=30), train(model, steps=30, precision="bf16")
    assert not torch.equal(weights(a), weights(b))
    assert_close(weights(a), weights(b), rtol=0, atol=0.05)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_precision_rounds_no_pixel_and_costs_no_bits(monkeypatch, precision):
    """One level of 256, and the normal law of its bin: ½ log2(2πe/12) bits. bf16 numbers there are half a bin apart."""
    level, event = 192, Event((1, 2, 2), 0, Pixels(256).bin)
    arrays = Arrays(torch.full((4096, *event.shape), level, dtype=torch.uint8), torch.zeros(4096), torch.arange(4096))
    split = Finite(lambda: arrays, 4096, Pixels(256))
    data = Data(event, Pixels(256), Normal(event.shape), train=split, valid=split, test=split)
    model = build("tarflow", event, width=16, head=16, blocks=[1], patch=1, first="start")
    (block,) = model.flow.blocks
    with torch.no_grad():
        block.net.proj_out.bias.copy_(
            torch.tensor([math.log(event.bin / 12**0.5), Pixels(256).encode(torch.tensor(level))])
        )
    seen = []
    loss = TransformerFlow.loss

    def watched(self, example):
        seen.append((example.x, loss(self, example)))
        return seen[0][1]

    monkeypatch.setattr(TransformerFlow, "loss", watched)
    fit(model, data, Plan(steps=1, batch_size=4096, precision=precision), start_group("cpu"), seed=0)
    ((x, scalars),) = seen
    assert (Pixels(256).decode(x) == level).all()
    bits = (scalars["nll_per_dim"].item() + data.space.log_scale) / math.log(2)
    assert bits == pytest.approx(math.log2(2 * math.pi * math.e / 12) / 2, abs=0.01)


@pytest.mark.skipif(not hasattr(torch.backends.cudnn.conv, "fp32_precision"), reason="torch before 2.9")
@pytest.mark.parametrize(("plan", "flag"), [("fp32", "ieee"), ("tf32", "tf32"), ("bf16", "ieee")])
def test_a_plan_sets_the_arithmetic_of_the_loss_alone(monkeypatch, plan, flag):
    monkeypatch.setattr("genbench.training.loop._check", lambda *_: None)  # which refuses tf32 on a CPU
    before = torch.backends.cudnn.conv.fp32_precision
    seen = {}
    for name in ("draw", "loss"):
        method = getattr(TransformerFlow, name)

        def watched(self, *arguments, name=name, method=method):
            seen[name] = torch.backends.cudnn.conv.fp32_precision
            return method(self, *arguments)

        monkeypatch.setattr(TransformerFlow, name, watched)
    train("tarflow", "moons", steps=1, precision=plan)
    assert seen == {"draw": "ieee", "loss": flag}
    assert torch.backends.cudnn.conv.fp32_precision == before


@pytest.mark.parametrize("wanted", [False, True])
def test_a_deterministic_plan_trains_with_deterministic_kernels_and_has_a_key_of_its_own(monkeypatch, wanted):
    seen, loss = [], TransformerFlow.loss

    def watched(self, example):
        seen.append(torch.are_deterministic_algorithms_enabled())
        return loss(self, example)

    monkeypatch.setattr(TransformerFlow, "loss", watched)
    train("tarflow", "moons", steps=1, deterministic=wanted)
    assert seen == [wanted]
    assert not torch.are_deterministic_algorithms_enabled()
    said = r"^plan\.deterministic=true is impossible here: put_ does not"
    with pytest.raises(ConfigError, match=said), deterministic_kernels(True):
        raise RuntimeError("put_ does not have a deterministic implementation\nmore")
    key, other = (make_spec("cfm", "moons", settings={"plan": p}).train_key for p in ({}, {"deterministic": wanted}))
    assert (key != other) == wanted


@pytest.mark.parametrize(("model", "encoder"), [("consistency", "autoencoder"), ("meanflow", None)])
def test_models_that_learn_from_differences_ignore_bf16(model, encoder):
    dataset, settings = ("digits", {"encoder": encoder, "net": "dit"}) if encoder else ("moons", {})
    a, b = (train(model, dataset, settings, steps=3, precision=each) for each in ("fp32", "bf16"))
    assert torch.equal(weights(a), weights(b))


def test_clipping_bounds_the_step():
    """Adam's steps do not depend on the gradient's scale, its relative size between steps does."""
    model, data, plan = start(steps=1, clip=1e-3)
    before = [p.detach().clone() for p in model.parameters()]
    fit(model, data, plan, start_group("cpu"), seed=0)
    norm = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None] or [torch.zeros(1)]).norm()
    assert norm <= 1e-3 * 1.01
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def compiled_from_eager():
    """Trace the forward and the backward pass, with what checkpoints compute again; test_ensemble generates code."""
    settings = {"checkpoint": True, "width": 16, "head": 16, "blocks": [1]}
    with mock.patch.object(torch, "compile", partial(torch.compile, backend="aot_eager")):
        found = [weights(train("starflow", settings=settings, steps=5, compile=flag)) for flag in (False, True)]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"], "nothing was compiled"
    return float((found[0] - found[1]).abs().max())


# In a process of its own: what checks shapes in tests cannot be compiled.
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling on CPU needs g++")
def test_a_compiled_step_is_the_same_step():
    assert apart(compiled_from_eager) < 1e-5
