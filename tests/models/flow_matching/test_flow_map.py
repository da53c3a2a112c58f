"""What all few-step generators share: any coupling, guidance, counted evaluations, training as one ensemble."""

import itertools
import subprocess
import sys

import pytest
import torch
from helpers.flow_maps import SHORT
from torch.testing import assert_close

from genbench.errors import ConfigError, Unsupported
from genbench.metrics.sampling import noise
from genbench.models.flow_matching.flow_map import COUPLING
from genbench.registry import couplings
from genbench.runs.make_spec import make_spec
from genbench.runs.spec import plan_of
from genbench.training.ensemble import Ensemble
from genbench.training.loop import fit
from genbench.training.process_group import start_group

NAMES = ["meanflow", "shortcut", "consistency", "lagrangian", "tvm", "eulerian", "progressive", "alphaflow"]


@pytest.mark.parametrize(("name", "coupling"), zip(NAMES, itertools.cycle(couplings)))
def test_any_coupling_goes_with_any_generator(built, name, coupling):
    settings = {"name": coupling, "points": 128} if coupling == "semidiscrete" else coupling
    model, data = built(name, "8gaussians", coupling=settings)
    model.prepare(data, 0)
    example = model.draw(model.batch_source(data).batch(0, 64, 0), torch.Generator().manual_seed(0))
    assert isinstance(model.coupling, type(COUPLING.build(coupling, "coupling", data.event, data.event, 0)))
    loss = model.loss(example)
    loss["loss"].backward()
    assert loss["loss"].isfinite()
    assert loss["ess"] <= 1.001
    assert model.net.first.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", NAMES)
def test_pair_weights_multiply_the_error_of_their_pair(built, name):
    model, data = built(name, "gaussian")
    example = model.draw(data.train.batch(0, 8, 0), torch.Generator().manual_seed(0))
    single = [model.loss(example._replace(weight=torch.eye(8)[i] * 8))["loss"] for i in range(8)]
    weight = torch.rand(8)
    assert_close(model.loss(example._replace(weight=weight))["loss"], (weight * torch.stack(single)).mean())


@pytest.mark.parametrize("name", NAMES)
def test_members_of_an_ensemble_take_the_steps_that_they_take_alone(built, name):
    plan = plan_of(make_spec(name, "moons", metrics=[], settings={"plan": {"steps": 6, "batch_size": 32}}))
    settings = {} if name != "consistency" else {"end_steps": 3}
    alone = []
    for seed in (3, 4):
        model, data = built(name, "moons", **settings)
        alone.append(fit(model, data, plan, start_group("cpu"), seed=seed))
    members = [built(name, "moons", **settings)[0] for _ in range(2)]
    fit(Ensemble(members, [3, 4]), data, plan, start_group("cpu"), seed=3)
    for own, member in zip(alone, members, strict=True):
        for (key, a), b in zip(own.state_dict().items(), member.state_dict().values(), strict=True):
            assert_close(b, a, rtol=1e-3, atol=1e-5, msg=key)


LONG = SHORT | {"steps": 600, "lr": 3e-3}


@pytest.mark.parametrize(
    ("name", "model", "plan", "steps", "error"),
    [
        ("consistency", {"end_steps": 300}, LONG, (0,), 0.03),
        ("shortcut", {"share": 0.25, "finest": 32}, LONG, (1, 2, 4), 0.06),
        *((name, {"ratio": 0.5}, SHORT, (1, 3), 0.06) for name in ("lagrangian", "tvm", "eulerian", "progressive")),
        ("alphaflow", {"anneal_steps": 100}, SHORT, (1, 3), 0.06),
    ],
)
def test_training_finds_the_flow_of_gaussians(trained, drawn, name, model, plan, steps, error):
    """Some steps take noise x to 1 + 0.4 x."""
    model, _ = trained(name, "gaussian", data={"mean": 1.0, "std": 0.4}, model=model, plan=plan)
    due = 1 + 0.4 * noise(model.source, 4096, seed=1)
    for number in steps:
        assert (drawn(model, steps=number) - due).square().mean() < error


@pytest.mark.parametrize(
    ("name", "settings", "steps", "message"),
    [
        ("consistency", {"segments": 2}, 3, r"a multiple of model\.segments=2"),
        ("shortcut", {"finest": 8}, 3, r"a power of two up to model\.finest=8"),
        ("shortcut", {"finest": 8}, 16, r"a power of two up to model\.finest=8"),
    ],
)
def test_numbers_of_steps_that_a_model_does_not_know_are_refused(built, name, settings, steps, message):
    model, _ = built(name, "gaussian", **settings)
    with pytest.raises(ConfigError, match=message):
        model.sample(torch.randn(1, 2), steps=steps)
    with pytest.raises(Unsupported, match=message):
        model.at_budget({"guidance": 0.0}, "euler", steps)


@pytest.mark.parametrize("name", NAMES)
def test_guidance_doubles_the_evaluations_and_needs_labels(built, name):
    model, _ = built(name, "moons", conditional=True)
    x0, label = torch.randn(4, 2), torch.zeros(4, dtype=torch.long)
    t, end = torch.tensor(0.0), torch.tensor(0.5)
    with torch.no_grad():
        given, null = (model.mean_velocity(t, end, x0, which) for which in (label, None))
        assert_close(model.jump(t, end, x0, label, 2.0), x0 + 0.5 * (given + 2 * (given - null)))
        assert model.sample(x0, label=label, steps=2, guidance=1.0).nfe == 4
    assert model.at_budget({"guidance": 1.0}, "euler", 8)["steps"] == 4
    with pytest.raises(Unsupported, match="divide 3"):
        model.at_budget({"guidance": 1.0}, "euler", 3)
    with pytest.raises(Unsupported, match="not heun"):
        model.at_budget({}, "heun", 4)
    plain, _ = built(name, "moons")
    for unlabeled in (plain, model):
        with pytest.raises(ConfigError, match="needs labels"):
            unlabeled.sample(x0, guidance=1.0)


def test_a_net_of_one_time_is_refused(built):
    from genbench.registry import nets

    @nets.register("one-time")
    def one_time(event, classes=0, *, width: int = 8) -> torch.nn.Module:
        return torch.nn.Linear(2, 2)

    with pytest.raises(ConfigError, match=r"net one-time takes one time.*mlp, unet"):
        built("meanflow", "moons", net="one-time")
    del nets._entries["one-time"]


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("consistency", {"segments": 4, "delta": 0.3}, "below the length of a segment"),
        ("shortcut", {"finest": 12}, "power of two"),
        ("shortcut", {"target_guidance": 2.0}, "conditional"),
        ("meanflow", {"target_guidance": 2.0}, "conditional"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(built, name, settings, message):
    with pytest.raises(ConfigError, match=message):
        built(name, "gaussian", **settings)


FIRST = """
import torch
from genbench.registry import datasets, models
data = datasets["moons"].build()
model = models["meanflow"].build(data.event, data.source)
model.loss(model.draw(data.train.batch(0, 8, 0), torch.Generator()))
"""


def test_the_first_derivative_does_not_warn_of_the_code_of_torch():
    done = subprocess.run([sys.executable, "-W", "always", "-c", FIRST], capture_output=True, text=True, check=True)
    assert "torch.jit.script" not in done.stderr
