"""A step: parts of a batch, precision, clipping, compilation."""

import shutil
import subprocess
import sys

import pytest
import torch
from helpers.toy_trainings import TESTS, start, train, weights
from torch.testing import assert_close

from genbench.models.build import build_model
from genbench.models.flow_matching.consistency import Consistency
from genbench.models.starflow.model import TransformerFlow
from genbench.runs.make_spec import make_spec
from genbench.runs.spec import build_data, plan_of
from genbench.training.loop import fit
from genbench.training.process_group import start_group


def test_accumulated_parts_make_the_same_step():
    whole, parts = train(steps=20), train(steps=20, accumulate=4)
    assert_close(weights(parts), weights(whole), rtol=0, atol=1e-4)


@pytest.mark.parametrize("model", ["cfm", "shortcut", "tarflow"])
def test_bf16_trains_close_to_fp32(model):
    a, b = train(model, steps=50), train(model, steps=50, precision="bf16")
    assert not torch.equal(weights(a), weights(b))
    assert_close(weights(a), weights(b), rtol=0, atol=0.05)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_precision_does_not_round_the_data(monkeypatch, precision):
    """Dequantized levels of 256 are 1/128 apart in [-1, 1], where bfloat16 numbers are up to 1/256 apart."""
    seen = []
    loss = TransformerFlow.loss

    def watched(self, example):
        seen.append(example.x.clone())
        return loss(self, example)

    monkeypatch.setattr(TransformerFlow, "loss", watched)
    for each in ("fp32", precision):
        train("tarflow", "moons", steps=1, precision=each)
    assert torch.equal(*seen)


@pytest.mark.skipif(not hasattr(torch.backends.cudnn.conv, "fp32_precision"), reason="torch before 2.9")
@pytest.mark.parametrize(("plan", "flag"), [("fp32", "ieee"), ("tf32", "tf32"), ("bf16", "ieee")])
def test_a_plan_sets_the_arithmetic_of_the_loss_alone(monkeypatch, plan, flag):
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


@pytest.mark.parametrize("model", ["consistency", "meanflow"])
def test_models_that_learn_from_differences_ignore_bf16(model):
    a, b = train(model, steps=20), train(model, steps=20, precision="bf16")
    assert torch.equal(weights(a), weights(b))


@pytest.mark.parametrize("encoder", [None, "autoencoder"])
def test_bf16_does_not_round_times_that_are_closer_than_its_numbers(monkeypatch, encoder):
    """Near 1/2 they are 1/256 apart: half of the times at a distance of 1/1000 would be compared with themselves."""
    seen = []
    loss = Consistency.loss

    def watched(self, example):
        seen.append((example.end - example.t).min().item())
        return loss(self, example)

    monkeypatch.setattr(Consistency, "loss", watched)
    spec = make_spec(
        "consistency",
        "digits",
        metrics=[],
        settings={
            "plan": {"steps": 1, "precision": "bf16", "grid_every": 0},
            "model": {"end_steps": 0, "net": "dit"} | ({"encoder": encoder} if encoder else {}),
        },
    )
    data = build_data(spec.data)
    fit(build_model(spec.model, spec.encoder, data), data, plan_of(spec), start_group("cpu"), seed=0)
    assert len(seen) == 1
    assert seen[0] > 0


def test_clipping_bounds_the_step():
    """Adam's steps do not depend on the gradient's scale, its relative size between steps does."""
    model, data, plan = start(steps=1, clip=1e-3)
    before = [p.detach().clone() for p in model.parameters()]
    fit(model, data, plan, start_group("cpu"), seed=0)
    norm = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None] or [torch.zeros(1)]).norm()
    assert norm <= 1e-3 * 1.01
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


COMPILED = """
import sys
sys.path.insert(0, {tests!r})
from helpers.toy_trainings import train, weights
settings = {{"checkpoint": True, "width": 16, "head": 16, "blocks": [1]}}
eager, compiled = (weights(train("starflow", settings=settings, steps=5, compile=flag)) for flag in (False, True))
print(float((eager - compiled).abs().max()))
"""

BREAKS = """
import sys
sys.path.insert(0, {tests!r})
import torch
from helpers.toy_trainings import start
from genbench.training.ensemble import Ensemble
started = [start("starflow", "8gaussians", {{"width": 16, "head": 16, "blocks": [1, 1]}}) for seed in range(2)]
stack = Ensemble([model for model, data, plan in started], [0, 1])
data = started[0][1]
example = stack.example(stack.batch_source(data), 0, 8, 0, torch.Generator())
print(torch._dynamo.explain(stack)(example).graph_break_count)
"""


def printed_by(script):
    """Return the number that a process prints; what checks shapes in tests cannot be compiled in this one."""
    command = [sys.executable, "-c", script.format(tests=TESTS)]
    return float(subprocess.run(command, check=True, timeout=300, capture_output=True, text=True).stdout)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling on CPU needs g++")
def test_a_compiled_step_is_the_same_step():
    assert printed_by(COMPILED) < 1e-5


@pytest.mark.slow
def test_a_stack_of_flows_compiles_as_one_graph():
    """A break inside the stack would leave all of it uncompiled, without a word."""
    assert printed_by(BREAKS) == 0
